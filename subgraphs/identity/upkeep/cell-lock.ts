import pg from 'pg';

/** "upkp" in ASCII: nothing else in the database of a cell locks these numbers. */
const LOCK_CLASS = 0x75706b70;

/**
 * Runs the work unless another process runs it for the database, and tells whether it did. The lock ends with a connection of
 * its own, whatever becomes of the process; that work begun after such an end does no harm is up to the work.
 */
export async function aloneInCell(database: string, work: () => Promise<void>): Promise<boolean> {
  const client = new pg.Client({
    connectionString: database,
    application_name: 'tenon upkeep',
    keepAlive: true,
    connectionTimeoutMillis: 5_000,
  });
  // Its loss lets go of the lock; the work speaks over other connections.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ held: boolean }>(
      `select pg_try_advisory_lock($1, 0) as held, set_config('tcp_keepalives_idle', '30', false),
              set_config('tcp_keepalives_interval', '10', false), set_config('tcp_keepalives_count', '3', false)`,
      [LOCK_CLASS],
    );
    if (rows[0]?.held !== true) return false;
    await work();
    return true;
  } finally {
    await client.end().catch(() => undefined);
  }
}
