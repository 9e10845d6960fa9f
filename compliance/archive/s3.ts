import { hash } from 'node:crypto';
import { fail, TenonError } from '#schema/errors.ts';
import { checkKey, type Archive, type ArchivedObject } from './archive.ts';
import {
  describeAnswer,
  MAX_S3_BODY_BYTES,
  s3Client,
  type S3Answer,
  type S3Client,
  type S3ClientOptions,
} from './s3-client.ts';
import { attackBucket } from './s3-attack.ts';
import { listVersions, type ObjectVersion } from './s3-versions.ts';

/** The bucket, who writes to it, and what tells the time. */
export interface S3ArchiveOptions extends S3ClientOptions {
  /** Versions listed in one request; 1000 where nothing is said, which is the most that S3 gives. */
  readonly pageSize?: number;
}

interface Store {
  readonly client: S3Client;
  readonly clock: () => Date;
  readonly prefix: string;
  readonly pageSize: number;
  /** By key, the last change of a lock that is under way. */
  readonly turns: Map<string, Promise<void>>;
}

const PAGE_SIZE = 1000;
/** What is not under COMPLIANCE may be changed at once. */
const NOT_KEPT = new Date(0);

/**
 * Opens an archive in a bucket that was made with Object Lock. The object of a key is its oldest version: a later
 * writer, or a delete marker, of whomever adds to the key without reaching it. Of several writers at once the store
 * decides: by the condition of the write, which S3 obeys in versioned buckets, or by the order of versions, in which
 * radosgw, whose versioned buckets ignore the condition, puts them in the order in which they were done.
 * Objects go in one PutObject each, for multipart uploads lose their lock in some stores, and every lock is read back.
 * The writer needs ListBucketVersions, PutObject, GetObjectVersion, PutObjectRetention, GetObjectRetention,
 * PutObjectLegalHold and GetObjectLegalHold, and DeleteObjectVersion for `remove` (docs/archive.md). Objects above 16
 * MiB are BAD_USER_INPUT.
 */
export function s3Archive(options: S3ArchiveOptions): Archive {
  const { address, clock, pageSize = PAGE_SIZE } = options;
  const store: Store = { client: s3Client(options), clock, prefix: address.prefix, pageSize, turns: new Map() };
  const objectOf = (key: string): string => store.prefix + checkKey(key);
  return {
    lockMode: 'COMPLIANCE',
    put: async (key, bytes, { retainUntil }) =>
      put(store, { key: objectOf(key), bytes, until: wholeSeconds(retainUntil) }),
    head: async (key) => {
      const version = await firstVersion(store, objectOf(key));
      return version === null ? null : headOf(store, version);
    },
    get: async (key) => bytesOf(store, await found(store, objectOf(key))),
    list: (prefix) => keysOf(store, prefix),
    remove: async (key) => remove(store, objectOf(key)),
    retention: async (key) => (await lockedObject(store, await found(store, objectOf(key)))).retainUntil,
    extendRetention: async (key, until) => extendRetention(store, objectOf(key), wholeSeconds(until)),
    setLegalHold: async (key, isHeld) => setLegalHold(store, await found(store, objectOf(key)), isHeld),
    legalHold: async (key) => (await lockedObject(store, await found(store, objectOf(key)))).isHeld,
    attack: async (key, until) => attackBucket({ ...store, key: objectOf(key), until: wholeSeconds(until) }),
  };
}

/** Stores differ in what they keep of a second; nobody keeps less than asked for when it is rounded up. */
function wholeSeconds(date: Date): Date {
  return new Date(Math.ceil(date.getTime() / 1000) * 1000);
}

interface Writing {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly until: Date;
}

async function put(store: Store, writing: Writing): Promise<void> {
  const { key, bytes, until } = writing;
  if (bytes.length > MAX_S3_BODY_BYTES) fail('BAD_USER_INPUT', `the object is above ${MAX_S3_BODY_BYTES} bytes`);
  const known = await firstVersion(store, key);
  if (known !== null) return putAgain(store, known, writing);
  const versionId = await putVersion(store, writing);
  if (versionId === null) return putAgain(store, await found(store, key), writing);
  await keep(store, { key, versionId, sizeBytes: bytes.length }, until);
  const first = await found(store, key);
  if (first.versionId !== versionId) await putAgain(store, first, writing);
}

