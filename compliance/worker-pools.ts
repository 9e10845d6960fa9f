import pg from 'pg';

/** Starting processes for a statement costs more than any of these takes. */
const ONE_PROCESS = '-c max_parallel_workers_per_gather=0 -c jit=off';
/**
 * The outbox is read by its index alone, in order: what left it stands in the table until it is vacuumed, and statistics
 * of a table that fills and empties by the second mislead the planner into reading all of that each time.
 */
const IN_ORDER = `${ONE_PROCESS} -c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off`;

/** Opens a pool of the worker over a tenant database, to take events from its outbox. */
export function openOutboxPool(url: string, max: number): pg.Pool {
  return openPool(url, max, IN_ORDER);
}

/** Opens a pool of the worker over an audit database. */
export function openAuditPool(url: string, max: number): pg.Pool {
  return openPool(url, max, ONE_PROCESS);
}

function openPool(url: string, max: number, options: string): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    options,
    connectionTimeoutMillis: 5_000,
    statement_timeout: 60_000,
    idle_in_transaction_session_timeout: 60_000,
    application_name: 'tenon-worker',
  });
  // A connection that dies is replaced at the next use; without listeners it would end the process, both while it is
  // idle in the pool and while a turn holds it.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => void client.on('error', () => undefined));
  return pool;
}
