import { setTimeout as pause } from 'node:timers/promises';
import { cellStoresOf } from '#kit/cell-stores.ts';
import { log } from '#kit/log.ts';
import type { Platform } from '#kit/request-context.ts';
import { newStoreWalk } from '#kit/store-walk.ts';
import { asTenonError } from '#schema/errors.ts';
import { isPool, storeKey, type StorePlace } from '#schema/tenant-store.ts';
import { attemptDelivery, GIVE_UP_AFTER_MS } from './delivery.ts';
import { claimDeliveries, isAnythingPending, sweepDeliveries, type QueueScope } from './delivery-queue.ts';
import { listenForDeliveries } from './delivery-signal.ts';

/** What sends, until it is stopped. */
export interface DeliveryLoop {
  /** Lets what is under way end and takes nothing more. */
  stop(): Promise<void>;
}

/** Tokens under way at once, of one process and cell. */
const MOST_RUNNING = 32;
/** While something waits for its time, the queue is looked at this often; a new token is told of by the database. */
const LOOK_MS = 1_000;
/** While nothing waits; for what the database told of and this process did not hear. */
const IDLE_LOOK_MS = 15_000;
const SWEEP_MS = 60_000;
/** How often the stores beside the pool are asked about. */
const STORES_LOOK_MS = 500;

/**
 * Sends what the receivers of all tenants are owed, for every cell of the platform: as soon as it is committed, at least
 * once, and what concerns one person or group in order. Many processes may do so at once. The databases have to be opened in
 * the role of the worker.
 */
export function startDeliveries(platform: Platform): DeliveryLoop {
  const loops = platform.databases.cells.flatMap(({ name, database }) => [
    startCell(platform, { name, database }),
    startStores(platform, name),
  ]);
  return { stop: async () => void (await Promise.all(loops.map((loop) => loop.stop()))) };
}

interface CellLoop {
  readonly platform: Platform;
  readonly place: StorePlace;
  readonly running: Set<Promise<void>>;
  looking: Promise<void> | null;
  /** Whether somebody asked while the queue was being looked at. */
  again: boolean;
  stopped: boolean;
  timer: NodeJS.Timeout | undefined;
  sweptMs: number;
}

function startCell(platform: Platform, { name, database }: { name: string; database: string }): DeliveryLoop {
  const loop = newLoop(platform, { cell: name });
  const signal = listenForDeliveries(database, () => wake(loop));
  wake(loop);
  return {
    stop: async () => {
      await Promise.all([signal.close(), end(loop)]);
    },
  };
}

/** The stores beside the pool are not listened to: whether something was written there is asked for all of them at once. */
function startStores(platform: Platform, cell: string): DeliveryLoop {
  const loops = new Map<string, CellLoop>();
  const walk = newStoreWalk({
    stores: cellStoresOf(platform.databases, cell),
    what: 'sending security events',
    visit: async ({ name }) => {
      const loop = loops.get(name) ?? newLoop(platform, { cell, store: name });
      loops.set(name, loop);
      wake(loop);
      await loop.looking;
      return loop.running.size > 0 || (await isAnythingPending(scopeOf(loop))) ? 'waiting' : 'idle';
    },
  });
  const stopping = new AbortController();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await walk().catch((error: unknown) =>
        log('warn', `stores were not asked for security events: ${asTenonError(error).message}`, { cell }),
      );
      await pause(STORES_LOOK_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    stop: async () => {
      stopping.abort();
      await running;
      await Promise.all([...loops.values()].map(end));
    },
  };
}

function newLoop(platform: Platform, place: StorePlace): CellLoop {
  return {
    platform,
    place,
    running: new Set(),
    looking: null,
    again: false,
    stopped: false,
    timer: undefined,
    sweptMs: -Infinity,
  };
}

async function end(loop: CellLoop): Promise<void> {
  loop.stopped = true;
  clearTimeout(loop.timer);
  await loop.looking;
  await Promise.all(loop.running);
}

function wake(loop: CellLoop): void {
  loop.again = true;
  if (loop.looking !== null || loop.stopped) return;
  clearTimeout(loop.timer);
  loop.looking = look(loop).finally(() => {
    loop.looking = null;
    if (loop.again) wake(loop);
  });
}

async function look(loop: CellLoop): Promise<void> {
  let pauseMs = LOOK_MS;
  try {
    while (loop.again && !loop.stopped) {
      loop.again = false;
      await sweepIfDue(loop);
      await take(loop);
    }
    if (loop.running.size === 0 && !(await isAnythingPending(scopeOf(loop)))) pauseMs = IDLE_LOOK_MS;
  } catch (error) {
    log('error', `security events were not sent: ${asTenonError(error).message}`, { store: storeKey(loop.place) });
  }
  if (!loop.stopped && isPool(loop.place)) loop.timer = setTimeout(() => wake(loop), pauseMs).unref();
}

async function take(loop: CellLoop): Promise<void> {
  const { platform, place, running } = loop;
  const free = MOST_RUNNING - running.size;
  if (free === 0) return;
  for (const delivery of await claimDeliveries(scopeOf(loop), free)) {
    const attempt: Promise<void> = attemptDelivery(platform, place, delivery).finally(() => {
      running.delete(attempt);
      wake(loop);
    });
    running.add(attempt);
  }
}

async function sweepIfDue(loop: CellLoop): Promise<void> {
  const scope = scopeOf(loop);
  if (performance.now() - loop.sweptMs < SWEEP_MS) return;
  loop.sweptMs = performance.now();
  await sweepDeliveries(scope, new Date(scope.now.getTime() - GIVE_UP_AFTER_MS));
}

function scopeOf({ platform, place }: CellLoop): QueueScope {
  return { databases: platform.databases, ...place, now: platform.clock() };
}
