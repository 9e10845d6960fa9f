import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  IN_TOTO_PAYLOAD_TYPE,
  preAuthEncoding,
  signStatement,
  STATEMENT_TYPE,
  verifyStatement,
  type Statement,
} from '#schema/dsse.ts';
import { noteVerifier } from '#schema/signed-note.ts';

const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });

const alice = { name: 'example.com/evidence', privateKey: generateKeyPairSync('ed25519').privateKey };
const bob = { name: 'auditor.example', privateKey: generateKeyPairSync('ed25519').privateKey };
const aliceKey = noteVerifier(alice.name, alice.privateKey);
const bobKey = noteVerifier(bob.name, bob.privateKey);
const statement: Statement = {
  _type: STATEMENT_TYPE,
  subject: [{ name: 'manifest.json', digest: { sha256: 'ab'.repeat(32) } }],
  predicateType: 'https://example.com/evidence/v1',
  predicate: { window: { from: '2026-01-01', to: '2026-03-31' }, files: 3 },
};
const envelope = signStatement(statement, alice);

describe('the pre-authentication encoding', () => {
  test('is the published one for the published sample', () => {
    const encoded = preAuthEncoding('http://example.com/HelloWorld', Buffer.from('hello world'));
    expect(encoded.toString()).toBe('DSSEv1 29 http://example.com/HelloWorld 11 hello world');
  });

  test('counts bytes, not characters', () => {
    expect(preAuthEncoding('é', Buffer.from('ü€')).toString()).toBe('DSSEv1 2 é 5 ü€');
    expect(preAuthEncoding('', Buffer.alloc(0)).toString()).toBe('DSSEv1 0  0 ');
  });
});

