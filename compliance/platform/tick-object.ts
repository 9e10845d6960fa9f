import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { fail } from '#schema/errors.ts';
import { encodePlatformTick, MAX_TICK_BYTES, parsePlatformTick, type PlatformTick } from '#schema/platform-entry.ts';

/** Where the objects of one epoch of a platform log lie. */
export interface TickFolder {
  readonly region: string;
  readonly epoch: number;
}

/** Returns the beginning of the keys of everything of an epoch. */
export function epochFolder({ region, epoch }: TickFolder): string {
  return `v1/${region}/platform/${epoch}/`;
}

/** Returns the beginning of the keys of all ticks of an epoch. */
export function tickFolder(folder: TickFolder): string {
  return `${epochFolder(folder)}cp/`;
}

/** Returns the key of a tick, whatever it holds. */
export function tickKey(folder: TickFolder, tick: number): string {
  return `${tickFolder(folder)}${nineDigits(tick)}.json.gz`;
}

/** Returns the key under which the text stands that alone may be signed for a tick. */
export function claimKey(folder: TickFolder, tick: number): string {
  return `${epochFolder(folder)}claim/${nineDigits(tick)}.txt`;
}

function nineDigits(tick: number): string {
  return String(tick).padStart(9, '0');
}

const NAME = /^([0-9]{9})\.json\.gz$/;

/** Returns the number that the name of a tick's file holds; null for any other file. */
export function tickNumberOf(name: string): number | null {
  const number = NAME.exec(name)?.[1];
  return number === undefined ? null : Number(number);
}

/** The tick that nobody signs: the epoch ends before its number. */
export const EPOCH_END: PlatformTick = { v: 1, entries: [], heads: [], checkpoint: '' };

/** Tells whether a tick ends its epoch. */
export function isEpochEnd({ entries, heads, checkpoint }: PlatformTick): boolean {
  return entries.length === 0 && heads.length === 0 && checkpoint === '';
}

/** An object before it is compressed. */
export interface TickBytes {
  readonly bytes: Buffer;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly key: string;
}

/** Returns the bytes of a tick and its key. */
export function tickBytes(folder: TickFolder, tick: number, content: PlatformTick): TickBytes {
  const bytes = Buffer.from(encodePlatformTick(content));
  const sha256 = hash('sha256', bytes, 'hex');
  return { bytes, sha256, key: tickKey(folder, tick) };
}

/** Returns the gzip file (RFC 1952) of an object, without time, name and operating system, as segments are packed. */
export async function packTick(bytes: Buffer): Promise<Buffer> {
  const packed = await promisify(gzip)(bytes, { level: 6 });
  packed[OPERATING_SYSTEM] = 255;
  return packed;
}

const OPERATING_SYSTEM = 9;

/** Returns the uncompressed bytes of an object; hostile input enters here, more than it may hold is BAD_USER_INPUT. */
export async function unpackTick(packed: Uint8Array): Promise<Buffer> {
  try {
    return await promisify(gunzip)(packed, { maxOutputLength: MAX_TICK_BYTES });
  } catch (cause) {
    return fail('BAD_USER_INPUT', 'platform log: an object is no gzip file', { cause });
  }
}

/** Returns what an object of the archive holds; nothing inside is verified. */
export async function readTick(packed: Uint8Array): Promise<PlatformTick> {
  return parsePlatformTick(await unpackTick(packed));
}
