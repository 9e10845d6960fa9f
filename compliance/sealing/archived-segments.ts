import { hash } from 'node:crypto';
import { fail } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import { noteVerifier } from '#schema/signed-note.ts';
import type { LogName, Manifest } from '../manifest.ts';
import { segmentKey } from '../manifest.ts';
import { MAX_SEGMENT_BYTES, readSegment, segmentLines, unpackSegment, type Segment } from '../segment.ts';
import { checkManifest } from '../verify/manifest-check.ts';
import { keysOf } from './archived-keys.ts';
import type { SealingOptions } from './options.ts';
import { continuing, type Predecessor } from './predecessor.ts';

/** A segment of the archive that was found to continue the log. */
export interface ArchivedSegment {
  readonly key: string;
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
 * chain, hashes, roots. Null where the archive holds none; CONFLICT where it holds one that is not in order, or two.
 */
export async function nextSigned(
  options: SealingOptions,
  log: LogName,
  before: Predecessor,
): Promise<ArchivedSegment | null> {
  const { archive } = options;
  const [key, ...others] = await keysOf(archive, { log, kind: 'man', number: before.number });
  if (key === undefined) return null;
  if (others.length > 0) fail('CONFLICT', `the archive holds two manifests of number ${before.number}`);
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
  const bytesOfSegment = await unpack(packed);
  const found = readArchived({ key: manifest.segment.key, log, before }, bytesOfSegment);
  if (hash('sha256', packed, 'hex') !== manifest.segment.gz_sha256 || !isNamed(found, manifest)) {
    fail('CONFLICT', `segment ${before.number} of the archive is not the one that its manifest names`);
  }
  return { ...found, signed: { manifest, text: bytes.toString(), key } };
}

/**
 * Returns the segments that stand in the archive behind what is known without a manifest: put by a worker that ended
 * before it signed. CONFLICT where one does not continue the log.
 */
export async function unsignedSegments(
  options: SealingOptions,
  log: LogName,
  before: Predecessor,
): Promise<ArchivedSegment[]> {
  const found: ArchivedSegment[] = [];
  for (const key of await keysOf(options.archive, { log, kind: 'seg', number: before.number })) {
    const bytes = await unpack(await getBounded(options, key, MAX_PACKED_BYTES));
    found.push(readArchived({ key, log, before }, bytes));
  }
  return found;
}

function readArchived(
  { key, log, before }: { key: string; log: LogName; before: Predecessor },
  bytes: Buffer,
): ArchivedSegment {
  return continuing(() => {
    const frontier = Frontier.fromJSON({ size: before.size, nodes: before.frontier });
    const lines = segmentLines(bytes);
    const segment = readSegment(lines, { frontier, prev: before.lastLeaf });
    if (key !== segmentKey(log, before.number, segment.sha256)) fail('CONFLICT', `${key} is named wrongly`);
    if (segment.entries.some(({ event }) => event.tenant_id !== log.tenant)) {
      fail('CONFLICT', `${key} holds an event of another tenant`);
    }
    const root = frontier.root().toString('hex');
    return { key, segment, lines, frontier: frontier.toJSON().nodes, root, signed: null };
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
