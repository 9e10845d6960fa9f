import pg from 'pg';
import type { Id } from '#schema/ids.ts';
import { databaseToken, type ContextKeys } from '#schema/tenant-context.ts';

/** One of the two databases between which rows of a tenant move, as the worker reaches it. */
export interface MoveEnd {
  /** `eu-1 cell`. */
  readonly name: string;
  /** Runs work in a transaction under the tenant's signed context; a throw rolls it back. */
  inContext<T>(work: (tx: MoveTransaction) => Promise<T>, options?: ContextOptions): Promise<T>;
  /** Lends a connection of its own, for locks of the session; it is closed afterwards, and lets go of them. */
  alone<T>(work: (tx: MoveTransaction) => Promise<T>): Promise<T>;
  /** A pool of the same kind whose sessions stand under the tenant's context for minutes; whoever opens it ends it. */
  openPool(): pg.Pool;
  close(): Promise<void>;
}

/** Statements of one connection. */
export interface MoveTransaction {
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** How a transaction is opened. */
export interface ContextOptions {
  /** All of it sees the rows as they were at its first statement. */
  readonly isSnapshot?: boolean;
}

/** What an end is opened with. */
export interface EndOptions {
  readonly name: string;
  /** For `tenon_worker`, and to PostgreSQL itself: locks of a session outlive its transactions. */
  readonly url: string;
  /** Whose database it is: the context is signed for its cell. */
  readonly cell: string;
  readonly tenant: Id<'tnt'>;
  readonly keys: ContextKeys;
  readonly clock: () => Date;
}

/** How sessions of moves are called, by which they tell their own transactions from others. */
export const MOVE_APPLICATION = 'tenon move';

/** Values have the same text on both sides, to the last digit; one process each leaves the rest to others. */
const SETTINGS = [
  'timezone=UTC',
  'datestyle=ISO',
  'intervalstyle=postgres',
  'extra_float_digits=3',
  'bytea_output=hex',
  'max_parallel_workers_per_gather=0',
  'jit=off',
  'enable_bitmapscan=on',
  'row_security=on',
]
  .map((setting) => `-c ${setting}`)
  .join(' ');
const CONNECTIONS = 4;
const STATEMENT_TIMEOUT_MS = 10 * 60_000;

/** Opens an end; its connections come when they are needed. */
export function openEnd({ name, url, cell, tenant, keys, clock }: EndOptions): MoveEnd {
  const pool = openMovePool(url, SETTINGS);
  const lend = async <T>(work: (client: pg.PoolClient) => Promise<T>, isKept: boolean): Promise<T> => {
    const client = await pool.connect();
    let isBroken = true;
    try {
      const result = await work(client);
      isBroken = !isKept;
      return result;
    } finally {
      client.release(isBroken);
    }
  };
  return {
    name,
    inContext: (work, { isSnapshot = false } = {}) =>
      lend(async (client) => {
        await client.query(isSnapshot ? 'begin isolation level repeatable read' : 'begin');
        await client.query(`select set_config('app.tenant', $1, true)`, [
          databaseToken({ tenant, cell }, keys, clock().getTime()),
        ]);
        const result = await work({ query: rowsOf(client) });
        await client.query('commit');
        return result;
      }, true),
    alone: (work) => lend((client) => work({ query: rowsOf(client) }), false),
    openPool: () =>
      openMovePool(url, `${SETTINGS} -c app.tenant=${databaseToken({ tenant, cell }, keys, clock().getTime())}`),
    close: () => pool.end(),
  };
}

function openMovePool(url: string, options: string): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: CONNECTIONS,
    options,
    connectionTimeoutMillis: 5_000,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    application_name: MOVE_APPLICATION,
  });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => void client.on('error', () => undefined));
  return pool;
}

function rowsOf(client: pg.PoolClient): MoveTransaction['query'] {
  return async <Row extends object>(text: string, values: readonly unknown[] = []) =>
    (await client.query(text, [...values])).rows as Row[];
}
