import type { Abortable } from '#kit/request-ending.ts';
import type { BudgetLimits } from '#schema/budget-limits.ts';
import { newCrowding, newHeadroom, type Asked } from './loop-headroom.ts';
import { ThrottledError } from './throttled-error.ts';

/** Gives a place back; again does nothing. */
export type Leave = () => void;

/** How much runs and waits at once in one gateway. */
export interface FairQueueOptions {
  /** Operations of all tenants that run at once. */
  readonly maxRunning?: number;
  /** Operations of one tenant that run at once while the event loop is never idle: whoever comes next waits behind them. */
  readonly maxRunningBusy?: number;
  /** Operations that run at once, beyond the free ones, of a tenant who crowds the others. */
  readonly maxRunningCrowding?: number;
  /** Part of the time that the event loop may be busy while a flood goes on beside another tenant. */
  readonly maxLoad?: number;
  /** The same where nobody crowds: a loop busier than that does nothing sooner for having more in it. */
  readonly maxLoadAlone?: number;
  readonly maxWaiting?: number;
  readonly maxWaitingPerTenant?: number;
  readonly maxWaitMs?: number;
  /** By a clock that only goes forward. */
  readonly nowMs?: () => number;
}

/** Lets operations run by turns of their tenants. */
export interface FairQueue {
  /**
   * Resolves with the way out once the operation may run; at once, without a promise, where there is room. Fails with
   * THROTTLED (`tenant-concurrency`) where too many wait or it waited too long, and with the reason of the signal.
   */
  enter(tenantId: string, limits: Pick<BudgetLimits, 'concurrency'>, signal?: Abortable): Leave | Promise<Leave>;
  readonly running: number;
  readonly waiting: number;
}

const DEFAULTS = {
  maxRunning: 64,
  maxRunningBusy: 4,
  maxRunningCrowding: 4,
  maxLoad: 0.2,
  maxLoadAlone: 0.95,
  maxWaiting: 2_000,
  maxWaitingPerTenant: 200,
  maxWaitMs: 2_000,
  nowMs: () => performance.now(),
};
/** Of all places one tenant never takes more than this part, so that the next one finds a free one. */
const MAX_PART = 0.75;
/** Starts of a tenant with nothing running that need no headroom: so many in a row, and so many a second. */
const FREE_STARTS = 10;
const FREE_STARTS_PER_SECOND = 20;
/** Tenants remembered; beyond it idle ones are forgotten. */
const MAX_TENANTS = 10_000;
/** How soon a waiting tenant is looked at again where it was not for want of a place. */
const RETRY_MS = 1;

interface Waiter {
  readonly resolve: (leave: Leave) => void;
  readonly end: () => void;
}

interface Tenant {
  readonly id: string;
  readonly asked: Asked;
  concurrency: number;
  running: number;
  readonly waiters: Set<Waiter>;
  /** Starts that need no headroom, earned over time. */
  free: number;
  earnedMs: number;
}

/**
 * Returns a queue that keeps one tenant's flood from the others. Each tenant runs at most her own concurrency and three
 * quarters of all places; who waits is served in turns of tenants. That alone would not do, since operations that are
 * all work and no waiting fill the event loop from a handful of places: a tenant who asks for more than twice as much as
 * all others together, or comes with a handful at once beside them, has few places, some starts a second that are free
 * one after the other, and beyond these the next only once the loop was idle long enough since the last.
 */
export function newFairQueue(options: FairQueueOptions = {}): FairQueue {
  const settings = { ...DEFAULTS, ...options };
  const line = newLine(settings.maxWaitMs, () => drainNextTurn());
  const places = newPlaces(settings, () => drainNextTurn());
  let isDrainDue = false;

  /** In a turn of its own: sockets are read in between, so that others come in before the next of a flood. */
  const drainNextTurn = (): void => {
    if (isDrainDue || line.waiting === 0) return;
    isDrainDue = true;
    setImmediate(drain);
  };
  const drain = (): void => {
    isDrainDue = false;
    const verdicts = new Set<Verdict>();
    for (const tenant of line.tenants()) {
      const verdict = places.verdict(tenant);
      verdicts.add(verdict);
      if (verdict === 'now') line.serve(tenant, places.take(tenant));
    }
    if (verdicts.has('now')) return drainNextTurn();
    if (!verdicts.has('later')) return;
    isDrainDue = true;
    setTimeout(drain, RETRY_MS);
  };
  return {
    enter(tenantId, { concurrency }, signal) {
      signal?.throwIfAborted();
      const tenant = places.tenantOf(tenantId);
      tenant.concurrency = concurrency;
      const ahead = tenant.waiters.size;
      if (ahead === 0 && places.verdict(tenant) === 'now') return places.take(tenant);
      if (line.waiting >= settings.maxWaiting || ahead >= settings.maxWaitingPerTenant) throw refusal(tenant);
      return line.join(tenant, signal);
    },
    get running() {
      return places.running;
    },
    get waiting() {
      return line.waiting;
    },
  };
}

/** `no` until one leaves, `later` until time has passed. */
type Verdict = 'now' | 'later' | 'no';

