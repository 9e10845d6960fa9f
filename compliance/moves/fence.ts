import { fail } from '#schema/errors.ts';
import { MOVE_APPLICATION, type MoveEnd, type MoveTransaction } from './end.ts';

/** What holds a tenant still. */
export interface FenceOptions {
  /** The databases in which nothing of hers may change. */
  readonly ends: readonly MoveEnd[];
  /** UUID. */
  readonly tenantId: string;
  readonly moveId: string;
  /** After that it gives up, whatever has been done, unless it has passed the point of no return. */
  readonly budgetMs: number;
}

/** A tenant that is held still. */
export interface Fence {
  /** Throws once the time is up. */
  checkTime(): void;
  /** How long she has been held. */
  heldMs(): number;
}

/** It took too long, or somebody changed something meanwhile; nothing has happened. */
export class FenceLifted extends Error {
  override readonly name = 'FenceLifted';
}

const PAUSE_MS = 10;
/** Transactions of the worker that have run for longer may run for minutes. */
const LONG_MS = 1_000;

/**
 * Runs work while nothing of a tenant changes in any of the databases: her transactions that run are waited for, new ones
 * are told to come again, and the worker passes her rows over. What was committed before is flushed, so that it can be
 * read from the log. Ends with the work, or with this process; FenceLifted where it cannot be done in time.
 */
export async function whileHeld<T>(options: FenceOptions, work: (fence: Fence) => Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const heldMs = () => performance.now() - startedMs;
  const fence = {
    heldMs,
    checkTime: () => {
      if (heldMs() > options.budgetMs) throw new FenceLifted(`she was held for ${Math.round(heldMs())} ms`);
    },
  };
  return locked(options, options.ends, async () => {
    fence.checkTime();
    await Promise.all(options.ends.map((end) => passOver(end, options, fence)));
    return work(fence);
  });
}

/** Tells whether a transaction of the worker runs that a hold would have to wait for too long. */
export async function isBusy(ends: readonly MoveEnd[]): Promise<boolean> {
  const busy = await Promise.all(ends.map(async (end) => hasOlder(end, await timeAt(end, LONG_MS))));
  return busy.includes(true);
}

/** Ends what a hold that broke off before its end has left: her rows count again where they are. */
export async function takeUpAgain(ends: readonly MoveEnd[]): Promise<void> {
  await Promise.all(
    ends.map((end) =>
      end.inContext(async (tx) => {
        if ((await standingAt(tx)) !== null) await tx.query('select tenon.end_absence()');
      }),
    ),
  );
}

/** Returns how the tenant stands in the database of the transaction, or null where her rows count there. */
export async function standingAt(tx: MoveTransaction): Promise<string | null> {
  const [row] = await tx.query<{ standing: string | null }>('select (tenon.absence()).standing');
  return row?.standing ?? null;
}

/** Takes the locks one after the other; the sessions that hold them end with the work, whatever becomes of it. */
async function locked<T>(options: FenceOptions, ends: readonly MoveEnd[], work: () => Promise<T>): Promise<T> {
  const [end, ...others] = ends;
  if (end === undefined) return work();
  return end.alone(async (tx) => {
    await tx.query(`select set_config('lock_timeout', $1, false), set_config('tcp_keepalives_idle', '5', false)`, [
      String(Math.ceil(options.budgetMs / 3)),
    ]);
    await tx.query('select pg_advisory_lock(tenon.fence_key($1))', [options.tenantId]).catch((error: unknown) => {
      if ((error as { code?: unknown }).code === LOCK_TIMEOUT)
        throw new FenceLifted(`a transaction of hers in ${end.name} did not end`);
      throw error;
    });
    return locked(options, others, work);
  });
}

const LOCK_TIMEOUT = '55P03';

async function passOver(end: MoveEnd, { moveId }: FenceOptions, fence: Fence): Promise<void> {
  const markedAt = await mark(end, moveId);
  while (await hasOlder(end, markedAt)) {
    fence.checkTime();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  // What those have committed without waiting for the disk goes there with this.
  await mark(end, moveId);
}

function mark(end: MoveEnd, moveId: string): Promise<string> {
  return end.inContext(async (tx) => {
    await tx.query(`select set_config('synchronous_commit', 'on', true), tenon.set_absence($1, 'leaving')`, [moveId]);
    const [row] = await tx.query<{ at: string }>('select clock_timestamp()::text as at');
    return row?.at ?? fail('INTERNAL_SERVER_ERROR', 'no time');
  });
}

/** What the clock of the database said so long ago. */
async function timeAt(end: MoveEnd, agoMs: number): Promise<string> {
  const [row] = await end.inContext((tx) =>
    tx.query<{ at: string }>(`select (clock_timestamp() - $1 * interval '1 ms')::text as at`, [agoMs]),
  );
  return row?.at ?? fail('INTERNAL_SERVER_ERROR', 'no time');
}

/** Transactions of the worker may have begun before they could see the mark. */
async function hasOlder(end: MoveEnd, markedAt: string): Promise<boolean> {
  return end.inContext(async (tx) => {
    const [row] = await tx.query<{ older: boolean }>(
      `select exists (select from pg_stat_activity where datname = current_database() and usename = current_user
         and pid <> pg_backend_pid() and xact_start <= $1::timestamptz and application_name <> $2) as older`,
      [markedAt, MOVE_APPLICATION],
    );
    return row?.older === true;
  });
}
