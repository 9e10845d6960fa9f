import { fail } from '#schema/errors.ts';

/** What is known of an object without reading it. */
export interface ArchivedObject {
  readonly sizeBytes: number;
  /** Until then nobody may change or remove it through the archive. */
  readonly retainUntil: Date;
  /** A legal hold keeps it, whatever its retention. */
  readonly isHeld: boolean;
}

/** One thing that nobody may do with what is kept, tried on the store itself, past this program. */
export interface StoreAttack {
  /** Small letters and underscores. */
  readonly attempt: string;
  /** What the store said: status and code of its answer, or what it then held. */
  readonly answer: string;
  /**
   * `kept`: the promise stands. `differs`: the store does something else than S3 does, which no promise rests on.
   * `broken`: what is kept can be changed or removed.
   */
  readonly verdict: 'kept' | 'differs' | 'broken';
}

/**
 * A store that keeps what it has taken: objects are written once, under a retention date that only grows. Words in
 * capitals are those of RFC 2119. Every function MUST refuse a key that `checkKey` refuses, and MUST answer with
 * SERVICE_UNAVAILABLE where the store is full, read-only or away; it MAY have stored the object even so, which is why a
 * caller repeats a failed call with the same bytes.
 */
export interface Archive {
  /** What enforces the retention, as manifests name it: `COMPLIANCE` is S3 Object Lock, `FILESYSTEM` this program. */
  readonly lockMode: 'COMPLIANCE' | 'FILESYSTEM';

  /**
   * Stores an object. When it resolves, the object MUST be durable and its retention MUST reach at least `retainUntil`.
   * It MUST become visible whole or not at all. Where the key exists with the same bytes it MUST succeed, with the
   * later of both retentions; with other bytes it MUST leave them untouched and fail with RETENTION_LOCKED. Of several
   * writers of one key exactly one MUST win; a store that cannot promise this SHOULD keep both as versions, for readers
   * choose by hash.
   */
  put(key: string, bytes: Uint8Array, options: { readonly retainUntil: Date }): Promise<void>;

  /** Tells what is known of an object, or null where there is none. */
  head(key: string): Promise<ArchivedObject | null>;

  /** Returns the bytes of an object; NOT_FOUND where there is none. */
  get(key: string): Promise<Buffer>;

  /**
   * Yields every key that starts with the prefix, in the order of its UTF-8 bytes; half-written objects MUST NOT show.
   * What lies under other prefixes SHOULD cost nothing.
   */
  list(prefix: string): AsyncIterable<string>;

  /**
   * Removes an object whose retention has ended and that no legal hold keeps; any other MUST fail with
   * RETENTION_LOCKED, for everybody.
   */
  remove(key: string): Promise<void>;

  /** Returns the date up to which the object is kept; NOT_FOUND where there is none. */
  retention(key: string): Promise<Date>;

  /** Moves the retention to a later date, durably; an earlier one MUST fail with RETENTION_LOCKED. */
  extendRetention(key: string, retainUntil: Date): Promise<void>;

  /**
   * Places a legal hold on the object or lifts it, durably; the retention stays as it is. NOT_FOUND where there is
   * none.
   */
  setLegalHold(key: string, isHeld: boolean): Promise<void>;

  /** Tells whether a legal hold keeps the object; NOT_FOUND where there is none. */
  legalHold(key: string): Promise<boolean>;

  /**
   * Tries on objects of its own, whose keys start with the given one and whose retention ends by the date, what nobody
   * may, past the checks of this program. Only where a store other than this program enforces the retention.
   */
  readonly attack?: (key: string, retainUntil: Date) => Promise<StoreAttack[]>;
}

const MAX_KEY_LENGTH = 512;
const KEY = /^[a-z0-9_][a-z0-9._-]{0,127}(?:\/[a-z0-9_][a-z0-9._-]{0,127})*$/;

/**
 * Returns the key, having proved its form: names of small letters, digits, `.`, `_` and `-`, none beginning with a dot
 * or a dash, parted by single slashes, at most 128 characters a name and 512 in all. So no key can leave the archive,
 * name a hidden file, or mean another one on a file system without case. Anything else is BAD_USER_INPUT.
 */
export function checkKey(key: string): string {
  if (key.length > MAX_KEY_LENGTH || !KEY.test(key)) fail('BAD_USER_INPUT', 'the key is no archive key');
  return key;
}
