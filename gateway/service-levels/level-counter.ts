import { BUCKET_COUNT, bucketOf } from '#schema/latency-histogram.ts';
import type { Id } from '#schema/ids.ts';
import { OBJECTIVES, PLATFORM_ID } from '#schema/service-levels.ts';
import type { TenantContext, Tier } from '#schema/tenant-context.ts';
import { POOL } from '#schema/tenant-store.ts';

/** For whom a request was carried out. */
export type ServedTenant = Pick<TenantContext, 'tenant' | 'tier' | 'cell' | 'store'>;

/** What was served to one owner in one span of time and is not stored yet. */
export interface Tally {
  /** A tenant, or `PLATFORM_ID` for the figures of a tier. */
  readonly owner: Id<'tnt'>;
  readonly cell: string;
  /** Of the last request. */
  tier: Tier;
  /** The owner's store of the cell, as of the last request. */
  store: string;
  readonly startMs: number;
  requests: number;
  failures: number;
  slow: number;
  readonly buckets: Uint32Array;
}

/** Tallies of one kind: by tenant and hour, or by tier and five minutes. */
export interface Tallies {
  /** Hands out at most so many tallies, oldest spans first; what is served meanwhile begins new ones. */
  take(limit: number): Tally[];
  /** Takes a tally back that could not be stored; it is added to what was served meanwhile. */
  putBack(tally: Tally): void;
}

/** What was served in one cell; apart from the others, so that a cell that is away takes no place of theirs. */
export interface CellTallies {
  readonly cell: string;
  readonly tenants: Tallies;
  readonly tiers: Tallies;
}

/** Counts what is served until it is stored. */
export interface LevelCounter {
  add(
    served: ServedTenant,
    answer: { readonly failed: boolean; readonly seconds: number; readonly nowMs: number },
  ): void;
  /** The cells in which anything was ever served. */
  cells(): readonly CellTallies[];
  /** Requests that were not counted, since a cell has been away for too long. */
  lost(): number;
}

const HOUR_MS = 3_600_000;
const TIER_SPAN_MS = 300_000;
/** About 600 bytes each: what waits for a cell that is away takes 12 MB at most, and then the newcomers are not counted. */
const MOST_TENANT_TALLIES = 20_000;
/** More than a day of five minutes of every tier. */
const MOST_TIER_TALLIES = 2_000;

/** Returns a counter that has counted nothing yet; `most` bounds the tallies of tenants that it holds for a cell. */
export function newLevelCounter({ most = MOST_TENANT_TALLIES }: { readonly most?: number } = {}): LevelCounter {
  const cells = new Map<string, ReturnType<typeof open>>();
  const open = (cell: string) => {
    const tenants = newTallies({ cell, spanMs: HOUR_MS, most });
    const tiers = newTallies({ cell, spanMs: TIER_SPAN_MS, most: MOST_TIER_TALLIES });
    const opened = { cell, tenants, tiers };
    cells.set(cell, opened);
    return opened;
  };
  return {
    add: ({ tenant, tier, cell, store = POOL }, { failed, seconds, nowMs }) => {
      const { tenants, tiers } = cells.get(cell) ?? open(cell);
      const slow = seconds > OBJECTIVES[tier].p99Seconds;
      const answer = { tier, store, failed, slow, bucket: bucketOf(seconds), nowMs };
      tenants.count(tenant, tenant, answer);
      tiers.count(tier, PLATFORM_ID, { ...answer, store: POOL });
    },
    cells: () => [...cells.values()],
    lost: () => [...cells.values()].reduce((sum, { tenants, tiers }) => sum + tenants.lost() + tiers.lost(), 0),
  };
}

interface Answer {
  readonly tier: Tier;
  readonly store: string;
  readonly failed: boolean;
  readonly slow: boolean;
  readonly bucket: number;
  readonly nowMs: number;
}

interface TalliesOptions {
  readonly cell: string;
  readonly spanMs: number;
  readonly most: number;
}

function newTallies({ cell, spanMs, most }: TalliesOptions) {
  const current = new Map<string, Tally>();
  const waiting = new Map<string, Tally>();
  let lost = 0;
  const wait = (tally: Tally) => {
    const key = `${tally.startMs} ${tally.owner === PLATFORM_ID ? tally.tier : tally.owner}`;
    const known = waiting.get(key);
    if (known !== undefined) addInto(known, tally);
    else if (current.size + waiting.size < most) waiting.set(key, tally);
    else lost += tally.requests;
  };
  const begin = (key: string, start: Pick<Tally, 'owner' | 'tier' | 'store' | 'startMs'>): Tally | null => {
    const before = current.get(key);
    current.delete(key);
    if (before !== undefined) wait(before);
    if (current.size + waiting.size >= most) return null;
    const tally = { ...start, cell, requests: 0, failures: 0, slow: 0, buckets: new Uint32Array(BUCKET_COUNT) };
    current.set(key, tally);
    return tally;
  };
  return {
    count: (key: string, owner: Id<'tnt'>, { tier, store, failed, slow, bucket, nowMs }: Answer) => {
      const startMs = nowMs - (nowMs % spanMs);
      const known = current.get(key);
      const tally = known?.startMs === startMs ? known : begin(key, { owner, tier, store, startMs });
      if (tally === null) {
        lost += 1;
        return;
      }
      tally.tier = tier;
      tally.store = store;
      tally.requests += 1;
      if (failed) tally.failures += 1;
      if (slow) tally.slow += 1;
      tally.buckets[bucket] = (tally.buckets[bucket] ?? 0) + 1;
    },
    take: (limit: number) => {
      const oldest = takeFrom(waiting, limit);
      return [...oldest, ...takeFrom(current, limit - oldest.length)];
    },
    putBack: wait,
    lost: () => lost,
  };
}

function takeFrom(tallies: Map<string, Tally>, limit: number): Tally[] {
  const taken = [...tallies].slice(0, Math.max(0, limit));
  for (const [key] of taken) tallies.delete(key);
  return taken.map(([, tally]) => tally);
}

function addInto(target: Tally, { requests, failures, slow, buckets }: Tally): void {
  target.requests += requests;
  target.failures += failures;
  target.slow += slow;
  for (const [bucket, count] of buckets.entries()) target.buckets[bucket] = (target.buckets[bucket] ?? 0) + count;
}
