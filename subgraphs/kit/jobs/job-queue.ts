import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Logger, runMigrations } from 'graphile-worker';
import pg from 'pg';
import { log } from '#kit/log.ts';
import { inStore, POOL, schemaNumber } from '#schema/tenant-store.ts';

/** The schema of the queue's own tables. */
export const QUEUE_SCHEMA = 'graphile_worker';

/**
 * Brings the tables of graphile-worker in a cell's database to the version that is installed, and says again who may do what
 * with them; reached as `tenon_owner`. Done again it changes nothing.
 */
export async function migrateJobQueue(ownerUrl: string, store = POOL): Promise<void> {
  const pool = new pg.Pool({ connectionString: ownerUrl, max: 1 });
  listenForErrors(pool);
  try {
    await runMigrations({ pgPool: pool, schema: queueSchema(store), logger: queueLogger() });
    const path = fileURLToPath(new URL('../../../schema/sql/job-queue.sql', import.meta.url));
    await pool.query(inStore(await readFile(path, 'utf8'), store));
  } finally {
    await pool.end();
  }
}

/** Returns the schema of a store's queue. */
export function queueSchema(store: string): string {
  const number = schemaNumber(store);
  return number === null ? QUEUE_SCHEMA : `${QUEUE_SCHEMA}_${number}`;
}

/** What the queue says of itself; what a job failed with is written by whoever ran it. */
export function queueLogger(): Logger {
  return new Logger(() => (level, message, meta) => {
    const isJob = meta?.['failure'] === true || meta?.['success'] === true;
    const name: string = level;
    if (isJob || (name !== 'error' && name !== 'warning')) return;
    log(name === 'error' ? 'error' : 'warn', `job queue: ${message.split('\n')[0] ?? ''}`);
  });
}

/** A connection that dies fails the statement that comes next; without listeners it would end the process. */
export function listenForErrors(pool: pg.Pool): void {
  pool.on('error', ignore);
  pool.on('connect', (client) => client.on('error', ignore));
}

function ignore(): void {}
