import { canonicalBytes, canonicalJson, parseCanonical, type JsonValue } from './canonical-json.ts';
import { fail } from './errors.ts';
import { isObject } from './json-object.ts';
import { leafHash } from './merkle.ts';

/** What every entry of a platform log has. */
type PlatformEntryBase = {
  readonly v: 1;
  /** Gap-free from 0 in a log: the leaf's index. */
  readonly number: number;
  /**
   * RFC 3339 in UTC with `Z`, to the millisecond: of heads, when they were read, never before the heads before; of an event,
   * when it happened.
   */
  readonly at: string;
  /** The leaf hash of `number - 1` as lower-case hex; 64 zeros for 0. */
  readonly prev: string;
};

/** The heartbeat: commits to the head of every tenant log of the cell; written twice a minute, also when nothing happened. */
export type HeadsEntry = PlatformEntryBase & {
  readonly kind: 'heads';
  /** How many leaves the tree of heads has. */
  readonly tenants: number;
  /** RFC 6962 root, in lower-case hex, over the canonical bytes of all heads in the order of their origins' bytes. */
  readonly heads_root: string;
};

/** Something that happened to the platform itself, such as `archive.self_tested`. */
export type PlatformEventEntry = PlatformEntryBase & {
  readonly kind: 'event';
  readonly type: string;
  readonly detail: { readonly [key: string]: JsonValue };
};

/** An entry of a platform log; its canonical bytes are the leaf's input. */
export type PlatformEntry = HeadsEntry | PlatformEventEntry;

/** The head of one tenant log, a leaf of the tree of heads. */
export type PlatformHead = {
  readonly v: 1;
  /** Of the tenant log: `<deployment>/audit/<tenant id>/<epoch>`. */
  readonly origin: string;
  /** Entries, and the RFC 6962 root over them in lower-case hex. */
  readonly size: number;
  readonly root: string;
  /** Reconciled since the tenant began: mutations that gateways let through, and those that an event speaks of. */
  readonly mutations: number;
  readonly events: number;
};

/** One object of the archive: what one tick added. */
export type PlatformTick = {
  readonly v: 1;
  /** Canonical texts of the entries in their order; the last one, and no other, is of kind `heads`. */
  readonly entries: readonly string[];
  /** Canonical texts of the heads that the tick before did not have like this, by origin. */
  readonly heads: readonly string[];
  /** Signed note over the log up to the last entry. */
  readonly checkpoint: string;
};

/** Where a platform log stands. */
export interface PlatformLogName {
  /** Host-like name of the deployment, which is also the name of its signing key. */
  readonly deployment: string;
  readonly cell: string;
  readonly epoch: number;
}

/** What happened, as others hand it in. */
export interface PlatformEvent {
  readonly type: string;
  readonly detail: { readonly [key: string]: JsonValue };
  readonly at: Date;
}

/** The `prev` of the first entry of a log. */
export const FIRST_PREV = '0'.repeat(64);
/** How long an entry may be: what a C2SP tile can hold. */
export const MAX_PLATFORM_ENTRY_BYTES = 65_535;
/** How long an uncompressed object may be: far beyond a tick in which a hundred thousand heads changed. */
export const MAX_TICK_BYTES = 256 * 1024 * 1024;

const MAX_DETAIL_BYTES = 16_384;
const MAX_HEAD_BYTES = 2_048;
const MAX_ENTRIES = 10_000;
const TYPE = /^[a-z][a-z0-9_]{0,39}(?:\.[a-z][a-z0-9_]{0,39}){1,3}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
/** Graphic ASCII without a plus, as key names of notes are; so that its order is one everywhere. */
const ORIGIN = /^[!-*,-~]{1,1000}$/;
const HASH_HEX = /^[0-9a-f]{64}$/;

/** Returns the origin of the log's checkpoints: `<deployment>/platform/<cell>/<epoch>`. */
export function platformOrigin({ deployment, cell, epoch }: PlatformLogName): string {
  return `${deployment}/platform/${cell}/${epoch}`;
}

/**
 * Returns the canonical text of an event's detail, having proved that an entry can carry the event; else BAD_USER_INPUT,
 * for its writer is at fault.
 */
export function checkPlatformEvent({ type, detail, at }: PlatformEvent): string {
  if (!TYPE.test(type)) refuse('the type of an event is not of the form noun.verb');
  if (Number.isNaN(at.getTime())) refuse('the time of an event is none');
  const text = canonicalJson(detail);
  return Buffer.byteLength(text) > MAX_DETAIL_BYTES
    ? refuse(`a detail is longer than ${MAX_DETAIL_BYTES} bytes`)
    : text;
}

/** Returns the RFC 8785 text of an entry; what `parsePlatformEntry` would not take back is BAD_USER_INPUT. */
export function encodePlatformEntry(entry: PlatformEntry): string {
  const bytes = canonicalBytes(entry);
  parsePlatformEntry(bytes);
  return bytes.toString('utf8');
}

