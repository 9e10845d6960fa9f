import { describe, expect, it } from 'vitest';
import { parseEntry } from '#schema/audit-event.ts';
import { parseCanonical } from '#schema/canonical-json.ts';
import { parseCosignerKey, verifyCosignatures } from '#schema/cosignature.ts';
import { verifyConsistency } from '#schema/merkle.ts';
import { parseVerifierKey } from '#schema/signed-note.ts';
import { verifyCertificate } from '../../compliance/privacy/verify-certificate.ts';
import { verifyExportFile } from '../../compliance/verify/export.ts';
import cosignatures from './cosignatures.json' with { type: 'json' };
import erasure from './erasure.json' with { type: 'json' };
import entries from './entries.json' with { type: 'json' };
import exports from './exports.json' with { type: 'json' };
import canonical from './canonical-json.json' with { type: 'json' };
import merkle from './merkle.json' with { type: 'json' };
import { vectors } from './vectors.ts';

/** Files with gzip inside are the same bytes where the same zlib runs, so elsewhere they are only read. */
const PACKED: ReadonlySet<string> = new Set(['archive.json', 'pack.json']);
const ZLIB = '1.3.1-e00f703';

const made = await vectors();

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
