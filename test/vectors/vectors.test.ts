import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseEntry } from '#schema/audit-event.ts';
import { parseCanonical } from '#schema/canonical-json.ts';
import { parseCosignerKey, verifyCosignatures } from '#schema/cosignature.ts';
import { verifyConsistency } from '#schema/merkle.ts';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { trustedKeys } from '#schema/key-rotation.ts';
import { verifyPlatformProof } from '#schema/platform-proof.ts';
import { parseVerifierKey, verifyNote } from '#schema/signed-note.ts';
import { applyWitnessPolicy, parseWitnessPolicy } from '#schema/witness-policy.ts';
import { verifyTimestamp } from '../../compliance/anchors/timestamp.ts';
import { verifyCertificate } from '../../compliance/privacy/verify-certificate.ts';
import { verifyArchive } from '../../compliance/verify/archive.ts';
import { verifyExportFile } from '../../compliance/verify/export.ts';
import cosignatures from './cosignatures.json' with { type: 'json' };
import erasure from './erasure.json' with { type: 'json' };
import entries from './entries.json' with { type: 'json' };
import exports from './exports.json' with { type: 'json' };
import canonical from './canonical-json.json' with { type: 'json' };
import merkle from './merkle.json' with { type: 'json' };
import notes from './notes.json' with { type: 'json' };
import platform from './platform.json' with { type: 'json' };
import policies from './policies.json' with { type: 'json' };
import rotations from './rotations.json' with { type: 'json' };
import { memorySource } from '../compliance/memory-source.ts';
import { timestamps } from './vectors-outside.ts';
import { vectors } from './vectors.ts';

/** Files with gzip inside are the same bytes where the same zlib runs, so elsewhere they are only read. */
const PACKED: ReadonlySet<string> = new Set(['archive.json', 'pack.json', 'platform.json']);
const ZLIB = '1.3.1-e00f703';

const made = await vectors();

type Changes = Readonly<Record<string, string | null | undefined>>;

/** What `tenon verify` says of files in base64. */
async function verdictsOf(vector: typeof platform, changes: Changes = {}) {
  const files = new Map<string, Buffer>();
  for (const [path, bytes] of Object.entries({ ...vector.files, ...changes }))
    if (typeof bytes === 'string') files.set(path, Buffer.from(bytes, 'base64'));
  const keys = [parseVerifierKey(vector.key)];
  const heads = vector.checkpoints.map((note) => parseCheckpoint(verifyNote(note, keys).text));
  const source = memorySource(files);
  const { integrity, completeness } = await verifyArchive({
    source,
    path: '',
    keys,
    heads,
    onProgress: () => undefined,
  });
  return { integrity: integrity.verdict, completeness: completeness.verdict };
}

/** Made once, for neither keys nor times of an authority come again; whoever removes the file gets another. */
const STAMPS = new URL('timestamps.json', import.meta.url);
if (!existsSync(STAMPS)) {
  const [first, second] = notes.valid.map(({ note }) => note);
  writeFileSync(STAMPS, `${JSON.stringify(await timestamps(first ?? '', second ?? ''), null, 2)}\n`);
}
interface Stamp {
  readonly note: string;
  readonly answer: string;
}
const stamps = JSON.parse(readFileSync(STAMPS, 'utf8')) as {
  readonly trusted: string;
  readonly valid: readonly (Stamp & { readonly time: string })[];
  readonly invalid: readonly (Stamp & { readonly name: string })[];
};

