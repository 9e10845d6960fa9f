import { isUtf8 } from 'node:buffer';
import { hash } from 'node:crypto';
import { MAX_ENTRY_BYTES, parseEntry, type AuditEntry } from '#schema/audit-event.ts';
import { entryScan, type EntryPosition } from '#schema/entry-scan.ts';
import type { Frontier } from '#schema/merkle.ts';
import { MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES } from '../segment.ts';
import { reasonOf } from './report.ts';

/** What the entries before a segment leave: the tree so far and the last leaf, lower-case hex. */
export interface LogState {
  readonly frontier: Frontier;
  readonly prev: string;
}

/** What a manifest says of a segment that helps to find a fault. */
export interface SegmentEnd {
  readonly tenant: string;
  /** Leaf hash of the last entry, lower-case hex. */
  readonly last: string;
}

/** An entry of a segment that was checked, with its leaf hash in lower-case hex. */
export interface SegmentEntry {
  readonly entry: AuditEntry;
  readonly leaf: string;
}

/** The lines of a segment up to the first fault: entries that go on from each other. */
export interface SegmentLines {
  readonly count: number;
  /** Leaf hashes, 32 bytes each. */
  readonly leaves: Uint8Array;
  /** Leaf hash of the last entry, lower-case hex; that before the segment where it has none. */
  readonly lastLeaf: string;
  /** `event.ts` of the first and the last entry; null where there is none. */
  readonly firstTs: string | null;
  readonly lastTs: string | null;
  /** The first entry that cannot be relied upon, and why; null where all are in order. */
  readonly fault: { readonly seq: number; readonly sentence: string } | null;
  entries(): Generator<SegmentEntry, void, undefined>;
}

const LF = 0x0a;
const HASH_BYTES = 32;
const TS = Buffer.from('"ts":"');

/**
 * Reads the lines of an unpacked segment in one pass without making values of them: each must be the canonical entry of
 * the tenant that is numbered on from the frontier's size and names the leaf before it. Appends the leaves to the
 * frontier. Hostile input enters here; it is bounded, and faults are no errors.
 */
export function readLines(bytes: Buffer, { tenant, last }: SegmentEnd, { frontier, prev }: LogState): SegmentLines {
  const scan = isUtf8(bytes) ? entryScan(tenant) : () => false;
  const ends: number[] = [];
  const leaves = new Uint8Array(HASH_BYTES * Math.min(MAX_SEGMENT_ENTRIES, lineCount(bytes)));
  let [start, lastLeaf] = [0, prev];
  let fault: SegmentLines['fault'] = null;
  while (start < bytes.length) {
    const end = bytes.indexOf(LF, start);
    const seq = frontier.size;
    const sentence = lineFault(bytes, { start, end, count: ends.length });
    if (sentence !== null) fault = { seq, sentence };
    else if (!scan(bytes, { start, end, seq, prev: lastLeaf })) {
      fault = entryFault(bytes, { start, end, seq, prev: lastLeaf, tenant, last, isFirst: ends.length === 0 });
    }
    if (fault !== null) break;
    lastLeaf = leafAt(bytes, start, end);
    const at = HASH_BYTES * ends.length;
    const leaf = leaves.subarray(at, at + HASH_BYTES);
    setHex(leaf, lastLeaf);
    frontier.append(leaf);
    ends.push(end);
    start = end + 1;
  }
  return {
    count: ends.length,
    leaves: leaves.subarray(0, HASH_BYTES * ends.length),
    lastLeaf,
    firstTs: timeOf(bytes, 0, ends[0]),
    lastTs: timeOf(bytes, (ends.at(-2) ?? -1) + 1, ends.at(-1)),
    fault,
    entries: () => entriesOf(bytes, ends, leaves),
  };
}

function lineFault(bytes: Buffer, { start, end, count }: { start: number; end: number; count: number }): string | null {
  if (bytes.length > MAX_SEGMENT_BYTES) return `segment: it is longer than ${MAX_SEGMENT_BYTES} bytes`;
  if (end < 0) return 'segment: its last line does not end';
  if (end === start || end - start > MAX_ENTRY_BYTES) return 'segment: a line is empty or longer than an entry may be';
  return count === MAX_SEGMENT_ENTRIES ? `segment: it has more than ${MAX_SEGMENT_ENTRIES} entries` : null;
}

interface ExpectedEntry extends EntryPosition, SegmentEnd {
  readonly isFirst: boolean;
}

/** What the scan leaves open: why a line is not the entry of its place, or null where it is, in a rare spelling. */
function entryFault(bytes: Buffer, expected: ExpectedEntry): SegmentLines['fault'] {
  const { start, end, seq } = expected;
  try {
    const entry = parseEntry(bytes.subarray(start, end));
    if (entry.seq !== seq) return { seq, sentence: `segment: entry ${entry.seq} stands where ${seq} belongs` };
    if (entry.event.tenant_id !== expected.tenant)
      return { seq, sentence: 'an event is of another tenant than its log' };
    if (entry.prev === expected.prev) return null;
    const sentence = `segment: entry ${seq} does not name the leaf before it`;
    return { seq: isNamedBehind(bytes, expected) && !expected.isFirst ? seq - 1 : seq, sentence };
  } catch (thrown) {
    return { seq, sentence: reasonOf(thrown) };
  }
}

/** Whether what follows names the leaf of an entry: then the entry is untouched, and the one that it names was changed. */
function isNamedBehind(bytes: Buffer, { start, end, last }: ExpectedEntry): boolean {
  const leaf = leafAt(bytes, start, end);
  const next = bytes.subarray(end + 1, Math.max(end + 1, bytes.indexOf(LF, end + 1)));
  return next.length === 0 ? leaf === last : next.lastIndexOf(`"prev":"${leaf}"`) >= 0;
}

/** The byte before a line, which is the LF of the line before, makes room for the 0x00 of a leaf: nothing is copied. */
function leafAt(bytes: Buffer, start: number, end: number): string {
  if (start === 0) return hash('sha256', Buffer.concat([Buffer.of(0x00), bytes.subarray(0, end)]), 'hex');
  bytes[start - 1] = 0x00;
  const leaf = hash('sha256', bytes.subarray(start - 1, end), 'hex');
  bytes[start - 1] = LF;
  return leaf;
}

/** Behind `ts` an entry has fixed fields alone, so the last place that looks like it is it. */
function timeOf(bytes: Buffer, start: number, end: number | undefined): string | null {
  if (end === undefined) return null;
  const at = bytes.subarray(start, end).lastIndexOf(TS) + start + TS.length;
  return bytes.toString('latin1', at, bytes.indexOf(0x22, at));
}

function* entriesOf(bytes: Buffer, ends: readonly number[], leaves: Uint8Array): Generator<SegmentEntry> {
  let start = 0;
  for (const [index, end] of ends.entries()) {
    // Every line was checked to be an entry.
    const entry = JSON.parse(bytes.toString('utf8', start, end)) as AuditEntry;
    const leaf = Buffer.from(leaves.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES)).toString('hex');
    yield { entry, leaf };
    start = end + 1;
  }
}

function lineCount(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) count += 1;
  return count;
}

function setHex(target: Uint8Array, hex: string): void {
  for (let index = 0; index < target.length; index++) {
    target[index] = (nibble(hex.charCodeAt(index * 2)) << 4) | nibble(hex.charCodeAt(index * 2 + 1));
  }
}

function nibble(code: number): number {
  return code < 0x3a ? code - 0x30 : code - 0x57;
}