/** Returns null where the store says that somebody else was first; not every store looks. */
async function putVersion({ client }: Store, { key, bytes, until }: Writing): Promise<string | null> {
  const answer = await client({
    method: 'PUT',
    key,
    headers: {
      'content-md5': hash('md5', bytes, 'base64'),
      'content-type': 'application/octet-stream',
      'if-none-match': '*',
      'x-amz-object-lock-mode': 'COMPLIANCE',
      'x-amz-object-lock-retain-until-date': until.toISOString(),
    },
    body: bytes,
  });
  if (answer.status === 412) return null;
  if (answer.status !== 200) refused('put', answer);
  return answer.header('x-amz-version-id') ?? fail('SERVICE_UNAVAILABLE', 'the bucket keeps no versions');
}

async function putAgain(store: Store, version: ObjectVersion, { bytes, until }: Writing): Promise<void> {
  const same = version.sizeBytes === bytes.length && (await bytesOf(store, version)).equals(bytes);
  if (!same) fail('RETENTION_LOCKED', 'the key exists with other bytes');
  await keep(store, version, until);
}

/**
 * Some stores look at the old date and set the new one in two steps, so of two changes at once the shorter may stay:
 * within this process they go one by one, beyond it the caller reads back what it relies on.
 */
async function keep(store: Store, version: ObjectVersion, until: Date): Promise<void> {
  const { turns } = store;
  const work = () => lock(store, version, until);
  const turn = (turns.get(version.key) ?? Promise.resolve()).then(work, work);
  turns.set(version.key, turn);
  try {
    await turn;
  } finally {
    if (turns.get(version.key) === turn) turns.delete(version.key);
  }
}

/** Looks at the lock that the store says it took, and asks once more for one that it did not. */
async function lock(store: Store, version: ObjectVersion, until: Date): Promise<void> {
  const { key, versionId, sizeBytes } = version;
  const before = await lockedObject(store, version);
  if (before.sizeBytes !== sizeBytes)
    fail('SERVICE_UNAVAILABLE', `the store took ${sizeBytes} bytes and holds ${before.sizeBytes}`);
  if (before.retainUntil >= until) return;
  const body = Buffer.from(
    `<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>COMPLIANCE</Mode><RetainUntilDate>${until.toISOString()}</RetainUntilDate></Retention>`,
  );
  const headers = { 'content-md5': hash('md5', body, 'base64'), 'content-type': 'application/xml' };
  const answer = await store.client({ method: 'PUT', key, query: { retention: '', versionId }, headers, body });
  // Not its word counts but what it holds: a writer beside this one may have asked for even more.
  const after = await lockedObject(store, version);
  if (after.retainUntil < until) refused('lock', answer);
}

async function extendRetention(store: Store, key: string, until: Date): Promise<void> {
  const version = await found(store, key);
  const { retainUntil } = await lockedObject(store, version);
  if (until < retainUntil) fail('RETENTION_LOCKED', `it is kept until ${retainUntil.toISOString()}, and not for less`);
  await keep(store, version, until);
}

/** What the store then holds counts, not what it says of it. */
async function setLegalHold(store: Store, version: ObjectVersion, isHeld: boolean): Promise<void> {
  if ((await lockedObject(store, version)).isHeld === isHeld) return;
  const { key, versionId } = version;
  const status = isHeld ? 'ON' : 'OFF';
  const body = Buffer.from(
    `<LegalHold xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>${status}</Status></LegalHold>`,
  );
  const headers = { 'content-md5': hash('md5', body, 'base64'), 'content-type': 'application/xml' };
  const answer = await store.client({ method: 'PUT', key, query: { 'legal-hold': '', versionId }, headers, body });
  if ((await lockedObject(store, version)).isHeld !== isHeld) refused('change a legal hold', answer);
}

