/** Entries of a whole block; block n of an epoch begins at n times this. */
export const BLOCK_SIZE = 4096;

/** Blocks whose words are merged once all are there. */
export const SPAN_BLOCKS = 64;

/** Entries of a whole span; span n of an epoch begins at n times this. */
export const SPAN_SIZE = BLOCK_SIZE * SPAN_BLOCKS;

/** Entries whose earliest and latest time a block keeps, so that a window of time reads few others. */
export const RUN_SIZE = 256;

/** What words are gathered by: a block, or a span. A search that has to look far looks into spans. */
export type Level = 0 | 1;

/** Partitions that the words of a block are spread over by the first bits of their hashes; a span has 64 of each. */
export const PART_COUNT = 128;

/** Places of a block or a span as bits, the first place lowest in the first number. */
export type Places = Uint32Array;

/** The words of one partition, as they are stored (docs/audit-search.md). */
export interface WordPart {
  readonly part: number;
  readonly postings: Buffer;
}

/** Gathers the words of one block, entry by entry. */
export interface BlockWords {
  /** Adds the words of the entry at this place within the block; places ascend. */
  add(place: number, words: Iterable<number>): void;
  /** Returns the postings of every partition that has any. */
  parts(): WordPart[];
}

/** Seven bits of a hash choose the partition, the next 24 are the key, the last is dropped. */
const KEY_BITS = 24;
const KEY_MASK = 0xffffff;
const KEY_BYTES = 3;
/** A span's partitions take so many bits of the key besides. */
const SPAN_PART_BITS = 6;
const SPAN_KEY_BITS = KEY_BITS - SPAN_PART_BITS;
const PLACES_PER_NUMBER = 32;

/** Returns the partition of a word's hash. */
export function partOf(word: number, level: Level): number {
  return (word >>> 1) >>> (level === 0 ? KEY_BITS : SPAN_KEY_BITS);
}

/** Returns what the record of a word begins with: 24 bits of its hash, big-endian. */
export function postingKey(word: number): Buffer {
  const key = keyOf(word);
  return Buffer.from([key >>> 16, (key >>> 8) & 0xff, key & 0xff]);
}

/** Returns no places of a block or a span. */
export function noPlaces(level: Level): Places {
  return new Uint32Array((level === 0 ? BLOCK_SIZE : SPAN_SIZE) / PLACES_PER_NUMBER);
}

/** Begins a block without words. */
export function blockWords(): BlockWords {
  const places = new Map<number, number[]>();
  return {
    add: (place, words) => {
      for (const word of words) {
        const known = places.get(word >>> 1);
        if (known === undefined) places.set(word >>> 1, [place]);
        // Two words may have the same bits.
        else if (known.at(-1) !== place) known.push(place);
      }
    },
    parts: () => encodeParts(places, KEY_BITS),
  };
}

/** Returns the words of a span by those of one partition of its blocks, which are given by their number within the span. */
export function mergeParts(part: number, blocks: ReadonlyMap<number, Buffer>): WordPart[] {
  const places = new Map<number, number[]>();
  for (const [block, postings] of [...blocks].toSorted(([a], [b]) => a - b)) {
    for (let at = 0; at < postings.length;) {
      const record = recordAt(postings, at);
      const name = part * (KEY_MASK + 1) + record.key;
      const known = places.get(name) ?? [];
      if (known.length === 0) places.set(name, known);
      eachPlace(postings, record, (place) => known.push(block * BLOCK_SIZE + place));
      at = record.end;
    }
  }
  return encodeParts(places, SPAN_KEY_BITS);
}

/** Adds the places at which a word stands, by the postings of its partition. */
export function addPlaces(into: Places, postings: Buffer, word: number): void {
  const wanted = keyOf(word);
  for (let at = 0; at < postings.length;) {
    const record = recordAt(postings, at);
    if (record.key >= wanted) {
      if (record.key === wanted) eachPlace(postings, record, (place) => addPlace(into, place));
      return;
    }
    at = record.end;
  }
}

function addPlace(into: Places, place: number): void {
  into[place >>> 5] = (into[place >>> 5] ?? 0) | (1 << (place & 31));
}

function keyOf(word: number): number {
  return (word >>> 1) & KEY_MASK;
}

