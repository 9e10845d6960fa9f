import { hash } from 'node:crypto';
import type pg from 'pg';

/** What workers take turns at, by the number that the lock has. */
export const TURN_LOCKS = { sealing: 2, platform: 3, reconciling: 4, retention: 5, selfTest: 6, release: 8 } as const;

/** Shards of tenants that are sequenced apart have locks beyond those. */
const FIRST_SHARD_LOCK = 1000;

/** Returns the lock of one of so many shards; workers that split the tenants otherwise have other locks. */
export function shardLock({ index, count }: { readonly index: number; readonly count: number }): number {
  return FIRST_SHARD_LOCK * count + index;
}

/** Returns the lock of a store beside the pool; that two stores may share one only makes the second wait for its turn. */
export function storeLock(store: string): number {
  return -1 - Number.parseInt(hash('sha256', store).slice(0, 7), 16);
}

/** "teno" in ASCII: nothing else in the audit database locks these numbers. */
const LOCK_CLASS = 0x74656e6f;

/**
 * Runs the work unless another worker runs it for this cell: then null. The lock saves work that would be done twice;
 * that twice does no harm is up to the work itself, for a lock ends with its connection.
 */
export async function alone<T>(
  audit: pg.Pool,
  turn: keyof typeof TURN_LOCKS | number,
  work: () => Promise<T>,
): Promise<T | null> {
  const lock = typeof turn === 'number' ? turn : TURN_LOCKS[turn];
  const client = await audit.connect();
  let broken = true;
  try {
    // The keep-alive lets the server notice within a minute that the machine of a worker is gone, lock and all.
    const { rows } = await client.query<{ held: boolean }>(
      `select pg_try_advisory_lock($1, $2) as held, set_config('tcp_keepalives_idle', '30', false),
         set_config('tcp_keepalives_interval', '10', false), set_config('tcp_keepalives_count', '3', false)`,
      [LOCK_CLASS, lock],
    );
    const isHeld = rows[0]?.held === true;
    const result = isHeld ? await work() : null;
    if (isHeld) await client.query('select pg_advisory_unlock($1, $2)', [LOCK_CLASS, lock]);
    broken = false;
    return result;
  } finally {
    // A connection that is closed lets go of its lock, whatever went wrong.
    client.release(broken);
  }
}
