import { createPrivateKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encodeVerifierKey,
  noteVerifier,
  parseVerifierKey,
  publicKeyFromRaw,
  rawPublicKey,
  signNote,
  verifyNote,
} from '#schema/signed-note.ts';

const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });

// The published examples of Go's note package, the format's origin; the private key is published with them.
const PETER_KEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const PETER_SEED = 'gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=';
const ENOCH_KEY = 'EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop';
const TEXT = `If you think cryptography is the answer to your problem,
then you don't know what your problem is.
`;
const PETER_LINE =
  '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
const ENOCH_LINE =
  '— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n';

const peter = parseVerifierKey(PETER_KEY);
const enoch = parseVerifierKey(ENOCH_KEY);
const note = `${TEXT}\n${PETER_LINE}`;

describe('the published notes', () => {
  test('verify, and a signature of an unknown key is passed over', () => {
    expect(verifyNote(note, [peter])).toEqual({ text: TEXT, signers: [peter] });
    expect(verifyNote(note + ENOCH_LINE, [peter])).toEqual({ text: TEXT, signers: [peter] });
    expect(verifyNote(note + ENOCH_LINE, [enoch])).toEqual({ text: TEXT, signers: [enoch] });
    expect(verifyNote(Buffer.from(note + ENOCH_LINE), [enoch, peter]).signers).toEqual([peter, enoch]);
  });

  test('are made again from the published private key', () => {
    expect(signNote(TEXT, { name: 'PeterNeumann', privateKey: privateKeyFromSeed(PETER_SEED) })).toBe(note);
  });

  test('have verifier keys that survive the way in and out', () => {
    expect(encodeVerifierKey(peter)).toBe(PETER_KEY);
    expect([enoch.name, enoch.keyId]).toEqual(['EnochRoot', 'af0cfe78']);
    expect(encodeVerifierKey(noteVerifier('PeterNeumann', privateKeyFromSeed(PETER_SEED)))).toBe(PETER_KEY);
  });
});

describe('a verifier key', () => {
  test('is refused when any part is missing', () => {
    for (let start = 0; start <= PETER_KEY.length; start++) {
      for (let end = start; end <= PETER_KEY.length; end++) {
        if (end - start < PETER_KEY.length)
          expect(() => parseVerifierKey(PETER_KEY.slice(start, end))).toThrow(refused);
      }
    }
  });

  test('is refused when any character is another', () => {
    for (let index = 0; index < PETER_KEY.length; index++) {
      const next = String.fromCharCode(PETER_KEY.charCodeAt(index) + 1);
      expect(() => parseVerifierKey(PETER_KEY.slice(0, index) + next + PETER_KEY.slice(index + 1))).toThrow(refused);
    }
  });

  test.each([
    [
      'of another length, with a fitting id',
      'PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==',
    ],
    ['of another algorithm, with a fitting id', 'PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'],
    ['that is megabytes long', `${'a'.repeat(5_000_000)}+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW`],
  ])('is refused when it is one %s', (_name, text) => {
    expect(() => parseVerifierKey(text)).toThrow(refused);
  });

  test('comes from an Ed25519 key only, and raw bytes come back as they went in', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    expect(() => noteVerifier('a', publicKey)).toThrow(refused);
    expect(() => publicKeyFromRaw(Buffer.alloc(31))).toThrow(refused);
    const raw = rawPublicKey(peter.publicKey);
    expect(raw).toHaveLength(32);
    expect(rawPublicKey(publicKeyFromRaw(raw))).toEqual(raw);
  });

  test.each(['', 'a b', 'a+b', 'a\u00a0b', 'a\u0085b', 'a\nb', 'a\u0001', 'a\ud800'])('cannot be named %j', (name) => {
    expect(() => noteVerifier(name, peter.publicKey)).toThrow(refused);
  });
});