/** Where the body of a record stands, and what it is. */
interface PostingRecord {
  readonly key: number;
  readonly isBitmap: boolean;
  readonly start: number;
  readonly end: number;
}

function recordAt(postings: Buffer, at: number): PostingRecord {
  const key = ((postings[at] ?? 0) << 16) | ((postings[at + 1] ?? 0) << 8) | (postings[at + 2] ?? 0);
  let [head, start] = [0, at + KEY_BYTES];
  for (let shift = 0, byte = 0x80; byte >= 0x80; shift += 7) {
    byte = postings[start++] ?? 0;
    head |= (byte & 0x7f) << shift;
  }
  return { key, isBitmap: (head & 1) === 1, start, end: start + (head >>> 1) };
}

function eachPlace(postings: Buffer, { isBitmap, start, end }: PostingRecord, visit: (place: number) => void): void {
  if (isBitmap) {
    for (let at = start; at < end; at++) {
      for (let bits = postings[at] ?? 0; bits !== 0; bits &= bits - 1) visit((at - start) * 8 + lowestBit(bits));
    }
    return;
  }
  let [place, gap, shift] = [0, 0, 0];
  for (let at = start; at < end; at++) {
    const byte = postings[at] ?? 0;
    gap |= (byte & 0x7f) << shift;
    shift += 7;
    if (byte >= 0x80) continue;
    place += gap;
    visit(place);
    [gap, shift] = [0, 0];
  }
}

function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

/** Bytes that are being written. */
interface Output {
  bytes: Buffer;
  at: number;
}

/** The keys of the map are bits of hashes, the partition's first: their order is that of partitions and records. */
function encodeParts(places: ReadonlyMap<number, readonly number[]>, keyBits: number): WordPart[] {
  const parts: WordPart[] = [];
  const output: Output = { bytes: Buffer.alloc(1 << 16), at: 0 };
  let open: number | null = null;
  const close = () => {
    if (open !== null) parts.push({ part: open, postings: Buffer.from(output.bytes.subarray(0, output.at)) });
    output.at = 0;
  };
  for (const name of Uint32Array.from(places.keys()).sort()) {
    const part = name >>> keyBits;
    if (part !== open) close();
    open = part;
    writeRecord(output, name & KEY_MASK, places.get(name) ?? []);
  }
  close();
  return parts;
}

/** Key, length of the body with its kind in the lowest bit, body: gaps between places, or bits where they are shorter. */
function writeRecord(output: Output, key: number, places: readonly number[]): void {
  const bitmapBytes = ((places.at(-1) ?? 0) >>> 3) + 1;
  const gapBytes = gapBytesOf(places);
  const isBitmap = bitmapBytes < gapBytes;
  const length = isBitmap ? bitmapBytes : gapBytes;
  reserve(output, KEY_BYTES + MOST_NUMBER_BYTES + length);
  output.at = output.bytes.writeUIntBE(key, output.at, KEY_BYTES);
  writeNumber(output, length * 2 + Number(isBitmap));
  if (isBitmap) {
    const { bytes, at: start } = output;
    output.at = start + length;
    bytes.fill(0, start, output.at);
    for (const place of places) bytes[start + (place >>> 3)] = (bytes[start + (place >>> 3)] ?? 0) | (1 << (place & 7));
    return;
  }
  let before = 0;
  for (const place of places) {
    writeNumber(output, place - before);
    before = place;
  }
}

function gapBytesOf(places: readonly number[]): number {
  let [bytes, before] = [0, 0];
  for (const place of places) {
    const gap = place - before;
    bytes += gap < 0x80 ? 1 : gap < 0x4000 ? 2 : 3;
    before = place;
  }
  return bytes;
}

/** A span has 2^18 places, so a length takes three bytes at most, and so does a gap. */
const MOST_NUMBER_BYTES = 3;

/** Seven bits a byte, the lowest first; the highest bit says that more follow (LEB128). */
function writeNumber(output: Output, number: number): void {
  let rest = number;
  for (; rest > 0x7f; rest >>>= 7) output.bytes[output.at++] = (rest & 0x7f) | 0x80;
  output.bytes[output.at++] = rest;
}

function reserve(output: Output, bytes: number): void {
  if (output.at + bytes <= output.bytes.length) return;
  output.bytes = Buffer.concat([output.bytes], (output.at + bytes) * 2);
}