/** The places in which operations run. */
interface Places {
  readonly running: number;
  tenantOf(id: string): Tenant;
  verdict(tenant: Tenant): Verdict;
  take(tenant: Tenant): Leave;
}

function newPlaces(settings: typeof DEFAULTS, onLeave: () => void): Places {
  const { maxRunning, maxRunningBusy, maxRunningCrowding, nowMs } = settings;
  const tenants = new Map<string, Tenant>();
  const crowding = newCrowding();
  const headroom = newHeadroom(settings.maxLoad);
  const idleness = newHeadroom(settings.maxLoadAlone);
  let running = 0;
  return {
    get running() {
      return running;
    },
    tenantOf(id) {
      const now = nowMs();
      let tenant = tenants.get(id);
      if (tenant === undefined) {
        if (tenants.size >= MAX_TENANTS) forgetIdle(tenants);
        tenants.set(id, (tenant = newTenant(id, now)));
      }
      crowding.note(tenant.asked, now);
      return tenant;
    },
    verdict(tenant) {
      const most = Math.min(tenant.concurrency, Math.ceil(maxRunning * MAX_PART));
      if (running >= maxRunning || tenant.running >= most) return 'no';
      const now = nowMs();
      const others = running - tenant.running;
      if (!crowding.crowds({ asked: tenant.asked, running: tenant.running, others }, now))
        return tenant.running < maxRunningBusy || idleness.take() ? 'now' : 'later';
      if (tenant.running >= maxRunningCrowding) return 'later';
      if (tenant.running === 0 && takeFree(tenant, now)) return 'now';
      return headroom.take() ? 'now' : 'later';
    },
    take(tenant) {
      running += 1;
      tenant.running += 1;
      let isIn = true;
      return () => {
        if (!isIn) return;
        isIn = false;
        running -= 1;
        tenant.running -= 1;
        onLeave();
      };
    },
  };
}

/** Those who wait, tenant behind tenant. */
interface Line {
  readonly waiting: number;
  tenants(): Tenant[];
  join(tenant: Tenant, signal: Abortable | undefined): Promise<Leave>;
  /** Lets the first of a tenant go with her way out; the tenant steps behind the others. */
  serve(tenant: Tenant, leave: Leave): void;
}

function newLine(maxWaitMs: number, onJoin: () => void): Line {
  const line = new Set<Tenant>();
  let waiting = 0;
  const stepOut = (tenant: Tenant, waiter: Waiter): void => {
    waiting -= 1;
    tenant.waiters.delete(waiter);
    if (tenant.waiters.size === 0) line.delete(tenant);
  };
  return {
    get waiting() {
      return waiting;
    },
    tenants: () => [...line],
    join: (tenant, signal) =>
      new Promise((resolve, reject) => {
        const end = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', aborted);
          stepOut(tenant, waiter);
        };
        const giveUp = (reason: unknown): void => {
          end();
          reject(reason instanceof Error ? reason : new Error('aborted', { cause: reason }));
        };
        const aborted = () => giveUp(signal?.reason);
        const timer = setTimeout(() => giveUp(refusal(tenant)), maxWaitMs);
        const waiter: Waiter = { end, resolve };
        signal?.addEventListener('abort', aborted, { once: true });
        waiting += 1;
        tenant.waiters.add(waiter);
        line.add(tenant);
        onJoin();
      }),
    serve(tenant, leave) {
      const [waiter] = tenant.waiters;
      if (waiter === undefined) throw new Error('a tenant in the line has somebody who waits');
      waiter.end();
      if (line.delete(tenant)) line.add(tenant);
      waiter.resolve(leave);
    },
  };
}

function newTenant(id: string, nowMs: number): Tenant {
  return {
    id,
    asked: { count: 0, atMs: nowMs },
    concurrency: 0,
    running: 0,
    waiters: new Set(),
    free: FREE_STARTS,
    earnedMs: nowMs,
  };
}

function takeFree(tenant: Tenant, nowMs: number): boolean {
  const earned = (Math.max(0, nowMs - tenant.earnedMs) * FREE_STARTS_PER_SECOND) / 1_000;
  tenant.free = Math.min(FREE_STARTS, tenant.free + earned);
  tenant.earnedMs = nowMs;
  if (tenant.free < 1) return false;
  tenant.free -= 1;
  return true;
}

/** All of those who have nothing here: rare, and bounded by what ran and waited meanwhile. */
function forgetIdle(tenants: Map<string, Tenant>): void {
  for (const [id, { running, waiters }] of tenants) if (running === 0 && waiters.size === 0) tenants.delete(id);
}

function refusal({ concurrency }: Tenant): ThrottledError {
  const name = 'tenant-concurrency';
  const policy = {
    name,
    unit: 'concurrent-requests',
    limit: concurrency,
    remaining: 0,
    restorePerSecond: 0,
    resetSeconds: 1,
  } as const;
  return new ThrottledError({
    status: { policies: [policy] },
    refusedBy: name,
    violated: [name],
    retryAfterSeconds: 1,
  });
}
