import 'reflect-metadata';
import pg from 'pg';
import { DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import type { CellSettings } from '#schema/config.ts';
import { asTenonError, fail, TenonError } from '#schema/errors.ts';
import { databaseToken, type ContextKeys, type TenantContext } from '#schema/tenant-context.ts';

/** What opening the databases needs. */
export interface DatabaseSettings {
  readonly directoryUrl: string;
  readonly cells: readonly CellSettings[];
  readonly keys: ContextKeys;
  /** TypeORM classes of the subgraphs that run in this process. */
  readonly entities: readonly Function[];
  /** Connections a cell's tenant database may use; the audit database gets a quarter. */
  readonly poolSize?: number;
}

/** The stores of every cell this process serves, and the directory. */
export interface Databases {
  readonly directory: pg.Pool;
  readonly cells: readonly CellSettings[];
  readonly keys: ContextKeys;
  /** The pooled ORM over a cell's tenant database; a cell this process does not serve is SERVICE_UNAVAILABLE. */
  tenantSource(cell: string): DataSource;
  /** The pool over a cell's audit database. */
  auditPool(cell: string): pg.Pool;
  close(): Promise<void>;
}

/** One transaction under one tenant's context; it ends with the work that got it. */
export interface TenantTransaction {
  /** Maps rows to entities; the tenant is filled in and filtered by the database. */
  readonly manager: EntityManager;
  /** Runs one parameterised statement. */
  query<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** The part of a request that a transaction needs. */
export interface TenantScope {
  readonly tenant: TenantContext;
  readonly databases: Databases;
}

/** A statement may run this long before PostgreSQL ends it: longer than any healthy one, shorter than a token lives. */
const STATEMENT_TIMEOUT_MS = 20_000;
const APPLICATION_NAME = 'tenon';

/** Opens the stores; the first connection is made when the first statement needs it. */
export async function openDatabases(settings: DatabaseSettings): Promise<Databases> {
  const poolSize = settings.poolSize ?? 16;
  const directory = openPool(settings.directoryUrl, 4);
  const sources = new Map<string, DataSource>();
  const auditPools = new Map<string, pg.Pool>();
  for (const cell of settings.cells) {
    sources.set(cell.name, await openSource(cell.database, settings.entities, poolSize));
    auditPools.set(cell.name, openPool(cell.auditDatabase, Math.max(2, poolSize / 4)));
  }
  return {
    directory,
    cells: settings.cells,
    keys: settings.keys,
    tenantSource: (cell) => sources.get(cell) ?? missingCell(cell),
    auditPool: (cell) => auditPools.get(cell) ?? missingCell(cell),
    close: async () => {
      await Promise.all([...sources.values()].map((source) => source.destroy()));
      await Promise.all([directory, ...auditPools.values()].map((pool) => pool.end()));
    },
  };
}

/**
 * The only door to tenant data: runs the work in one transaction of the tenant's cell, under her signed context, and
 * commits it. A throw rolls everything back; a commit that PostgreSQL turned into a rollback throws as well.
 */
export async function inTenant<T>(scope: TenantScope, work: (tx: TenantTransaction) => Promise<T>): Promise<T> {
  const runner = scope.databases.tenantSource(scope.tenant.cell).createQueryRunner();
  try {
    const client = await connect(async () => (await runner.connect()) as pg.PoolClient);
    return await inTransaction(client, scope, (query) => {
      // The transaction is opened by hand, in one round trip with its context; the ORM must not open another.
      markTransaction(runner, true);
      return work({ manager: runner.manager, query });
    });
  } finally {
    await releaseRunner(runner);
  }
}

/** Like `inTenant`, over the audit database of the tenant's cell, where the application may only read and ask. */
export async function inTenantAudit<T>(scope: TenantScope, work: (tx: Pick<TenantTransaction, 'query'>) => Promise<T>): Promise<T> {
  const client = await connect(() => scope.databases.auditPool(scope.tenant.cell).connect());
  let broken: Error | undefined;
  try {
    return await inTransaction(client, scope, (query) => work({ query }));
  } catch (error) {
    broken = isConnectionLoss(error) ? (error as Error) : undefined;
    throw error;
  } finally {
    client.release(broken);
  }
}

type Query = TenantTransaction['query'];

async function inTransaction<T>(client: pg.PoolClient, scope: TenantScope, work: (query: Query) => Promise<T>): Promise<T> {
  const query: Query = async <Row extends object>(text: string, values: readonly unknown[] = []) =>
    (await client.query<Row>(text, [...values])).rows;
  try {
    await openTransaction(client, scope);
    const result = await work(query);
    const { command } = await client.query('commit');
    if (command !== 'COMMIT') fail('INTERNAL_SERVER_ERROR', 'the transaction was rolled back by an error that was not rethrown');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw translate(error);
  }
}

/** The context is a bind parameter, so that no other session can read the token in pg_stat_activity. */
async function openTransaction(client: pg.PoolClient, scope: TenantScope): Promise<void> {
  const token = databaseToken(scope.tenant.tenant, scope.databases.keys, Date.now());
  await Promise.all([
    client.query('begin'),
    client.query({
      name: 'tenon-context',
      text: `select set_config('app.tenant', $1, true), set_config('statement_timeout', $2, true)`,
      values: [token, String(STATEMENT_TIMEOUT_MS)],
    }),
  ]);
}

/** Faults that the caller can do something about become errors of the table; the rest stays inside. */
function translate(error: unknown): Error {
  if (error instanceof TenonError) return error;
  const code = sqlState(error);
  if (code === '57014') return new TenonError('GATEWAY_TIMEOUT', 'a statement ran into its timeout', { cause: error });
  if (code === '23505') return new TenonError('UNIQUENESS', String((error as Error).message), { cause: error });
  if (code === '23503') return new TenonError('CONFLICT', String((error as Error).message), { cause: error });
  if (code === '23514' || code === '22001' || code === '22021' || code === '22P05') {
    return new TenonError('BAD_USER_INPUT', String((error as Error).message), { cause: error });
  }
  if (isConnectionLoss(error)) return new TenonError('SERVICE_UNAVAILABLE', 'the database went away', { cause: error });
  return asTenonError(error);
}

/** Returns the SQLSTATE of a PostgreSQL error, also of one that TypeORM wrapped, or null for other faults. */
export function sqlState(error: unknown): string | null {
  const inner = (error as { driverError?: unknown } | null)?.driverError ?? error;
  const code = (inner as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : null;
}

function isConnectionLoss(error: unknown): boolean {
  const code = sqlState(error) ?? '';
  return /^(08|57P)/.test(code) || ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOENT'].includes(code) || /Connection terminated|timeout exceeded when trying to connect/.test(String((error as Error).message));
}

async function connect(open: () => Promise<pg.PoolClient>): Promise<pg.PoolClient> {
  try {
    return await open();
  } catch (error) {
    throw new TenonError('SERVICE_UNAVAILABLE', `no connection to the database: ${String((error as Error).message)}`, { cause: error });
  }
}

async function releaseRunner(runner: QueryRunner): Promise<void> {
  markTransaction(runner, false);
  if (!runner.isReleased) await runner.release();
}

function markTransaction(runner: { isTransactionActive: boolean }, active: boolean): void {
  runner.isTransactionActive = active;
}

function openPool(url: string, max: number): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max, connectionTimeoutMillis: 5_000, application_name: APPLICATION_NAME, ...PIPELINE });
  // An idle connection that dies is replaced at the next use; without a listener it would end the process.
  pool.on('error', () => undefined);
  return pool;
}

/** Statements that do not wait for each other share a round trip. */
const PIPELINE = { pipeline: true };

async function openSource(url: string, entities: readonly Function[], max: number): Promise<DataSource> {
  const source = new DataSource({
    type: 'postgres',
    url,
    entities: [...entities],
    synchronize: false,
    migrationsRun: false,
    installExtensions: false,
    uuidExtension: 'pgcrypto',
    applicationName: APPLICATION_NAME,
    connectTimeoutMS: 5_000,
    poolErrorHandler: () => undefined,
    extra: { max, ...PIPELINE },
  });
  return source.initialize();
}

function missingCell(cell: string): never {
  return fail('SERVICE_UNAVAILABLE', `this process does not serve the cell ${cell}`);
}
