import { generateKeyPairSync, sign } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeCheckpoint } from '#schema/checkpoint.ts';
import {
  cosign,
  cosignatureVerifier,
  encodeCosignerKey,
  parseCosignerKey,
  verifyCosignatures,
} from '#schema/cosignature.ts';
import {
  encodeSignatureLine,
  noteVerifier,
  parseVerifierKey,
  signNote,
  verifyNote,
  type NoteSigner,
} from '#schema/signed-note.ts';

const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });

// A checkpoint of a public staging log of Certificate Transparency, with cosignatures of public witnesses.
const REAL = `arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
`;
const REAL_LOG = 'arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f';
const REAL_WITNESS = 'remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2';

const NOW = new Date('2026-05-01T10:00:00.900Z');
const newSigner = (name: string): NoteSigner => ({ name, privateKey: generateKeyPairSync('ed25519').privateKey });
const log = newSigner('log.example');
const witness = newSigner('witness.example/w1');
const verifier = cosignatureVerifier(witness);
const text = encodeCheckpoint({ origin: 'log.example', size: 7, root: Buffer.alloc(32, 7) });
const note = signNote(text, log);
const cosigned = note + cosign(note, witness, NOW);

describe('the cosignature of a public witness', () => {
  test('verifies with its published key, and its time is read', () => {
    const { checkpoint, cosignatures } = verifyCosignatures(REAL, [parseCosignerKey(REAL_WITNESS)]);
    expect(checkpoint).toMatchObject({ origin: 'arche2025h1.staging.ct.transparency.dev', size: 1_432_088_532 });
    expect(cosignatures.map(({ witness: { name }, time }) => [name, time])).toEqual([
      ['remora.n621.de', new Date(0x6a122120 * 1000)],
    ]);
    expect(verifyNote(REAL, [parseVerifierKey(REAL_LOG)]).signers).toHaveLength(1);
  });

  test('fits no other size', () => {
    const other = REAL.replace('1432088532', '1432088533');
    expect(() => verifyCosignatures(other, [parseCosignerKey(REAL_WITNESS)])).toThrow(refused);
  });

  test('has a key of its own type, which no note is verified with and which signs no note', () => {
    expect(encodeCosignerKey(parseCosignerKey(REAL_WITNESS))).toBe(REAL_WITNESS);
    expect(() => parseVerifierKey(REAL_WITNESS)).toThrow(refused);
    expect(() => parseCosignerKey(REAL_LOG)).toThrow(refused);
  });
});

describe('a cosignature', () => {
  test('is over the checkpoint and the second it was made in, byte for byte as the specification has it', () => {
    const signature = Buffer.alloc(72);
    signature.writeBigUInt64BE(BigInt(Date.parse('2026-05-01T10:00:00Z') / 1000));
    const signed = `cosignature/v1\ntime ${Date.parse('2026-05-01T10:00:00Z') / 1000}\n${text}`;
    sign(null, Buffer.from(signed), witness.privateKey).copy(signature, 8);
    const { name, keyId } = verifier;
    expect(cosigned).toBe(note + encodeSignatureLine({ name, keyId, signature }));
  });

  test('verifies beside the signature of the log, which it leaves valid', () => {
    expect(verifyCosignatures(cosigned, [verifier]).cosignatures).toEqual([
      { witness: verifier, time: new Date('2026-05-01T10:00:00Z') },
    ]);
    expect(verifyNote(cosigned, [noteVerifier(log.name, log.privateKey)]).text).toBe(text);
  });

  test('of an unknown witness is passed over', () => {
    expect(verifyCosignatures(cosigned, [cosignatureVerifier(newSigner('witness.example/w1'))]).cosignatures).toEqual(
      [],
    );
  });

  test('that is later than now is refused, with room for clocks that differ', () => {
    expect(verifyCosignatures(cosigned, [verifier], new Date('2026-05-01T09:51:00Z')).cosignatures).toHaveLength(1);
    expect(() => verifyCosignatures(cosigned, [verifier], new Date('2026-05-01T09:49:00Z'))).toThrow(refused);
  });

  test('cannot be changed in any byte, nor can what it is about', () => {
    const line = cosign(note, witness, NOW);
    const bytes = Buffer.from(line.split(' ')[2] ?? '', 'base64');
    fc.assert(
      fc.property(fc.integer({ min: 4, max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const broken = Buffer.from(bytes);
        broken[at] = (broken[at] ?? 0) ^ change;
        const { name, keyId } = verifier;
        const other = note + encodeSignatureLine({ name, keyId, signature: broken.subarray(4) });
        expect(() => verifyCosignatures(other, [verifier])).toThrow(refused);
      }),
    );
  });

  test('is made of a checkpoint alone', () => {
    expect(() => cosign(signNote('just a text\n', log), witness, NOW)).toThrow(refused);
  });
});
