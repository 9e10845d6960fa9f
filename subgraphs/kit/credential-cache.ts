import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { BudgetLimits } from '#schema/budget-limits.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { storeKey } from '#schema/tenant-store.ts';
import type { ChangeFeed } from './change-feed.ts';
import {
  contextOf,
  noteUse,
  placeOf,
  readBearer,
  readGrant,
  type BearerParts,
  type Grant,
  type RequestOrigin,
} from './credential.ts';
import type { Databases } from './database.ts';
import type { TenantPlace } from './directory.ts';
import { effectiveLimits, type TierLimits } from './tenant-limits.ts';

/** Who asks, and what she may spend. */
export interface Authenticated {
  readonly tenant: TenantContext;
  readonly limits: BudgetLimits;
}

/** Bearer tokens and what they stand for. */
export interface CredentialCache {
  /**
   * Does what `authenticate` does, with the same errors, and yields the limits that hold for the caller. Answers at once
   * where the token was seen in the last five minutes and nothing in its tenant has changed since; else reads the database.
   * What was refused is never remembered.
   */
  authenticate(token: string, request: RequestOrigin & { readonly now: Date }): Authenticated | Promise<Authenticated>;
  close(): void;
}

/** What a cache stands on; without a live feed of a cell its credentials are read each time. */
export interface CredentialCacheOptions {
  readonly databases: Databases;
  readonly feed: ChangeFeed;
  readonly tiers: TierLimits;
}

/** A second line of defence behind the feed. */
const MAX_AGE_MS = 300_000;
const MAX_TOKENS = 50_000;
const MAX_TENANTS = 50_000;

/** Makes an empty cache that follows the feed until it is closed. */
export function newCredentialCache({ databases, feed, tiers }: CredentialCacheOptions): CredentialCache {
  const entries = new LRUCache<string, Entry>({ max: MAX_TOKENS });
  const keyOf = newTokenKeys();
  const families = new LRUCache<string, Family>({ max: MAX_TENANTS, dispose: (family) => (family.isCurrent = false) });
  const unsubscribe = feed.subscribe(({ cell, tenant, topic }) => {
    if (topic === 'operations') return;
    const gone = tenant === null ? tenantsOf(families, cell) : [tenant];
    for (const id of gone) families.delete(id);
  });
  const lookUp = async (key: string, token: string, request: RequestOrigin & { readonly now: Date }) => {
    const parts = await readBearer(databases, token, request.now);
    const place = await placeOf(databases, parts);
    const family = feed.isLive(place) ? familyOf(families, place) : null;
    const entry = await newEntry({ databases, place, parts, now: request.now }, { family, tiers });
    const hasMoved = storeKey(entry.grant.context) !== storeKey(place);
    if (hasMoved) families.delete(place.id);
    // A change that came in meanwhile may be younger than what was read.
    if (!hasMoved && family?.isCurrent === true && feed.isLive(place)) entries.set(key, entry);
    const answered = answer(entry, request, tiers);
    noteUse(databases, entry.grant, request.now);
    return answered;
  };
  return {
    authenticate: (token, request) => {
      const key = keyOf(token);
      const entry = entries.get(key);
      const isKnown = entry !== undefined && isUsable(entry, request.now.getTime()) && feed.isLive(entry.place);
      return isKnown ? answer(entry, request, tiers) : lookUp(key, token, request);
    },
    close: unsubscribe,
  };
}

/** All entries of a tenant that may be used; ended by a change, and then no entry of it is. */
interface Family {
  /** The `storeKey` of where the tenant lives. */
  readonly cell: string;
  isCurrent: boolean;
}

interface Entry {
  readonly grant: Grant;
  readonly place: TenantPlace;
  readonly family: Family | null;
  readonly readAtMs: number;
  /** What `limits` was made from. */
  tierLimits: BudgetLimits;
  limits: BudgetLimits;
}

async function newEntry(
  request: { databases: Databases; place: TenantPlace; parts: BearerParts; now: Date },
  { family, tiers }: { family: Family | null; tiers: TierLimits },
): Promise<Entry> {
  const grant = await readGrant(request);
  const tierLimits = tiers.of(grant.context.tier);
  const limits = effectiveLimits(tierLimits, grant.overrides);
  return { grant, place: request.place, family, readAtMs: request.now.getTime(), tierLimits, limits };
}

function tenantsOf(families: LRUCache<string, Family>, cell: string): string[] {
  return [...families.entries()].filter(([, family]) => family.cell === cell).map(([id]) => id);
}

/** Made before the tenant is read, so that whatever changes from then on ends it. */
function familyOf(families: LRUCache<string, Family>, place: TenantPlace): Family {
  const { id } = place;
  const known = families.get(id);
  if (known !== undefined) return known;
  const family = { cell: storeKey(place), isCurrent: true };
  families.set(id, family);
  return family;
}

function isUsable({ family, grant, readAtMs }: Entry, nowMs: number): boolean {
  const ageMs = nowMs - readAtMs;
  return family?.isCurrent === true && nowMs < grant.expiresAtMs && ageMs >= 0 && ageMs < MAX_AGE_MS;
}

function answer(entry: Entry, origin: RequestOrigin & { readonly now: Date }, tiers: TierLimits): Authenticated {
  const tierLimits = tiers.of(entry.grant.context.tier);
  if (tierLimits !== entry.tierLimits) {
    entry.tierLimits = tierLimits;
    entry.limits = effectiveLimits(tierLimits, entry.grant.overrides);
  }
  return { tenant: contextOf(entry.grant, origin), limits: entry.limits };
}

/** How long a token is remembered after all: no longer than the garbage of its request lies about. */
const TOKENS_KEPT_MS = 500;
const MOST_KEPT = 1_000;

/**
 * Returns what makes the key of a token. The token itself is a secret that a heap dump should not hold, and a hash of it
 * takes longer than finding what it stands for: what came just now is remembered, for those who ask many times a second.
 */
function newTokenKeys() {
  const keys = new Map<string, string>();
  return (token: string): string => {
    const known = keys.get(token);
    if (known !== undefined) return known;
    const key = hash('sha256', token, 'base64');
    if (keys.size === 0) setTimeout(() => keys.clear(), TOKENS_KEPT_MS).unref();
    if (keys.size < MOST_KEPT) keys.set(token, key);
    return key;
  };
}
