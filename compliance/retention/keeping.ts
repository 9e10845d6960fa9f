import { hash } from 'node:crypto';
import { TenonError } from '#schema/errors.ts';
import type { Archive, ArchivedObject } from '../archive/archive.ts';
import type { Fault, KnownObject, ObjectChange } from './object-store.ts';

/** What was done about an object. */
export type Deed = 'extended' | 'held' | 'released' | 'removed' | 'repaired' | 'none';

/** The deed, and what is different of the object now. */
export interface Kept {
  readonly deed: Deed;
  readonly change: ObjectChange;
}

/** The archive and the time. */
export interface KeepingOptions {
  readonly archive: Archive;
  readonly now: Date;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const RETRY_MS = 10 * 60 * 1000;
/** Objects that were sealed together do not stay together, or all would be due on one day for ever. */
const SPREAD = 0.1;
/** Stores round to whole seconds. */
const ROUNDING_MS = 1000;

/** Places or lifts the legal hold as the tenant wants it. An archive that is away is SERVICE_UNAVAILABLE. */
export async function holdObject({ archive }: KeepingOptions, object: KnownObject): Promise<Kept> {
  const { isHeld } = object.wants;
  const isThere = await unlessMissing(() => archive.setLegalHold(object.key, isHeld));
  if (!isThere) return faulty('missing', { isHeld });
  return { deed: isHeld ? 'held' : 'released', change: { isHeld } };
}

/**
 * Does what is due: keeps the object for longer, or removes that of an ended tenant once nothing keeps it. What the
 * archive refuses is tried again later; where it is away the call is SERVICE_UNAVAILABLE.
 */
export async function takeDue(options: KeepingOptions, object: KnownObject): Promise<Kept> {
  if (!object.wants.isEnded) return extend(options, object);
  if (object.wants.isHeld) return { deed: 'none', change: { dueAt: new Date(options.now.getTime() + DAY_MS) } };
  return removeExpired(options, object);
}

/**
 * Compares the object with what is known of it. A lock or hold that is weaker is made whole again, once the content has
 * been seen to be the one that was sealed: who could weaken a lock could also put another object in its place.
 */
export async function checkObject(options: KeepingOptions, object: KnownObject): Promise<Kept> {
  const { archive, now } = options;
  const checked = { checkedAt: now };
  const found = await archive.head(object.key);
  if (found === null) return isOver(options, object) ? gone(now) : faulty('missing', checked);
  if (object.sizeBytes !== null && found.sizeBytes !== object.sizeBytes) return faulty('size', checked);
  const isWeaker = found.retainUntil.getTime() + ROUNDING_MS <= object.retainUntil.getTime();
  const isUnheld = object.isHeld && !found.isHeld;
  if (!isWeaker && !isUnheld) return { deed: 'none', change: { ...checked, fault: null, ...seen(object, found) } };
  if (!(await isContent(archive, object))) return faulty('content', checked);
  if (isWeaker && !(await isRelocked(archive, object))) return faulty('lock', checked);
  if (isUnheld && !(await tried(() => archive.setLegalHold(object.key, true)))) return faulty('hold', checked);
  return { deed: 'repaired', change: { ...checked, fault: null } };
}

async function extend({ archive, now }: KeepingOptions, object: KnownObject): Promise<Kept> {
  const policyMs = object.wants.days * DAY_MS;
  const wanted = new Date(now.getTime() + policyMs);
  const before = await archive.head(object.key);
  if (before === null) return faulty('missing', { dueAt: later(now) });
  if (before.retainUntil < wanted && !(await tried(() => archive.extendRetention(object.key, wanted)))) {
    return faulty('lock', { dueAt: later(now) });
  }
  const retainUntil = before.retainUntil < wanted ? wanted : before.retainUntil;
  const dueAt = new Date(retainUntil.getTime() - policyMs * (1 / 3 + Math.random() * SPREAD));
  const fault = object.fault === 'lock' ? { fault: null } : {};
  return { deed: before.retainUntil < wanted ? 'extended' : 'none', change: { retainUntil, dueAt, ...fault } };
}

async function removeExpired({ archive, now }: KeepingOptions, { key }: KnownObject): Promise<Kept> {
  const before = await archive.head(key);
  if (before === null) return gone(now);
  if (before.retainUntil > now)
    return { deed: 'none', change: { retainUntil: before.retainUntil, dueAt: before.retainUntil } };
  const isGone = await tried(() => archive.remove(key));
  return isGone
    ? { deed: 'removed', change: { removedAt: now } }
    : { deed: 'none', change: { dueAt: new Date(now.getTime() + DAY_MS) } };
}

/** Another worker removed it, or the store's own rule, and nobody promised to keep it any longer. */
function isOver({ now }: KeepingOptions, { wants, retainUntil }: KnownObject): boolean {
  return wants.isEnded && !wants.isHeld && retainUntil <= now;
}

function gone(now: Date): Kept {
  return { deed: 'none', change: { removedAt: now, checkedAt: now } };
}

function faulty(fault: Fault, change: ObjectChange = {}): Kept {
  return { deed: 'none', change: { ...change, fault } };
}

function later(now: Date): Date {
  return new Date(now.getTime() + RETRY_MS);
}

/** A database that was set back knows an older date than the archive. */
function seen({ retainUntil }: KnownObject, found: ArchivedObject): ObjectChange {
  return found.retainUntil > retainUntil ? { retainUntil: found.retainUntil } : {};
}

async function isContent(archive: Archive, { key, sha256 }: KnownObject): Promise<boolean> {
  return sha256 === null || hash('sha256', await archive.get(key), 'hex') === sha256;
}

async function isRelocked(archive: Archive, { key, retainUntil }: KnownObject): Promise<boolean> {
  if (!(await tried(() => archive.extendRetention(key, retainUntil)))) return false;
  return (await archive.retention(key)) >= retainUntil;
}

async function unlessMissing(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof TenonError && error.code === 'NOT_FOUND') return false;
    throw error;
  }
}

/** Returns false where the archive answers that it does not. */
async function tried(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof TenonError) return false;
    throw error;
  }
}
