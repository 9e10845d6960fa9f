import pg from 'pg';
import { DataSource } from 'typeorm';
import { asTenonError, TenonError } from '#schema/errors.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { onlyTo, stampOf } from './store-stamp.ts';

const APPLICATION_NAME = 'tenon';

/** Returns the connection that it opens; no connection is SERVICE_UNAVAILABLE. */
export async function connect(open: () => Promise<pg.PoolClient>): Promise<pg.PoolClient> {
  try {
    return await open();
  } catch (error) {
    const { message } = asTenonError(error);
    throw new TenonError('SERVICE_UNAVAILABLE', `no connection to the database: ${message}`, { cause: error });
  }
}

/** Opens a pool of up to so many connections, which are made when they are needed. */
export function openPool(url: string, max: number, guard: object = {}): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: 5_000,
    application_name: APPLICATION_NAME,
    ...guard,
    ...PIPELINE,
  });
  // An idle connection that dies is replaced at the next use; without a listener it would end the process.
  pool.on('error', ignore);
  pool.on('connect', (client) => client.on('error', ignore));
  return pool;
}

/** Statements that do not wait for each other share a round trip. */
const PIPELINE = { pipeline: true };

/** Opens the ORM over the tenant database of a cell, which has to answer now and to be that cell's. */
export async function openSource(cell: CellSettings, entities: readonly Function[], max: number): Promise<DataSource> {
  const source = new DataSource({
    type: 'postgres',
    url: cell.database,
    entities: [...entities],
    synchronize: false,
    migrationsRun: false,
    installExtensions: false,
    uuidExtension: 'pgcrypto',
    applicationName: APPLICATION_NAME,
    connectTimeoutMS: 5_000,
    poolErrorHandler: ignore,
    extra: { max, ...onlyTo(stampOf(cell, 'cell')), ...PIPELINE },
  });
  return source.initialize();
}

/** Returns the pool behind the ORM, which its type does not tell. */
export function poolOf(source: DataSource): pg.Pool {
  return (source.driver as DataSource['driver'] & { readonly master: pg.Pool }).master;
}

/** A lost connection also fails the statement that runs or comes next; its event alone would end the process. */
function ignore(): void {}
