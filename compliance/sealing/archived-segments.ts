import { hash } from 'node:crypto';
import { fail } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import { noteVerifier } from '#schema/signed-note.ts';
import type { LogName, Manifest } from '../manifest.ts';
import { manifestKey, segmentKey } from '../manifest.ts';
import { MAX_SEGMENT_BYTES, readSegment, segmentLines, unpackSegment, type Segment } from '../segment.ts';
import { checkManifest } from '../verify/manifest-check.ts';
import { standingAt } from './archived-keys.ts';
import type { SealingOptions } from './options.ts';
import { continuing, type Predecessor } from './predecessor.ts';

/** A segment of the archive that was found to continue the log. */
export interface ArchivedSegment {
  readonly key: string;
  /** As it stands there. */
  readonly packed: Buffer;
  readonly segment: Segment;
  /** Its entries' bytes. */
  readonly lines: readonly Buffer[];
  /** The tree with it. */
  readonly frontier: readonly string[];
  readonly root: string;
  /** Null where no manifest was signed over it. */
  readonly signed: { readonly manifest: Manifest; readonly text: string; readonly key: string } | null;
}

/** Compression never makes a segment longer than itself and a header. */
const MAX_PACKED_BYTES = MAX_SEGMENT_BYTES + 64 * 1024;
const MAX_MANIFEST_BYTES = 64 * 1024;

/**
 * Returns the next signed segment behind what is known, checked as an auditor checks it: signature by a key of ours,
 * chain, hashes, roots. Null where the archive holds none; CONFLICT where it holds one that is not in order.
 */
export async function nextSigned(
  options: SealingOptions,
  log: LogName,
  before: Predecessor,
): Promise<ArchivedSegment | null> {
  const { archive } = options;
  const key = manifestKey(log, before.number);
  if (!(await standingAt(archive, { log, number: before.number })).hasManifest) return null;
  const bytes = await getBounded(options, key, MAX_MANIFEST_BYTES);
  const { manifest } = continuing(() => readManifest(options, { log, key, bytes }));
  if (
    manifest.prev_manifest_sha256 !== before.manifestSha256 ||
    manifest.size_before !== before.size ||
    manifest.root_before !== before.root
  ) {
    fail('CONFLICT', `manifest ${before.number} of the archive does not continue what the database knows as signed`);
  }
  const packed = await getBounded(options, manifest.segment.key, MAX_PACKED_BYTES);
  const found = readArchived({ log, before, packed }, await unpack(packed));
  if (hash('sha256', packed, 'hex') !== manifest.segment.gz_sha256 || !isNamed(found, manifest)) {
    fail('CONFLICT', `segment ${before.number} of the archive is not the one that its manifest names`);
  }
  return { ...found, signed: { manifest, text: bytes.toString(), key } };
}

/**
 * Returns the segment that stands in the archive behind what is known without a manifest: put by a worker that has not
 * signed it yet, or ended before. `end` where an empty one ends the epoch there, null where nothing stands there. CONFLICT
 * where it does not continue the log.
 */
export async function unsignedNext(
  options: SealingOptions,
  log: LogName,
  before: Predecessor,
): Promise<ArchivedSegment | 'end' | null> {
  if (!(await standingAt(options.archive, { log, number: before.number })).hasSegment) return null;
  const packed = await getBounded(options, segmentKey(log, before.number), MAX_PACKED_BYTES);
  const bytes = await unpack(packed);
  return bytes.length === 0 ? 'end' : readArchived({ log, before, packed }, bytes);
}

function readArchived(
  { log, before, packed }: { log: LogName; before: Predecessor; packed: Buffer },
  bytes: Buffer,
): ArchivedSegment {
  return continuing(() => {
    const key = segmentKey(log, before.number);
    const frontier = Frontier.fromJSON({ size: before.size, nodes: before.frontier });
    const lines = segmentLines(bytes);
    const segment = readSegment(lines, { frontier, prev: before.lastLeaf });
    if (segment.entries.some(({ event }) => event.tenant_id !== log.tenant)) {
      fail('CONFLICT', `${key} holds an event of another tenant`);
    }
    const root = frontier.root().toString('hex');
    return { key, packed, segment, lines, frontier: frontier.toJSON().nodes, root, signed: null };
  });
}

function isNamed({ segment, root }: ArchivedSegment, manifest: Manifest): boolean {
  return (
    segment.sha256 === manifest.segment.sha256 &&
    segment.entries.length === manifest.count &&
    segment.lastLeaf === manifest.last_leaf &&
    root === manifest.root_after
  );
}

async function unpack(packed: Buffer): Promise<Buffer> {
  return unpackSegment(packed).catch((cause: unknown) =>
    fail('CONFLICT', 'a segment of the archive is broken', { cause }),
  );
}

function readManifest(
  { signer, olderKeys = [] }: SealingOptions,
  { log, key, bytes }: { log: LogName; key: string; bytes: Buffer },
): { manifest: Manifest } {
  const keys = [noteVerifier(signer.name, signer.privateKey), ...olderKeys];
  const checked = checkManifest(bytes, { log: { root: '', ...log }, name: key, keys });
  return typeof checked === 'string' ? fail('CONFLICT', `${key}: ${checked}`) : checked;
}

async function getBounded({ archive }: SealingOptions, key: string, maxBytes: number): Promise<Buffer> {
  const object = await archive.head(key);
  if (object !== null && object.sizeBytes > maxBytes) fail('CONFLICT', `${key} is longer than ${maxBytes} bytes`);
  return archive.get(key);
}
