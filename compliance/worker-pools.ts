import pg from 'pg';
import { onlyTo, type StoreStamp } from '#kit/store-stamp.ts';

/** Starting processes for a statement costs more than any of these takes. */
const ONE_PROCESS = '-c max_parallel_workers_per_gather=0 -c jit=off';
/**
 * The outbox is read by its index alone, in order: what left it stands in the table until it is vacuumed, and statistics
 * of a table that fills and empties by the second mislead the planner into reading all of that each time.
 */
const IN_ORDER = `${ONE_PROCESS} -c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off`;

/** A database of a cell and how many connections a pool over it may have. */
export interface WorkerPool {
  readonly url: string;
  readonly stamp: StoreStamp;
  readonly max: number;
}

/** Opens a pool of the worker over a tenant database, to take events from its outbox. */
export function openOutboxPool(pool: WorkerPool): pg.Pool {
  return openPool(pool, { options: IN_ORDER, application_name: 'tenon-worker' });
}

/** Opens a pool of the worker over an audit database. */
export function openAuditPool(pool: WorkerPool): pg.Pool {
  return openPool(pool, { options: ONE_PROCESS, application_name: 'tenon-worker' });
}

/** Opens a pool for what goes on beside sequencing and sealing, over either database. */
export function openUpkeepPool(pool: WorkerPool): pg.Pool {
  return openPool(pool, { application_name: 'tenon-upkeep' });
}

function openPool({ url, stamp, max }: WorkerPool, own: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    ...own,
    ...onlyTo(stamp),
    connectionTimeoutMillis: 5_000,
    statement_timeout: 60_000,
    idle_in_transaction_session_timeout: 60_000,
  });
  // A connection that dies is replaced at the next use; without listeners it would end the process, both while it is
  // idle in the pool and while a turn holds it.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => void client.on('error', () => undefined));
  return pool;
}
