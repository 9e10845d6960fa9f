import type pg from 'pg';
import { BULK_SHARE, DATABASE_LIMITS, type DatabaseLane } from '#schema/database-limits.ts';
import { fail, TenonError } from '#schema/errors.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import type { Abortable } from './request-ending.ts';

/** Gives a connection back to the others; again does nothing. */
export type GiveBack = () => void;

/** Who wants a connection. */
export interface ConnectionRequest {
  readonly tenant: Pick<TenantContext, 'tenant' | 'tier'>;
  readonly lane: DatabaseLane;
  /** The pool is of a store of her own: all of it is her share. */
  readonly isAlone?: boolean;
  readonly signal?: Abortable | undefined;
}

/** How a pool's connections stand. */
export interface ConnectionUse {
  readonly size: number;
  readonly held: number;
  /** Of those, what bulk holds. */
  readonly bulk: number;
  readonly waiting: number;
  /** Requests that came since the start, whatever became of them. */
  readonly requests: number;
  /** Refused since the start, because too many waited or it took too long. */
  readonly refused: number;
}

/** Divides a pool's connections among tenants. */
export interface ConnectionShares {
  /**
   * Resolves once the tenant may take a connection; at once, without a promise, where one is free. Fails with
   * SERVICE_UNAVAILABLE and when to try again where too many wait or it took too long, and with GATEWAY_TIMEOUT where
   * the signal is aborted meanwhile.
   */
  enter(request: ConnectionRequest): GiveBack | Promise<GiveBack>;
  use(): ConnectionUse;
}

/** How long and how many may wait. */
export interface ConnectionShareOptions {
  readonly maxWaitMs?: number;
  readonly maxWaiting?: number;
  readonly maxWaitingPerTenant?: number;
}

const DEFAULTS = { maxWaitMs: 4_000, maxWaiting: 2_000, maxWaitingPerTenant: 200 };
/** Whoever is refused finds the line shorter after this. */
const RETRY_AFTER_SECONDS = 1;

/**
 * Returns the shares of a pool of so many connections. A tenant holds at most the part of her tier, bulk of all tenants
 * at most a quarter, and all together what the pool has, so that nobody stands in the pool's own line behind a crowd.
 * Those who wait go by turns of tenants; of one tenant the requests go in order, and before her bulk.
 */