/** Returns the entry whose canonical bytes these are. Hostile input enters here; all faults are BAD_USER_INPUT. */
export function parsePlatformEntry(bytes: Uint8Array): PlatformEntry {
  if (bytes.length > MAX_PLATFORM_ENTRY_BYTES) refuse(`an entry is longer than ${MAX_PLATFORM_ENTRY_BYTES} bytes`);
  const entry: unknown = parseCanonical(bytes);
  if (isHeadsEntry(entry) || isEventEntry(entry)) return entry;
  return refuse('an entry has not exactly the fields of its kind');
}

/** Returns the RFC 8785 text of a head. */
export function encodePlatformHead(head: PlatformHead): string {
  return isHead(head) ? canonicalJson(head) : refuse('a head has not exactly its fields');
}

/** Returns the head whose canonical bytes these are. Hostile input enters here; all faults are BAD_USER_INPUT. */
export function parsePlatformHead(bytes: Uint8Array): PlatformHead {
  if (bytes.length > MAX_HEAD_BYTES) refuse(`a head is longer than ${MAX_HEAD_BYTES} bytes`);
  const head: unknown = parseCanonical(bytes);
  return isHead(head) ? head : refuse('a head has not exactly its fields');
}

/** Returns the leaf hash of an entry's or a head's text. */
export function platformLeaf(text: string): Buffer {
  return leafHash(Buffer.from(text));
}

/** Tells in which order heads stand in their tree: by the bytes of their origins, which are ASCII. */
export function compareOrigins(left: { readonly origin: string }, right: { readonly origin: string }): number {
  if (left.origin === right.origin) return 0;
  return left.origin < right.origin ? -1 : 1;
}

/** Returns the RFC 8785 text of an object. */
export function encodePlatformTick(tick: PlatformTick): string {
  return isTick(tick) ? canonicalJson(tick) : refuse('an object has not exactly its fields');
}

/** Returns the object whose canonical bytes these are; entries, heads and the checkpoint inside are not read. */
export function parsePlatformTick(bytes: Uint8Array): PlatformTick {
  if (bytes.length > MAX_TICK_BYTES) refuse(`an object is longer than ${MAX_TICK_BYTES} bytes`);
  const tick: unknown = parseCanonical(bytes);
  return isTick(tick) ? tick : refuse('an object has not exactly its fields');
}

type Fields = Readonly<Record<string, unknown>>;

const BASE_KEYS = ['v', 'number', 'at', 'prev', 'kind'];

function isHeadsEntry(value: unknown): value is HeadsEntry {
  return (
    hasKeys(value, [...BASE_KEYS, 'tenants', 'heads_root']) &&
    isBase(value) &&
    value['kind'] === 'heads' &&
    isCount(value['tenants']) &&
    isHash(value['heads_root'])
  );
}

function isEventEntry(value: unknown): value is PlatformEventEntry {
  return (
    hasKeys(value, [...BASE_KEYS, 'type', 'detail']) &&
    isBase(value) &&
    value['kind'] === 'event' &&
    typeof value['type'] === 'string' &&
    TYPE.test(value['type']) &&
    isObject(value['detail'])
  );
}

function isBase({ v, number, at, prev }: Fields): boolean {
  return v === 1 && isCount(number) && isTime(at) && isHash(prev) && (number === 0) === (prev === FIRST_PREV);
}

function isHead(value: unknown): value is PlatformHead {
  if (!hasKeys(value, ['v', 'origin', 'size', 'root', 'mutations', 'events'])) return false;
  const { v, origin, size, root, mutations, events } = value;
  return (
    v === 1 &&
    typeof origin === 'string' &&
    ORIGIN.test(origin) &&
    isCount(size) &&
    isHash(root) &&
    isCount(mutations) &&
    isCount(events) &&
    Number(events) <= Number(mutations)
  );
}

function isTick(value: unknown): value is PlatformTick {
  if (!hasKeys(value, ['v', 'entries', 'heads', 'checkpoint'])) return false;
  const { v, entries, heads, checkpoint } = value;
  return (
    v === 1 && isTexts(entries) && entries.length <= MAX_ENTRIES && isTexts(heads) && typeof checkpoint === 'string'
  );
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isHash(value: unknown): boolean {
  return typeof value === 'string' && HASH_HEX.test(value);
}

function isTime(value: unknown): boolean {
  if (typeof value !== 'string' || !TIME.test(value)) return false;
  const time = new Date(value);
  return !Number.isNaN(time.getTime()) && time.toISOString() === value;
}

function hasKeys(value: unknown, keys: readonly string[]): value is Fields {
  return isObject(value) && Object.keys(value).length === keys.length && keys.every((key) => Object.hasOwn(value, key));
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `platform log: ${reason}`, { hint: `Platform log: ${reason}.` });
}