describe('verifying a note', () => {
  test.each([
    ['no signature block', TEXT],
    ['an empty signature block', `${TEXT}\n`],
    ['no newline at the end', note.slice(0, -1)],
    ['a control character', `\u0001${note}`],
    ['a carriage return', note.replace(',\n', ',\r\n')],
    ['half a surrogate pair', `\ud800${note}`],
    ['a name with a space', `${TEXT}\n${PETER_LINE.replace('PeterNeumann', 'Peter Neumann')}`],
    ['a name with a plus', `${TEXT}\n${PETER_LINE.replace('PeterNeumann', 'Peter+Neumann')}`],
    ['a name with another space', `${TEXT}\n${PETER_LINE.replace('PeterNeumann', 'Peter\u00a0Neumann')}`],
    ['a line that is no signature', `${note}Unexpected line.\n`],
    ['a hyphen for the em dash', note.replace('—', '-')],
    ['base64 without padding', note.replace('=\n', '\n')],
    ['base64 with stray bits', note.replace('nAM=', 'nAN=')],
    ['a signature of no bytes', `${note}— EnochRoot rwz+eA==\n`],
    ['17 signatures', `${TEXT}\n${PETER_LINE.repeat(17)}`],
  ])('refuses one with %s', (_name, bad) => {
    expect(() => verifyNote(bad, [peter])).toThrow(refused);
  });

  test('refuses bytes that are not UTF-8', () => {
    expect(() => verifyNote(Buffer.concat([Buffer.of(0xff), Buffer.from(note)]), [peter])).toThrow(refused);
  });

  test('refuses a text with control characters and a note of more than 1,000,000 bytes, although the signature fits', () => {
    const handMade = (text: string): string => {
      const signature = sign(null, Buffer.from(text), privateKeyFromSeed(PETER_SEED));
      const line = Buffer.concat([Buffer.from(peter.keyId, 'hex'), signature]).toString('base64');
      return `${text}\n— PeterNeumann ${line}\n`;
    };
    expect(handMade(TEXT)).toBe(note);
    expect(() => verifyNote(handMade('tab\t\n'), [peter])).toThrow(refused);
    expect(() => verifyNote(handMade(`${'é'.repeat(500_000)}\n`), [peter])).toThrow(refused);
    expect(() => verifyNote(Buffer.from(handMade(`${'é'.repeat(500_000)}\n`)), [peter])).toThrow(refused);
    expect(verifyNote(handMade(`${'é'.repeat(400_000)}\n`), [peter]).signers).toEqual([peter]);
  });

  test('refuses it when no trusted key has signed', () => {
    expect(() => verifyNote(note, [])).toThrow(refused);
    expect(() => verifyNote(note, [enoch])).toThrow(refused);
    expect(() => verifyNote(note.replace('PeterNeumann', 'PeterNeuman'), [peter])).toThrow(refused);
    expect(() => verifyNote(note.replace('x08go', 'x08gp'), [peter])).toThrow(refused);
  });

  test('refuses the whole note when the signature of a trusted key fails, whoever else has signed', () => {
    const forged = `${note}${ENOCH_LINE.replace('OHp+v', 'OHp+w')}`;
    expect(verifyNote(forged, [peter]).signers).toEqual([peter]);
    expect(() => verifyNote(forged, [peter, enoch])).toThrow(refused);
    expect(() => verifyNote(note.replace('answer', 'Answer'), [peter])).toThrow(refused);
  });

  test('takes 16 signatures and counts a key once', () => {
    expect(verifyNote(`${TEXT}\n${PETER_LINE.repeat(8)}${ENOCH_LINE.repeat(8)}`, [peter, enoch]).signers).toEqual([
      peter,
      enoch,
    ]);
  });

  test('fails when any byte of text or signature is another', () => {
    const bytes = Buffer.from(note);
    const place = fc.nat(bytes.length - 1);
    fc.assert(
      fc.property(place, fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ change;
        expect(() => verifyNote(changed, [peter])).toThrow(refused);
      }),
      { numRuns: 500 },
    );
  });
});

describe('signing a note', () => {
  const privateKey = privateKeyFromSeed(PETER_SEED);

  test('keeps empty lines of the text, and the last empty line parts it from the signatures', () => {
    const text = 'one\n\ntwo\n\n';
    const signed = signNote(text, { name: 'a', privateKey }, { name: 'b', privateKey });
    const verifiers = [noteVerifier('a', privateKey), noteVerifier('b', privateKey)];
    expect(verifyNote(signed, verifiers)).toEqual({ text, signers: verifiers });
  });

  test('is refused for a text that could not be read back', () => {
    for (const text of ['', 'no newline', 'tab\t\n', 'null\0\n', '\ud800\n']) {
      expect(() => signNote(text, { name: 'a', privateKey })).toThrow(refused);
    }
    expect(() => signNote(`${'a'.repeat(1_000_000)}\n`, { name: 'a', privateKey })).toThrow(refused);
    expect(() => signNote(TEXT, { name: 'a b', privateKey })).toThrow(refused);
  });

  test('is refused for more signers than a verifier has to accept', () => {
    const signers = Array.from({ length: 16 }, (_, index) => ({ name: `signer${index}`, privateKey }));
    expect(() => signNote(TEXT, { name: 'one-more', privateKey }, ...signers)).toThrow(refused);
  });
});

function privateKeyFromSeed(seed: string): KeyObject {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  const key = Buffer.concat([prefix, Buffer.from(seed, 'base64')]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}
