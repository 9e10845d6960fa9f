import { generateKeyPairSync } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeCheckpoint } from '#schema/checkpoint.ts';
import { cosign, cosignatureVerifier, encodeCosignerKey } from '#schema/cosignature.ts';
import { signRotation } from '#schema/key-rotation.ts';
import { encodeVerifierKey, noteVerifier, signNote, type NoteSigner } from '#schema/signed-note.ts';
import { applyWitnessPolicy, parseWitnessPolicy } from '#schema/witness-policy.ts';

const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });
const newSigner = (name: string): NoteSigner => ({ name, privateKey: generateKeyPairSync('ed25519').privateKey });
const keyOf = ({ name, privateKey }: NoteSigner): string => encodeVerifierKey(noteVerifier(name, privateKey));
const cosignerKeyOf = (signer: NoteSigner): string => encodeCosignerKey(cosignatureVerifier(signer));
const parse = (text: string) => parseWitnessPolicy(Buffer.from(text));

const log = newSigner('tenon.example');
const witnesses = ['X1', 'X2', 'X3', 'Y1', 'Y2', 'Y3'].map((name) => ({ name, signer: newSigner(`${name}.example`) }));
const lines = witnesses.map(({ name, signer }) => `witness ${name} ${cosignerKeyOf(signer)}`);
/** The example of the specification, with keys. */
const EXAMPLE = `# two organisations
log ${keyOf(log)} https://tenon.example

${lines.slice(0, 3).join('\n')}
group X-witnesses 2 X1 X2 X3

${lines.slice(3).join('\n')}
\tgroup  Y-witnesses any Y1 Y2\tY3${' '}

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
`;

const note = signNote(
  encodeCheckpoint({ origin: 'tenon.example/platform/eu-1/1', size: 3, root: Buffer.alloc(32) }),
  log,
);

function cosignedBy(names: readonly string[]): string {
  const chosen = witnesses.filter(({ name }) => names.includes(name));
  return note + chosen.map(({ signer }, at) => cosign(note, signer, new Date((1_000_000 + at) * 1000))).join('');
}

describe('a policy', () => {
  test('holds where two of three and one of three have cosigned, and for no fewer', () => {
    const policy = parse(EXAMPLE);
    const names = witnesses.map(({ name }) => name);
    fc.assert(
      fc.property(fc.subarray(names), (chosen) => {
        const xs = chosen.filter((name) => name.startsWith('X')).length;
        const answer = applyWitnessPolicy(policy, { note: cosignedBy(chosen) });
        expect(answer.holds).toBe(xs >= 2 && chosen.length > xs);
        expect(answer.cosignatures).toHaveLength(chosen.length);
      }),
      { numRuns: 64 },
    );
  });

  test('tells since when the quorum had seen the checkpoint', () => {
    const answer = applyWitnessPolicy(parse(EXAMPLE), { note: cosignedBy(['X1', 'X2', 'X3', 'Y1']) });
    expect(answer.seenBy).toEqual(new Date(1_000_003_000));
  });

  test('without witnesses holds for the signature of a log alone', () => {
    const policy = parse(`log ${keyOf(log)}\nquorum none\n`);
    expect(applyWitnessPolicy(policy, { note })).toMatchObject({ holds: true, seenBy: null });
  });

  test('that names no log takes its keys from elsewhere', () => {
    const policy = parse('quorum none\n');
    expect(applyWitnessPolicy(policy, { note, logs: [noteVerifier(log.name, log.privateKey)] }).holds).toBe(true);
    expect(() => applyWitnessPolicy(policy, { note })).toThrow(refused);
  });

  test('refuses a checkpoint that no log of it has signed, or of a log with another name than the key', () => {
    const policy = parse(EXAMPLE);
    const text = encodeCheckpoint({ origin: 'tenon.example', size: 3, root: Buffer.alloc(32) });
    expect(() => applyWitnessPolicy(policy, { note: signNote(text, newSigner('tenon.example')) })).toThrow(refused);
    const other = encodeCheckpoint({ origin: 'tenon.example.evil/1', size: 3, root: Buffer.alloc(32) });
    expect(() => applyWitnessPolicy(policy, { note: signNote(other, log) })).toThrow('not one of the key');
  });

  test('goes on with a newer key of the log where the old one hands over', () => {
    const newer = newSigner('tenon.example');
    const text = encodeCheckpoint({ origin: 'tenon.example', size: 3, root: Buffer.alloc(32) });
    const question = { note: signNote(text, newer) };
    const rotation = signRotation({ number: 1, oldKey: log, newKey: newer, at: new Date() });
    const policy = parse(`log ${keyOf(log)}\nquorum none\n`);
    expect(() => applyWitnessPolicy(policy, question)).toThrow(refused);
    expect(applyWitnessPolicy(policy, { ...question, rotations: [rotation] }).holds).toBe(true);
  });
});

describe('a policy file', () => {
  const witness = lines[0] ?? '';
  const key = cosignerKeyOf(witnesses[0]?.signer ?? log);

  test.each([
    ['no quorum', `${witness}\n`],
    ['two quorums', `quorum none\nquorum none\n`],
    ['a quorum that is defined later', `quorum X1\n${witness}\n`],
    ['a last line without an end', 'quorum none'],
    ['an unknown line', 'witnesses none\nquorum none\n'],
    ['a log without a key', 'log\nquorum none\n'],
    ['a log with the key of a witness', `log ${key}\nquorum none\n`],
    ['a witness with the key of a log', `witness X ${keyOf(log)}\nquorum none\n`],
    ['a log twice', `log ${keyOf(log)}\nlog ${keyOf({ ...log, name: 'other' })}\nquorum none\n`],
    ['a witness twice', `${witness}\nwitness other ${key}\nquorum none\n`],
    ['a name twice', `${witness}\ngroup X1 any X1\nquorum none\n`],
    ['the name none', `witness none ${key}\nquorum none\n`],
    ['none as a member', `group g any none\nquorum g\n`],
    ['a group without members', `${witness}\ngroup g any\nquorum g\n`],
    ['a member of two groups', `${witness}\ngroup g any X1\ngroup h any X1\nquorum g\n`],
    ['a member twice', `${witness}\ngroup g any X1 X1\nquorum g\n`],
    ['a threshold of 0', `${witness}\ngroup g 0 X1\nquorum g\n`],
    ['a threshold above the members', `${witness}\ngroup g 2 X1\nquorum g\n`],
    ['a threshold with a leading zero', `${witness}\ngroup g 01 X1\nquorum g\n`],
    ['a group of itself', `${witness}\ngroup g any X1 g\nquorum g\n`],
    ['a carriage return', 'quorum none\r\n'],
    ['something behind a line', 'quorum none none\n'],
    ['more than 64 KiB', `${'#'.repeat(65_536)}\nquorum none\n`],
  ])('is refused with %s', (_what, text) => {
    expect(() => parse(text)).toThrow(refused);
  });

  test('is refused beyond 64 witnesses, and read with 64', () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, at) => `witness w${at} ${cosignerKeyOf(newSigner('w'))}\n`).join('');
    expect(parse(`${many(64)}quorum none\n`).witnesses).toHaveLength(64);
    expect(() => parse(`${many(65)}quorum none\n`)).toThrow(refused);
  });

  test('takes names as octets, so two that only look alike are two', () => {
    // The second is the Kelvin sign.
    const policy = parse(`${lines[0]?.replace('X1', 'K')}\n${lines[1]?.replace('X2', '\u212a')}\nquorum \u212a\n`);
    expect(policy.quorum).toMatchObject({ kind: 'witness', witness: { verifier: { name: 'X2.example' } } });
  });
});
