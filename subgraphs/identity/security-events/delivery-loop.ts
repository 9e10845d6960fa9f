import { log } from '#kit/log.ts';
import type { Platform } from '#kit/request-context.ts';
import { asTenonError } from '#schema/errors.ts';
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

/**
 * Sends what the receivers of all tenants are owed, for every cell of the platform: as soon as it is committed, at least
 * once, and what concerns one person or group in order. Many processes may do so at once. The databases have to be opened in
 * the role of the worker.
 */
export function startDeliveries(platform: Platform): DeliveryLoop {
  const loops = platform.databases.cells.map(({ name, database }) => startCell(platform, { name, database }));
  return { stop: async () => void (await Promise.all(loops.map((loop) => loop.stop()))) };
}

interface CellLoop {
  readonly platform: Platform;
  readonly cell: string;
  readonly running: Set<Promise<void>>;
  looking: Promise<void> | null;
  /** Whether somebody asked while the queue was being looked at. */
  again: boolean;
  stopped: boolean;
  timer: NodeJS.Timeout | undefined;
  sweptMs: number;
}

function startCell(platform: Platform, { name, database }: { name: string; database: string }): DeliveryLoop {
  const loop: CellLoop = {
    platform,
    cell: name,
    running: new Set(),
    looking: null,
    again: false,
    stopped: false,
    timer: undefined,
    sweptMs: -Infinity,
  };
  const signal = listenForDeliveries(database, () => wake(loop));
  wake(loop);
  return {
    stop: async () => {
      loop.stopped = true;
      clearTimeout(loop.timer);
      await signal.close();
      await loop.looking;
      await Promise.all(loop.running);
    },
  };
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
    log('error', `security events were not sent: ${asTenonError(error).message}`, { cell: loop.cell });
  }
  if (!loop.stopped) loop.timer = setTimeout(() => wake(loop), pauseMs).unref();
}

async function take(loop: CellLoop): Promise<void> {
  const { platform, cell, running } = loop;
  const free = MOST_RUNNING - running.size;
  if (free === 0) return;
  for (const delivery of await claimDeliveries(scopeOf(loop), free)) {
    const attempt: Promise<void> = attemptDelivery(platform, cell, delivery).finally(() => {
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

function scopeOf({ platform, cell }: CellLoop): QueueScope {
  return { databases: platform.databases, cell, now: platform.clock() };
}
