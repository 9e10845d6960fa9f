import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type pg from 'pg';
import { expect } from 'vitest';
import { parseEntry, ZERO_PREV, type AuditEntry } from '#schema/audit-event.ts';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { EMPTY_ROOT, leafHash, nodeHash } from '#schema/merkle.ts';
import { parseVerifierKey, verifyNote } from '#schema/signed-note.ts';
import type { Manifest } from '../../compliance/manifest.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/**
 * Returns the entries that the audit database holds of a tenant, epoch after epoch, having checked of each that its
 * numbers have no gap, that each entry names its predecessor, and that head, leaves and tiles are those of the same tree.
 */
export async function entriesInDatabase(audit: pg.Pool, tenant: Id<'tnt'>): Promise<AuditEntry[]> {
  const uuid = uuidOf('tnt', tenant);
  const { rows } = await audit.query<{ epoch: number }>(
    'select distinct epoch from app.log_entries where tenant_id = $1 order by epoch',
    [uuid],
  );
  const entries: AuditEntry[] = [];
  for (const { epoch } of rows) entries.push(...(await entriesOfEpoch(audit, { uuid, epoch })));
  return entries;
}

async function entriesOfEpoch(audit: pg.Pool, { uuid, epoch }: { uuid: string; epoch: number }): Promise<AuditEntry[]> {
  const { rows } = await audit.query<{ seq: string; leaf: Buffer; entry: string; event_id: string }>(
    'select seq, leaf, entry, event_id from app.log_entries where tenant_id = $1 and epoch = $2 order by seq',
    [uuid, epoch],
  );
  const entries = chained(rows.map(({ entry }) => Buffer.from(entry)));
  const leaves = rows.map(({ entry }) => leafHash(Buffer.from(entry)));
  expect(rows.map(({ seq }) => Number(seq))).toEqual(entries.map(({ seq }) => seq));
  expect(rows.map(({ leaf }) => leaf.toString('hex'))).toEqual(leaves.map((leaf) => leaf.toString('hex')));
  expect(rows.map(({ event_id: id }) => id)).toEqual(entries.map(({ event }) => uuidOf('aud', event.id)));
  await expectHead(audit, { uuid, epoch }, leaves);
  const tiles = await audit.query<{ index: string; hash: Buffer }>(
    'select index, hash from app.log_tiles where tenant_id = $1 and epoch = $2 and level = 1 order by index',
    [uuid, epoch],
  );
  expect(tiles.rows.map(({ hash }) => hash.toString('hex'))).toEqual(
    Array.from({ length: Math.floor(leaves.length / 256) }, (_, tile) =>
      rootOf(leaves.slice(tile * 256, tile * 256 + 256)).toString('hex'),
    ),
  );
  return entries;
}

/** Only the newest epoch has a head. */
async function expectHead(
  audit: pg.Pool,
  { uuid, epoch }: { uuid: string; epoch: number },
  leaves: readonly Buffer[],
): Promise<void> {
  const { rows } = await audit.query<{ epoch: number; size: string; frontier: string[]; last_leaf: Buffer | null }>(
    'select epoch, size, frontier, last_leaf from app.log_heads where tenant_id = $1',
    [uuid],
  );
  const [head] = rows;
  if (head !== undefined && head.epoch > epoch) return;
  expect(head?.epoch ?? epoch).toBe(epoch);
  expect(Number(head?.size ?? 0)).toBe(leaves.length);
  expect(head?.last_leaf?.toString('hex')).toBe(leaves.at(-1)?.toString('hex'));
  const folded = (head?.frontier ?? [])
    .map((node): Buffer => Buffer.from(node, 'hex'))
    .reduceRight((right, left) => nodeHash(left, right));
  expect(folded.toString('hex')).toBe(rootOf(leaves).toString('hex'));
}

/**
 * Returns the entries that a filesystem archive holds of a tenant, having checked manifests, signatures, segments, hashes
 * and roots from the files alone, the way docs/formats.md tells an auditor to.
 */
export function entriesInArchive(folder: string, tenant: Id<'tnt'>): AuditEntry[] {
  const base = `v1/eu/${tenant}/1`;
  const lines: Buffer[] = [];
  const leaves: Buffer[] = [];
  let before: { manifest: Manifest; sha256: string } | null = null;
  for (const manifestFile of objectsIn(join(folder, base, 'man'))) {
    const bytes = readFileSync(join(folder, base, 'man', manifestFile));
    const manifest = JSON.parse(bytes.toString()) as Manifest;
    expect(manifestFile).toBe(`${String(manifest.number).padStart(9, '0')}.json`);
    expect(manifest.number).toBe(before === null ? 0 : before.manifest.number + 1);
    expect(manifest.prev_manifest_sha256).toBe(before?.sha256 ?? null);
    expect([manifest.size_before, manifest.root_before]).toEqual([leaves.length, rootOf(leaves).toString('hex')]);
    const packed = readFileSync(join(folder, manifest.segment.key));
    const plain = gunzipSync(packed);
    expect([packed.length, sha256(packed)]).toEqual([manifest.segment.gz_size_bytes, manifest.segment.gz_sha256]);
    expect([plain.length, sha256(plain)]).toEqual([manifest.segment.size_bytes, manifest.segment.sha256]);
    expect(manifest.segment.key).toBe(`${base}/seg/${String(manifest.number).padStart(9, '0')}.jsonl.gz`);
    const added = plain
      .toString()
      .split('\n')
      .slice(0, -1)
      .map((line) => Buffer.from(line));
    expect([manifest.first_seq, manifest.count]).toEqual([lines.length, added.length]);
    lines.push(...added);
    leaves.push(...added.map((line) => leafHash(line)));
    expect([manifest.size_after, manifest.root_after]).toEqual([leaves.length, rootOf(leaves).toString('hex')]);
    expect(manifest.last_leaf).toBe(leaves.at(-1)?.toString('hex'));
    const { text } = verifyNote(manifest.checkpoint, [parseVerifierKey(TEST_SIGNING_KEY.verifierKey)]);
    const checkpoint = parseCheckpoint(text);
    expect([checkpoint.origin, checkpoint.size, Buffer.from(checkpoint.root).toString('hex')]).toEqual([
      `tenon.test/audit/${tenant}/1`,
      manifest.size_after,
      manifest.root_after,
    ]);
    before = { manifest, sha256: sha256(bytes) };
  }
  const entries = chained(lines);
  expect(objectsIn(join(folder, base, 'seg'))).toHaveLength(before === null ? 0 : before.manifest.number + 1);
  return entries;
}

/** The names that are objects, without retentions. */
export function objectsIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => !name.endsWith('.retention.jsonl'))
    .toSorted();
}

function chained(lines: readonly Buffer[]): AuditEntry[] {
  let prev = ZERO_PREV;
  return lines.map((line, index) => {
    const entry = parseEntry(line);
    expect([entry.seq, entry.prev]).toEqual([index, prev]);
    prev = leafHash(line).toString('hex');
    return entry;
  });
}

/** The definition of RFC 6962 section 2.1, word by word. */
function rootOf(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves;
  if (only === undefined) return EMPTY_ROOT;
  if (leaves.length === 1) return only;
  const split = 2 ** Math.ceil(Math.log2(leaves.length) - 1);
  return nodeHash(rootOf(leaves.slice(0, split)), rootOf(leaves.slice(split)));
}