/** All versions or none: what a second writer left under a longer lock keeps the rest as well. */
async function remove(store: Store, key: string): Promise<void> {
  await found(store, key);
  const versions: ObjectVersion[] = [];
  for await (const version of versionsOf(store, key)) versions.push(version);
  for (const version of versions) {
    const { retainUntil, isHeld } = (await headOf(store, version)) ?? { retainUntil: NOT_KEPT, isHeld: false };
    if (isHeld) fail('RETENTION_LOCKED', 'a legal hold keeps it');
    if (store.clock() < retainUntil) fail('RETENTION_LOCKED', `it is kept until ${retainUntil.toISOString()}`);
  }
  for (const { versionId } of versions) {
    const answer = await store.client({ method: 'DELETE', key, query: { versionId } });
    if (answer.status === 403) fail('RETENTION_LOCKED', `the store does not remove it: ${describeAnswer(answer)}`);
    if (answer.status !== 204 && answer.status !== 404) refused('remove', answer);
  }
}

async function bytesOf({ client }: Store, { key, versionId, sizeBytes }: ObjectVersion): Promise<Buffer> {
  const answer = await client({ method: 'GET', key, query: { versionId } });
  if (answer.status === 404) fail('NOT_FOUND', 'the archive holds no such object');
  if (answer.status !== 200) refused('get', answer);
  if (answer.body.length !== sizeBytes)
    fail('SERVICE_UNAVAILABLE', `the store lists ${sizeBytes} bytes and gives ${answer.body.length}`);
  return answer.body;
}

async function headOf({ client }: Store, { key, versionId }: ObjectVersion): Promise<ArchivedObject | null> {
  const answer = await client({ method: 'HEAD', key, query: { versionId } });
  if (answer.status === 404) return null;
  if (answer.status !== 200) refused('head', answer);
  return {
    sizeBytes: Number(answer.header('content-length') ?? NaN),
    retainUntil: lockedUntil(answer),
    isHeld: answer.header('x-amz-object-lock-legal-hold') === 'ON',
  };
}

/** GOVERNANCE does not count: whoever has the right to can lift it. */
function lockedUntil(answer: S3Answer): Date {
  if (answer.header('x-amz-object-lock-mode') !== 'COMPLIANCE') return NOT_KEPT;
  const date = new Date(answer.header('x-amz-object-lock-retain-until-date') ?? NaN);
  return Number.isNaN(date.getTime()) ? NOT_KEPT : date;
}

async function lockedObject(store: Store, version: ObjectVersion): Promise<ArchivedObject> {
  return (await headOf(store, version)) ?? fail('NOT_FOUND', 'the archive holds no such object');
}

async function found(store: Store, key: string): Promise<ObjectVersion> {
  return (await firstVersion(store, key)) ?? fail('NOT_FOUND', 'the archive holds no such object');
}

async function firstVersion(store: Store, key: string): Promise<ObjectVersion | null> {
  let first: ObjectVersion | null = null;
  for await (const version of versionsOf(store, key)) first = version;
  return first;
}

/** Of all keys that start with this one it comes first itself. */
async function* versionsOf(store: Store, key: string): AsyncGenerator<ObjectVersion> {
  for await (const version of listVersions({ ...store, prefix: key })) {
    if (version.key !== key) return;
    yield version;
  }
}

async function* keysOf(store: Store, prefix: string): AsyncGenerator<string> {
  let last: string | null = null;
  for await (const version of listVersions({ ...store, prefix: store.prefix + prefix })) {
    const key = version.key.slice(store.prefix.length);
    if (key === last || !isArchiveKey(key)) continue;
    last = key;
    yield key;
  }
}

/** Whatever else lies in the bucket is none of the archive's. */
function isArchiveKey(key: string): boolean {
  try {
    return checkKey(key) === key;
  } catch (error) {
    if (error instanceof TenonError) return false;
    throw error;
  }
}

function refused(what: string, answer: S3Answer): never {
  return fail('SERVICE_UNAVAILABLE', `the bucket refuses to ${what}: ${describeAnswer(answer)}`);
}
