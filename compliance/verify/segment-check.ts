import { hash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import { Frontier } from '#schema/merkle.ts';
import type { Manifest } from '../manifest.ts';
import { MAX_SEGMENT_BYTES, unpackSegment } from '../segment.ts';
import { reasonOf } from './report.ts';
import { readLines, type LogState, type SegmentEnd, type SegmentLines } from './segment-lines.ts';

/** A segment that is what its manifest says, or why it is not. */
export type SegmentCheck =
  | { readonly segment: SegmentLines }
  | { readonly seq: number | null; readonly sentence: string };

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
  let bytes: Buffer;
  try {
    bytes = await unpackSegment(packed);
  } catch (thrown) {
    return { seq: start, sentence: reasonOf(thrown) };
  }
  const unpacked = { sizeBytes: bytes.length, sha256: sha256(bytes) };
  const segment = readLines(bytes, endOf(manifest), state);
  if (segment.fault !== null) return segment.fault;
  const fault = disagreement(segment, manifest, { unpacked, frontier: state.frontier });
  return fault === null ? { segment } : { seq: start, sentence: fault };
}

function disagreement(
  segment: SegmentLines,
  manifest: Manifest,
  { unpacked, frontier }: { unpacked: { sizeBytes: number; sha256: string }; frontier: Frontier },
): string | null {
  if (unpacked.sizeBytes !== manifest.segment.size_bytes || unpacked.sha256 !== manifest.segment.sha256) {
    return 'the unpacked segment is not the one that its manifest names';
  }
  if (segment.count !== manifest.count) return 'the manifest counts other entries than the segment holds';
  if (segment.lastLeaf !== manifest.last_leaf) return 'the manifest names other leaves';
  if (segment.firstTs !== manifest.first_ts || segment.lastTs !== manifest.last_ts)
    return 'the manifest names other times';
  // This alone is what the signature covers; all the rest only helps to find the place.
  if (frontier.root().toString('hex') !== manifest.root_after)
    return 'the entries are not the ones whose root was signed';
  return null;
}

/** Reads as far as the bytes go and returns the number of the first entry that is not in order; null where all are. */
async function firstBadSeq(packed: Buffer, manifest: Manifest, { frontier, prev }: LogState): Promise<number | null> {
  const bytes = await unpackPrefix(packed);
  const whole = bytes.subarray(0, Math.min(bytes.lastIndexOf(0x0a) + 1, MAX_SEGMENT_BYTES));
  const copy = Frontier.fromJSON(frontier.toJSON());
  const { fault, lastLeaf } = readLines(whole, endOf(manifest), { frontier: copy, prev });
  if (fault !== null) return fault.seq;
  if (copy.size !== manifest.size_after) return Math.min(copy.size, manifest.size_after);
  return lastLeaf === manifest.last_leaf ? null : copy.size - 1;
}

function endOf({ origin, last_leaf: last }: Manifest): SegmentEnd {
  return { tenant: origin.split('/').at(-2) ?? '', last };
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
