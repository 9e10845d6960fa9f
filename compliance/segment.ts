import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { entryLeaf, MAX_ENTRY_BYTES } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import type { Frontier } from '#schema/merkle.ts';
import { viewEntry, type EntryView } from './entry-view.ts';

/** Entries of one segment at most: what a person still opens in an editor, and whole tiles of 256. */
export const MAX_SEGMENT_ENTRIES = 8_192;

/** Bytes of one uncompressed segment at most: S3 takes it in one PUT, for some servers lose the lock in several parts. */
export const MAX_SEGMENT_BYTES = 4 * 1024 * 1024;

const LF = 0x0a;

/** A run of a log's entries, checked to continue it. */
export interface Segment {
  /** The entries' RFC 8785 bytes, each followed by one LF. */
  readonly bytes: Buffer;
  /** Of `bytes`, lower-case hex. */
  readonly sha256: string;
  readonly entries: readonly EntryView[];
  /** Leaf hash of each entry. */
  readonly leaves: readonly Buffer[];
  /** Leaf hash of the last entry, lower-case hex. */
  readonly lastLeaf: string;
}

/**
 * Returns the segment of these entries' bytes and appends their leaves to the frontier, having proved that they are
 * entries, are numbered on from the frontier's size, and each names the leaf before it; `prev` is the leaf before the
 * first. Hostile input enters here: at the first entry that breaks this it fails with BAD_USER_INPUT, and the frontier
 * is then of no use.
 */
export function readSegment(
  lines: readonly Buffer[],
  { frontier, prev }: { frontier: Frontier; prev: string },
): Segment {
  if (lines.length === 0) refuse('it has no entry');
  const entries: EntryView[] = [];
  const leaves: Buffer[] = [];
  let lastLeaf = prev;
  for (const line of lines) {
    const entry = viewEntry(line);
    if (entry.seq !== frontier.size) refuse(`entry ${entry.seq} stands where ${frontier.size} belongs`);
    if (entry.prev !== lastLeaf) refuse(`entry ${entry.seq} does not name the leaf before it`);
    const leaf = entryLeaf(line);
    frontier.append(leaf);
    lastLeaf = leaf.toString('hex');
    entries.push(entry);
    leaves.push(leaf);
  }
  const bytes = Buffer.concat(lines.flatMap((line) => [line, Buffer.of(LF)]));
  return { bytes, sha256: hash('sha256', bytes, 'hex'), entries, leaves, lastLeaf };
}

/** Returns the lines of an uncompressed segment without their LF; hostile input enters here, faults are BAD_USER_INPUT. */
export function segmentLines(bytes: Buffer): Buffer[] {
  if (bytes.length > MAX_SEGMENT_BYTES) refuse(`it is longer than ${MAX_SEGMENT_BYTES} bytes`);
  const lines: Buffer[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(LF, start);
    if (end < 0) refuse('its last line does not end');
    if (end === start || end - start > MAX_ENTRY_BYTES) refuse('a line is empty or longer than an entry may be');
    if (lines.length === MAX_SEGMENT_ENTRIES) refuse(`it has more than ${MAX_SEGMENT_ENTRIES} entries`);
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

/**
 * Returns the gzip file (RFC 1952) of a segment: no time, no name, operating system 255 (unknown), so that the same
 * bytes give the same file wherever the same zlib runs. Another zlib may give other bytes, equal once unpacked.
 */
export async function packSegment(bytes: Buffer): Promise<Buffer> {
  const packed = await promisify(gzip)(bytes, { level: 2 });
  packed[OPERATING_SYSTEM] = 255;
  return packed;
}

const OPERATING_SYSTEM = 9;

/** Returns the uncompressed segment of a gzip file; hostile input enters here, at most 4 MiB come out. */
export async function unpackSegment(packed: Uint8Array): Promise<Buffer> {
  try {
    return await promisify(gunzip)(packed, { chunkSize: chunkBytes(packed), maxOutputLength: MAX_SEGMENT_BYTES });
  } catch (cause) {
    return refuse('it is no gzip file of at most 4 MiB', cause);
  }
}

/** What a gzip file says of its length at its end, so that it comes out in one piece; a lie is only slower. */
function chunkBytes(packed: Uint8Array): number {
  const said =
    packed.length < 4
      ? 0
      : Buffer.from(packed.buffer, packed.byteOffset, packed.length).readUInt32LE(packed.length - 4);
  return Math.min(Math.max(said + 1, 1024), MAX_SEGMENT_BYTES);
}

function refuse(reason: string, cause?: unknown): never {
  return fail('BAD_USER_INPUT', `segment: ${reason}`, { hint: `Segment: ${reason}.`, cause });
}