describe('the test vectors of docs/formats.md', () => {
  // `npx vitest run test/vectors -u` writes them anew.
  it.each(Object.entries(made))('%s is what the code makes', async (name, vector) => {
    if (PACKED.has(name) && process.versions.zlib !== ZLIB) return;
    await expect(`${JSON.stringify(vector, null, 2)}\n`).toMatchFileSnapshot(`./${name}`);
  });

  it('hold for the platform itself', () => {
    for (const { text } of canonical.valid) parseCanonical(Buffer.from(text));
    for (const text of canonical.invalid) expect(() => parseCanonical(Buffer.from(text))).toThrow();
    for (const { entry } of entries.valid) parseEntry(Buffer.from(entry));
    for (const entry of [...entries.invalid, ...entries.invalid_events])
      expect(() => parseEntry(Buffer.from(entry))).toThrow();
    for (const { from, to, from_root: oldRoot, to_root: newRoot, hashes } of merkle.consistency) {
      const bytes = (hex: string) => Buffer.from(hex, 'hex');
      const claim = { oldSize: from, newSize: to, oldRoot: bytes(oldRoot), newRoot: bytes(newRoot) };
      expect(verifyConsistency({ ...claim, proof: hashes.map(bytes) })).toBe(true);
      if (from !== to) expect(verifyConsistency({ ...claim, proof: hashes.slice(1).map(bytes) })).toBe(false);
    }
    const witness = parseCosignerKey(cosignatures.witness_key);
    expect(verifyCosignatures(cosignatures.note + cosignatures.line, [witness]).cosignatures).toHaveLength(1);
    const key = parseVerifierKey(erasure.key);
    for (const certificate of erasure.valid) verifyCertificate(Buffer.from(certificate), [key]);
    for (const certificate of erasure.invalid)
      expect(() => verifyCertificate(Buffer.from(certificate), [key])).toThrow();
  });

  it('hold for signed notes and rotations of the key', () => {
    const key = parseVerifierKey(notes.key);
    for (const { note, origin, size } of notes.valid)
      expect(parseCheckpoint(verifyNote(note, [key]).text)).toMatchObject({ origin, size });
    for (const note of notes.invalid) expect(() => parseCheckpoint(verifyNote(note, [key]).text), note).toThrow();
    const trusted = rotations.trusted.map(parseVerifierKey);
    for (const { statement, leads_to: next } of rotations.valid)
      expect(trustedKeys(trusted, [statement]).keys.at(-1)).toEqual(parseVerifierKey(next));
    for (const statement of rotations.invalid) expect(trustedKeys(trusted, [statement]).keys).toEqual(trusted);
  });

  it('hold for a platform log, and for proofs of it', async () => {
    expect(await verdictsOf(platform)).toEqual(platform.expected);
    for (const { changes, expected } of platform.mutations)
      expect(await verdictsOf(platform, changes)).toMatchObject(expected);
    const verifierKeys = [parseVerifierKey(platform.key)];
    const { valid, invalid } = platform.proofs;
    for (const { origin, proof } of valid)
      expect(verifyPlatformProof({ proof, origin, verifierKeys }).head.origin).toBe(origin);
    for (const { origin = '', proof = '' } of invalid)
      expect(() => verifyPlatformProof({ proof, origin, verifierKeys }), proof).toThrow();
  });

  it('hold for policies of witnesses', () => {
    const answer = (text: string, note: string) =>
      applyWitnessPolicy(parseWitnessPolicy(Buffer.from(text)), { note, now: new Date('2026-03-03T00:00:00Z') });
    for (const { policy, holds, fails } of policies.policies) {
      for (const note of holds) expect(answer(policy, note).holds, policy).toBe(true);
      for (const note of fails) expect(answer(policy, note).holds, policy).toBe(false);
    }
    for (const { policy, note } of policies.refused) expect(() => answer(policy, note)).toThrow();
    for (const policy of policies.invalid) expect(() => parseWitnessPolicy(Buffer.from(policy)), policy).toThrow();
  });

  it('hold for time stamps', () => {
    const trusted = [new X509Certificate(stamps.trusted)];
    const answer = ({ note, answer: bytes }: Stamp) =>
      verifyTimestamp({ answer: Buffer.from(bytes, 'base64'), data: Buffer.from(note), trusted });
    for (const stamp of stamps.valid)
      expect(answer(stamp)).toMatchObject({ time: new Date(stamp.time), trusted: true });
    for (const stamp of stamps.invalid) expect(() => answer(stamp), stamp.name).toThrow();
  });

  it.each(['ndjson', 'csv'] as const)('hold for exports as %s', async (format) => {
    const keys = [parseVerifierKey(exports.key)];
    const answer = async (text: string) => {
      const pieces = async function* () {
        yield Buffer.from(text);
      };
      const { integrity, completeness } = await verifyExportFile({ path: `x.${format}`, pieces: pieces(), keys });
      return `${integrity.verdict}, ${completeness.verdict}`;
    };
    const { valid, partial, invalid } = exports[format];
    for (const text of valid) expect(await answer(text)).toBe('pass, pass');
    for (const text of partial) expect(await answer(text)).toBe('pass, cannot say');
    for (const text of invalid) expect(await answer(text)).toBe('fail, cannot say');
  });
});
