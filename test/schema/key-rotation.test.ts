import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { signRotation, trustedKeys, verifyRotation } from '#schema/key-rotation.ts';
import { encodeVerifierKey, noteVerifier, parseNote, signNote, type NoteSigner } from '#schema/signed-note.ts';

const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });
const at = new Date('2026-05-01T10:00:00Z');
const newSigner = (name = 'tenon.test'): NoteSigner => ({
  name,
  privateKey: generateKeyPairSync('ed25519').privateKey,
});
const verifierOf = ({ name, privateKey }: NoteSigner) => noteVerifier(name, privateKey);
const [first, second, third] = [newSigner(), newSigner(), newSigner()];
const one = signRotation({ number: 1, oldKey: first, newKey: second, at });
const two = signRotation({ number: 2, oldKey: second, newKey: third, at });
const ids = (keys: readonly { keyId: string }[]) => keys.map(({ keyId }) => keyId);
const all = [first, second, third].map(verifierOf);

describe('a statement of a rotation', () => {
  test('is a note of four lines that both keys have signed', () => {
    const [before, after] = all.map(encodeVerifierKey);
    expect(parseNote(one).text).toBe(`tenon.test/keys/1\n${before}\n${after}\n2026-05-01T10:00:00.000Z\n`);
    expect(verifyRotation(one)).toEqual({ deployment: 'tenon.test', number: 1, oldKey: all[0], newKey: all[1], at });
  });

  test('is refused with the signature of one of them alone, whichever', () => {
    const { text } = parseNote(one);
    expect(() => verifyRotation(signNote(text, first))).toThrow(refused);
    expect(() => verifyRotation(signNote(text, second))).toThrow(refused);
    expect(() => verifyRotation(signNote(text, first, third))).toThrow(refused);
  });

  test('is refused where any part of it is changed', () => {
    for (const [from, to] of [
      ['keys/1', 'keys/2'],
      ['keys/1', 'keys/01'],
      ['10:00', '11:00'],
      ['tenon.test/', 'other.test/'],
    ] as const)
      expect(() => verifyRotation(one.replace(from, to))).toThrow(refused);
  });

  test('is no checkpoint, and is not made between deployments or to the same key', () => {
    expect(() => parseCheckpoint(parseNote(one).text)).toThrow(refused);
    expect(() => signRotation({ number: 1, oldKey: first, newKey: newSigner('other'), at })).toThrow(refused);
    expect(() => signRotation({ number: 1, oldKey: first, newKey: first, at })).toThrow(refused);
  });
});

describe('trust', () => {
  test('goes from the oldest key to the newest, in whatever order the statements are', () => {
    expect(ids(trustedKeys([verifierOf(first)], [two, one]).keys)).toEqual(ids(all));
    expect(trustedKeys([verifierOf(first)], [two, one, one]).faults).toEqual([]);
  });

  test('does not go back to older keys, nor on from a stranger', () => {
    expect(ids(trustedKeys([verifierOf(second)], [one, two]).keys)).toEqual(ids(all.slice(1)));
    expect(ids(trustedKeys([verifierOf(newSigner())], [one, two]).keys)).toHaveLength(1);
  });

  test('does not follow a forged statement, and says so', () => {
    const forged = signNote(parseNote(one).text, second);
    const { keys, faults } = trustedKeys([verifierOf(first)], [forged]);
    expect(ids(keys)).toEqual([verifierOf(first).keyId]);
    expect(faults).toEqual(['key rotation: not both keys have signed it']);
  });

  test('follows neither of two successors of one key', () => {
    const other = signRotation({ number: 1, oldKey: first, newKey: third, at });
    const { keys, faults } = trustedKeys([verifierOf(first)], [one, other]);
    expect(ids(keys)).toEqual([verifierOf(first).keyId]);
    expect(faults).toEqual([expect.stringContaining('two successors')]);
  });
});
