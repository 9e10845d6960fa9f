import { hash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import { Frontier } from '#schema/merkle.ts';
import type { Manifest } from '../manifest.ts';
import { MAX_SEGMENT_BYTES, readSegment, segmentLines, unpackSegment, type Segment } from '../segment.ts';
import { reasonOf } from './report.ts';

/** What the entries before a segment leave: the tree so far and the last leaf, lower-case hex. */
export interface LogState {
  readonly frontier: Frontier;
  readonly prev: string;
}

/** A segment that is what its manifest says, or why it is not. */
export type SegmentCheck = { readonly segment: Segment } | { readonly seq: number | null; readonly sentence: string };

/** Compression never makes a segment longer than itself and a header. */
export const MAX_PACKED_BYTES = MAX_SEGMENT_BYTES + 64 * 1024;

/**
 * Checks a packed segment against its manifest and what came before; where it fits, the frontier holds its leaves
 * afterwards. Everything a manifest says of entries is compared: sizes, hashes, count, times, leaves and root.
 */
export async function checkSegment(packed: Buffer, manifest: Manifest, state: LogState): Promise<SegmentCheck> {
  const { segment: facts } = manifest;
  if (packed.length !== facts.gz_size_bytes || sha256(packed) !== facts.gz_sha256) {
    return {
      seq: await firstBadSeq(packed, manifest, state),
      sentence: 'the packed segment is not the one that its manifest names',
    };
  }
  const start = state.frontier.size;
  let segment: Segment;
  try {
    segment = readSegment(segmentLines(await unpackSegment(packed)), state);
  } catch (thrown) {
    return { seq: badSeqAfter(thrown, { start, reached: state.frontier.size }), sentence: reasonOf(thrown) };
  }
  const fault = disagreement(segment, manifest, state.frontier);
  return fault === null ? { segment } : { seq: start, sentence: fault };
}

function disagreement(segment: Segment, manifest: Manifest, frontier: Frontier): string | null {
  const [first] = segment.entries;
  const last = segment.entries.at(-1);
  const tenant = manifest.origin.split('/').at(-2);
  if (segment.bytes.length !== manifest.segment.size_bytes || segment.sha256 !== manifest.segment.sha256) {
    return 'the unpacked segment is not the one that its manifest names';
  }
  if (segment.entries.length !== manifest.count) return 'the manifest counts other entries than the segment holds';
  if (first?.prev !== manifest.first_prev || segment.lastLeaf !== manifest.last_leaf)
    return 'the manifest names other leaves';
  if (first.event.ts !== manifest.first_ts || last?.event.ts !== manifest.last_ts)
    return 'the manifest names other times';
  if (segment.entries.some(({ event }) => event.tenant_id !== tenant))
    return 'an event is of another tenant than its log';
  // This alone is what the signature covers; all the rest only helps to find the place.
  if (frontier.root().toString('hex') !== manifest.root_after)
    return 'the entries are not the ones whose root was signed';
  return null;
}

/** Reads as far as the bytes go and returns the number of the first entry that is not in order; null where all are. */
async function firstBadSeq(packed: Buffer, manifest: Manifest, { frontier, prev }: LogState): Promise<number | null> {
  const bytes = await unpackPrefix(packed);
  const whole = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1);
  const copy = Frontier.fromJSON(frontier.toJSON());
  try {
    const { lastLeaf } = readSegment(segmentLines(whole), { frontier: copy, prev });
    if (copy.size !== manifest.size_after) return Math.min(copy.size, manifest.size_after);
    return lastLeaf === manifest.last_leaf ? null : copy.size - 1;
  } catch (thrown) {
    return badSeqAfter(thrown, { start: frontier.size, reached: copy.size });
  }
}

/** An entry that does not name the leaf before it shows that the one before was changed, or it was itself. */
function badSeqAfter(thrown: unknown, { start, reached }: { start: number; reached: number }): number {
  return reasonOf(thrown).includes('does not name the leaf') ? Math.max(start, reached - 1) : reached;
}

/** Returns what comes out of a gzip file before its first fault, at most a segment. */
function unpackPrefix(packed: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let length = 0;
    const gunzip = createGunzip({ chunkSize: 1024 });
    const end = () => {
      gunzip.destroy();
      resolve(Buffer.concat(pieces));
    };
    gunzip.on('data', (piece: Buffer) => {
      pieces.push(piece);
      length += piece.length;
      if (length > MAX_SEGMENT_BYTES) end();
    });
    gunzip.on('end', end);
    gunzip.on('error', end);
    gunzip.end(packed);
  });
}

function sha256(bytes: Buffer): string {
  return hash('sha256', bytes, 'hex');
}