export function newConnectionShares(size: number, options: ConnectionShareOptions = {}): ConnectionShares {
  const settings = { ...DEFAULTS, ...options };
  const places = newPlaces(size, () => serve());
  const line = new Set<Tenant>();
  const counts = { waiting: 0, requests: 0, refused: 0 };

  const serve = (): void => {
    for (const tenant of line) {
      const waiter = nextOf(tenant, places);
      if (waiter === null) continue;
      waiter.end();
      // Behind the others, where there is more of hers.
      if (line.delete(tenant) && waitingOf(tenant) > 0) line.add(tenant);
      waiter.go(places.take(tenant, waiter.lane));
    }
  };
  const refuse = (): TenonError => {
    counts.refused += 1;
    return new TenonError('SERVICE_UNAVAILABLE', 'the share of connections is used up', {
      hint: `Retry after ${RETRY_AFTER_SECONDS} s.`,
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  };
  const join = (tenant: Tenant, lane: DatabaseLane, signal: Abortable | undefined): Promise<GiveBack> =>
    new Promise((go, giveUp) => {
      const end = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        if (tenant.waiters[lane].delete(waiter)) counts.waiting -= 1;
        if (waitingOf(tenant) === 0) line.delete(tenant);
      };
      const leave = (error: TenonError): void => {
        end();
        places.forget(tenant);
        giveUp(error);
      };
      const onAbort = () => leave(new TenonError('GATEWAY_TIMEOUT', 'nobody waits for a connection any more'));
      const timer = setTimeout(() => leave(refuse()), settings.maxWaitMs);
      const waiter: Waiter = { lane, go, end };
      signal?.addEventListener('abort', onAbort, { once: true });
      tenant.waiters[lane].add(waiter);
      counts.waiting += 1;
      line.add(tenant);
    });
  return {
    enter({ tenant: { tenant: id, tier }, lane, isAlone = false, signal }) {
      if (signal?.aborted === true) fail('GATEWAY_TIMEOUT', 'nobody waits for a connection any more');
      if (lane === 'request') counts.requests += 1;
      const tenant = places.tenantOf(id, shareOf(size, isAlone ? 1 : DATABASE_LIMITS[tier].connectionShare));
      if (tenant.waiters[lane].size === 0 && places.hasRoom(tenant, lane)) return places.take(tenant, lane);
      const isFull = counts.waiting >= settings.maxWaiting || waitingOf(tenant) >= settings.maxWaitingPerTenant;
      if (isFull) throw refuse();
      return join(tenant, lane, signal);
    },
    use: () => ({ size, held: places.held, bulk: places.bulk, ...counts }),
  };
}

const shares = new WeakMap<pg.Pool, ConnectionShares>();

/** Returns the shares of a pool, by the size that it has; always the same ones. */
export function sharesOf(pool: pg.Pool): ConnectionShares {
  const known = shares.get(pool) ?? newConnectionShares(pool.options.max);
  shares.set(pool, known);
  return known;
}

interface Waiter {
  readonly lane: DatabaseLane;
  readonly go: (giveBack: GiveBack) => void;
  /** Takes her out of the line. */
  readonly end: () => void;
}

interface Tenant {
  readonly id: string;
  most: number;
  held: number;
  readonly waiters: Readonly<Record<DatabaseLane, Set<Waiter>>>;
}

/** The connections that are held. */
interface Places {
  readonly held: number;
  readonly bulk: number;
  tenantOf(id: string, most: number): Tenant;
  hasRoom(tenant: Tenant, lane: DatabaseLane): boolean;
  take(tenant: Tenant, lane: DatabaseLane): GiveBack;
  /** Forgets a tenant who has nothing here. */
  forget(tenant: Tenant): void;
}

function newPlaces(size: number, onGivenBack: () => void): Places {
  const tenants = new Map<string, Tenant>();
  const mostBulk = Math.max(1, Math.floor(size * BULK_SHARE));
  const counts = { held: 0, bulk: 0 };
  const places: Places = {
    get held() {
      return counts.held;
    },
    get bulk() {
      return counts.bulk;
    },
    tenantOf(id, most) {
      const known = tenants.get(id) ?? { id, most, held: 0, waiters: { request: new Set(), bulk: new Set() } };
      known.most = most;
      tenants.set(id, known);
      return known;
    },
    hasRoom: (tenant, lane) =>
      counts.held < size && tenant.held < tenant.most && (lane === 'request' || counts.bulk < mostBulk),
    take(tenant, lane) {
      const count = (by: 1 | -1): void => {
        counts.held += by;
        tenant.held += by;
        if (lane === 'bulk') counts.bulk += by;
      };
      count(1);
      let isHeld = true;
      return () => {
        if (!isHeld) return;
        isHeld = false;
        count(-1);
        onGivenBack();
        places.forget(tenant);
      };
    },
    forget(tenant) {
      if (tenant.held === 0 && waitingOf(tenant) === 0) tenants.delete(tenant.id);
    },
  };
  return places;
}

/** Two at least, for work that looks something up in a transaction of its own while one is open. */
function shareOf(size: number, part: number): number {
  return Math.min(size, Math.max(2, Math.ceil(size * part)));
}

function waitingOf({ waiters }: Tenant): number {
  return waiters.request.size + waiters.bulk.size;
}

function nextOf(tenant: Tenant, places: Places): Waiter | null {
  for (const lane of ['request', 'bulk'] as const) {
    const [first] = tenant.waiters[lane];
    if (first !== undefined && places.hasRoom(tenant, lane)) return first;
  }
  return null;
}