describe('an envelope', () => {
  test('holds the canonical statement and a signature over its pre-authentication encoding', () => {
    const body = Buffer.from(envelope.payload, 'base64');
    expect(body.toString()).toBe(
      `{"_type":"https://in-toto.io/Statement/v1","predicate":{"files":3,"window":{"from":"2026-01-01","to":"2026-03-31"}},` +
        `"predicateType":"https://example.com/evidence/v1","subject":[{"digest":{"sha256":"${'ab'.repeat(32)}"},"name":"manifest.json"}]}`,
    );
    const signed = preAuthEncoding('application/vnd.in-toto+json', body);
    expect(verify(null, signed, aliceKey.publicKey, Buffer.from(envelope.signatures[0]?.sig ?? '', 'base64'))).toBe(
      true,
    );
    expect(envelope.signatures[0]?.keyid).toBe(`example.com/evidence+${aliceKey.keyId}`);
  });

  test('is verified after its way through JSON, and signing again gives the same bytes', () => {
    const read: unknown = JSON.parse(JSON.stringify(envelope));
    expect(verifyStatement(read, [aliceKey])).toEqual({ statement, signers: [aliceKey] });
    expect(signStatement(structuredClone(statement), alice)).toEqual(envelope);
  });

  test('names all trusted keys that signed, each once, and passes over the others', () => {
    const both = signStatement(statement, alice, bob, alice);
    expect(verifyStatement(both, [bobKey, aliceKey]).signers).toEqual([aliceKey, bobKey]);
    expect(verifyStatement(both, [bobKey]).signers).toEqual([bobKey]);
  });

  test('may have URL-safe base64, no padding, further fields and key ids that are missing or unknown', () => {
    const sig = envelope.signatures[0]?.sig ?? '';
    const urlSafe = {
      ...envelope,
      payload: Buffer.from(envelope.payload, 'base64').toString('base64url'),
      signatures: [
        { sig: Buffer.from(sig, 'base64').toString('base64url'), keyid: 'unknown', cert: 'ignored' },
        { sig },
      ],
      comment: 'ignored',
    };
    expect(verifyStatement(urlSafe, [bobKey, aliceKey])).toEqual({ statement, signers: [aliceKey] });
  });

  test('is refused when its payload, its signature or its key is another', () => {
    const changed = Buffer.from(envelope.payload, 'base64').toString().replace('"files":3', '"files":4');
    const other = { ...envelope, payload: Buffer.from(changed).toString('base64') };
    expect(() => verifyStatement(other, [aliceKey])).toThrow(refused);
    expect(() => verifyStatement(envelope, [bobKey])).toThrow(refused);
    expect(() => verifyStatement(envelope, [])).toThrow(refused);
    const [first] = signStatement({ ...statement, predicateType: 'other' }, alice).signatures;
    expect(() => verifyStatement({ ...envelope, signatures: [first] }, [aliceKey])).toThrow(refused);
  });

  test('does not let a key id stand for a key: a signature under a trusted id by another key counts for nothing', () => {
    const [signature] = signStatement(statement, bob).signatures;
    const posing = { ...envelope, signatures: [{ ...signature, keyid: `${aliceKey.name}+${aliceKey.keyId}` }] };
    expect(() => verifyStatement(posing, [aliceKey])).toThrow(refused);
  });

  test.each<[string, unknown]>([
    ['null', null],
    ['a text', 'envelope'],
    ['a list', [envelope]],
    ['another payload type', { ...envelope, payloadType: 'application/json' }],
    ['no payload', { ...envelope, payload: undefined }],
    ['a payload that is not base64', { ...envelope, payload: `${envelope.payload}!` }],
    ['no signatures', { ...envelope, signatures: [] }],
    ['signatures that are no list', { ...envelope, signatures: { length: 1, 0: envelope.signatures[0] } }],
    ['a signature that is null', { ...envelope, signatures: [null] }],
    ['a signature without sig', { ...envelope, signatures: [{ keyid: 'a' }] }],
    ['17 signatures', { ...envelope, signatures: Array.from({ length: 17 }, () => envelope.signatures[0]) }],
  ])('that is malformed (%s) is refused', (_name, bad) => {
    expect(() => verifyStatement(bad, [aliceKey])).toThrow(refused);
  });

  test.each<[string, string]>([
    ['JSON', '{'],
    ['an object', '[]'],
    ['of this version', JSON.stringify({ ...statement, _type: 'https://in-toto.io/Statement/v0.1' })],
    ['about anything', JSON.stringify({ ...statement, subject: [] })],
    ['about things with digests', JSON.stringify({ ...statement, subject: [{ name: 'a', digest: {} }] })],
    [
      'about things with hex digests',
      JSON.stringify({ ...statement, subject: [{ name: 'a', digest: { sha256: 'AB' } }] }),
    ],
    ['about things with names', JSON.stringify({ ...statement, subject: [{ digest: { sha256: 'ab' } }] })],
    ['typed', JSON.stringify({ ...statement, predicateType: 1 })],
    ['claiming anything', JSON.stringify({ ...statement, predicate: null })],
  ])('with a signed payload that is not %s is refused', (_name, text) => {
    expect(() => verifyStatement(signedByAlice(text), [aliceKey])).toThrow(refused);
  });

  test('of more than 8 MiB is neither made nor read', () => {
    const long = { ...statement, predicate: { text: 'a'.repeat(6_300_000) } };
    expect(() => signStatement(long, alice)).toThrow(refused);
    expect(() => verifyStatement(signedByAlice(JSON.stringify(long)), [aliceKey])).toThrow(refused);
    const shorter = { ...statement, predicate: { text: 'a'.repeat(6_200_000) } };
    expect(verifyStatement(signedByAlice(JSON.stringify(shorter)), [aliceKey])).toEqual({
      statement: shorter,
      signers: [aliceKey],
    });
  });
});

function signedByAlice(text: string) {
  const body = Buffer.from(text);
  const sig = sign(null, preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, body), alice.privateKey).toString('base64');
  return { payloadType: IN_TOTO_PAYLOAD_TYPE, payload: body.toString('base64'), signatures: [{ keyid: '', sig }] };
}
