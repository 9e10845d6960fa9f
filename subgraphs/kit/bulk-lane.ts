import { EventEmitter, once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import {
  BrokenCircuitError,
  circuitBreaker,
  ConsecutiveBreaker,
  handleWhen,
  type CircuitBreakerPolicy,
} from 'cockatiel';
import { LRUCache } from 'lru-cache';
import { DATABASE_LIMITS } from '#schema/database-limits.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { connectionUse } from './database.ts';
import type { Abortable } from './request-ending.ts';
import type { RequestContext } from './request-context.ts';

/** One piece of bulk work of a tenant: an export on its way. */
export interface BulkWork {
  /** Every transaction under this context goes by the lane for bulk (schema/database-limits.ts). */
  readonly ctx: RequestContext;
  /**
   * Yields the pages, each read when the one before was taken, and rests between them while requests come in the
   * cell. Faults of the platform count against the tenant's breaker; an open one is SERVICE_UNAVAILABLE.
   */
  paced<Page>(pages: AsyncIterable<Page>): AsyncGenerator<Page>;
  /** Returns what is written out as a stream that ends the work when it is closed, at whatever point. */
  stream(pieces: AsyncIterable<unknown>, options: { readonly objectMode: boolean }): Readable;
  /** Makes room for the tenant's next, and reads no further page; again does nothing. */
  readonly end: () => void;
}

/** While others are there an export rests so many times as long as a page took: it is at work for a tenth of the time. */
const RESTS = 9;
const LONGEST_REST_MS = 250;
/** Who asked so long ago is still there. */
const PRESENT_MS = 1_000;
/** After so many faults in a row a tenant's bulk is left alone for a while: it would only fail again, at others' cost. */
const FAULTS_IN_A_ROW = 3;
const LEFT_ALONE_MS = 30_000;
const MOST_TENANTS = 1_000;
/** An export that runs may be over after this. */
const RETRY_AFTER_SECONDS = 10;

/** Who was broken off a moment ago may begin again without being told to wait. */
const MOST_WAIT_MS = 1_000;

const running = new Map<string, number>();
const ended = new EventEmitter().setMaxListeners(0);
const breakers = new LRUCache<string, CircuitBreakerPolicy>({ max: MOST_TENANTS });

/**
 * Begins bulk work of a tenant. More at once than her tier allows in one process waits a second for another to end, and is
 * THROTTLED then; after faults in a row it is SERVICE_UNAVAILABLE for half a minute. Whoever begins it ends it, or leaves
 * that to its stream.
 */
export async function beginBulk(ctx: RequestContext): Promise<BulkWork> {
  const { tenant, tier } = ctx.tenant;
  const breaker = breakerOf(tenant);
  const most = DATABASE_LIMITS[tier].bulkAtOnce;
  const until = performance.now() + MOST_WAIT_MS;
  while (runningOf(tenant) >= most) {
    if (await endsBefore(tenant, until)) continue;
    fail('THROTTLED', 'too many exports at once', {
      hint: `${most} at a time; try again when one has ended.`,
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }
  running.set(tenant, runningOf(tenant) + 1);
  let isRunning = true;
  const end = (): void => {
    if (!isRunning) return;
    isRunning = false;
    const others = runningOf(tenant) - 1;
    if (others === 0) running.delete(tenant);
    else running.set(tenant, others);
    ended.emit(tenant);
  };
  const guard: Guard = (read) => guarded({ breaker, signal: ctx.signal }, read);
  return {
    ctx: { ...ctx, lane: 'bulk' },
    paced: (pages) => pacedPages(pages, { guard, isRunning: () => isRunning, isCrowded: newPresence(ctx) }),
    stream: (pieces, options) => streamOf(pieces, { ...options, end }),
    end,
  };
}

/** Ended the moment it is destroyed, while what it reads from may still be at work. */
function streamOf(
  pieces: AsyncIterable<unknown>,
  { objectMode, end }: { readonly objectMode: boolean; readonly end: () => void },
): Readable {
  const iterator = pieces[Symbol.asyncIterator]();
  return new Readable({
    objectMode,
    // One piece is ready, and no page is read before somebody wants it.
    highWaterMark: 1,
    read() {
      iterator.next().then(
        ({ done, value }) => this.push(done === true ? null : value),
        (error: unknown) => this.destroy(asTenonError(error)),
      );
    },
    destroy(error, closed) {
      end();
      leave(iterator);
      closed(error);
    },
  });
}

/** It stops at its next turn; nobody is there any more to hear how. */
function leave(iterator: AsyncIterator<unknown>): void {
  iterator.return?.().catch(() => undefined);
}

function runningOf(tenant: string): number {
  return running.get(tenant) ?? 0;
}

/** Whether one of the tenant's ends before the time is over. */
async function endsBefore(tenant: string, untilMs: number): Promise<boolean> {
  const leftMs = Math.ceil(untilMs - performance.now());
  if (leftMs <= 0) return false;
  return once(ended, tenant, { signal: AbortSignal.timeout(leftMs) }).then(
    () => true,
    () => false,
  );
}

interface Pacing {
  readonly guard: Guard;
  readonly isRunning: () => boolean;
  readonly isCrowded: () => boolean;
}

type Guard = <T>(read: () => Promise<T>) => Promise<T>;

async function* pacedPages<Page>(
  pages: AsyncIterable<Page>,
  { guard, isRunning, isCrowded }: Pacing,
): AsyncGenerator<Page> {
  const iterator = pages[Symbol.asyncIterator]();
  try {
    while (isRunning()) {
      const startedMs = performance.now();
      const next = await guard(() => iterator.next());
      if (next.done === true) return;
      const tookMs = performance.now() - startedMs;
      yield next.value;
      await rest(tookMs, isCrowded());
    }
  } finally {
    await iterator.return?.();
  }
}

async function guarded<T>(
  { breaker, signal }: { breaker: CircuitBreakerPolicy; signal: Abortable | undefined },
  read: () => Promise<T>,
): Promise<T> {
  try {
    // That the caller went away says nothing about the platform.
    const outcome = await breaker.execute(async () => {
      try {
        return { read: await read() };
      } catch (error) {
        if (signal?.aborted === true) return { thrown: error };
        throw error;
      }
    });
    if ('thrown' in outcome) throw outcome.thrown;
    return outcome.read;
  } catch (error) {
    if (!(error instanceof BrokenCircuitError)) throw error;
    return fail('SERVICE_UNAVAILABLE', 'exports of the tenant failed again and again', {
      cause: error,
      retryAfterSeconds: LEFT_ALONE_MS / 1_000,
    });
  }
}

/** Tells whether requests come in the cell, of whomever. */
function newPresence({ databases, tenant: { cell } }: RequestContext): () => boolean {
  const count = () => connectionUse(databases, cell, 'tenant').requests;
  let seen = count();
  let lastMs = -Infinity;
  return () => {
    const now = count();
    if (now !== seen) lastMs = performance.now();
    seen = now;
    return performance.now() - lastMs < PRESENT_MS;
  };
}

/** A page that took long, since others were at work, is followed by a long rest. */
async function rest(tookMs: number, isCrowded: boolean): Promise<void> {
  await (isCrowded ? pause(Math.min(LONGEST_REST_MS, tookMs * RESTS)) : nextTurn());
}

/** Neither does what the tenant herself asks wrongly. */
function breakerOf(tenant: string): CircuitBreakerPolicy {
  const known =
    breakers.get(tenant) ??
    circuitBreaker(
      handleWhen((error) => asTenonError(error).status >= 500),
      { halfOpenAfter: LEFT_ALONE_MS, breaker: new ConsecutiveBreaker(FAULTS_IN_A_ROW) },
    );
  breakers.set(tenant, known);
  return known;
}
