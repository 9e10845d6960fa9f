import 'reflect-metadata';
import pg from 'pg';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import type { DatabaseLane } from '#schema/database-limits.ts';
import type { CellSettings, StoreBudget } from '#schema/setting-readers.ts';
import { STORE_SETTINGS } from '#schema/store-settings.ts';
import { asTenonError, fail, TenonError, type ErrorCode } from '#schema/errors.ts';
import type { ContextKeys, TenantContext } from '#schema/tenant-context.ts';
import { inStore, isPool, POOL } from '#schema/tenant-store.ts';
import { sharesOf, type ConnectionUse } from './connection-shares.ts';
import { connect, openPool, openSource, poolOf } from './database-pools.ts';
import { createPersonalKeys, type DataKeys, type PersonalKeys } from './data-keys.ts';
import { newLateStatements, type LateValues } from './late-statements.ts';
import { cancelOnAbort } from './statement-cancel.ts';
import { createStorePools, type StorePools } from './store-pools.ts';
import { newStoreAdmission } from './store-admission.ts';
import { onlyTo, stampOf } from './store-stamp.ts';
import { refuseBeyondSupport, supportIn } from './support-role.ts';
import { atHome } from './tenant-home.ts';
import { endTransaction, openTransaction } from './transaction-ends.ts';
import type { Abortable } from './request-ending.ts';

/** What opening the databases needs. */
export interface DatabaseSettings {
  readonly directoryUrl: string;
  readonly cells: readonly CellSettings[];
  readonly keys: ContextKeys;
  /** Wrap the keys of personal data. */
  readonly dataKeys: DataKeys;
  /** TypeORM classes of the subgraphs that run in this process. */
  readonly entities: readonly Function[];
  /** Connections a cell's tenant database may use; the audit database gets a quarter. */
  readonly poolSize?: number;
  /** Connections to the stores beside the pool; those of the settings by default. */
  readonly storeBudget?: StoreBudget;
  /** For a process that answers nobody: its statements may take what those in bulk may, whatever the tier. */
  readonly longStatements?: boolean;
}

/** The stores of every cell this process serves, and the directory. */
export interface Databases {
  readonly directory: pg.Pool;
  readonly cells: readonly CellSettings[];
  readonly keys: ContextKeys;
  /** The keys of personal data, which lie in the cells. */
  readonly personalKeys: PersonalKeys;
  /** Statements may take what those in bulk may, whatever the tier. */
  readonly longStatements: boolean;
  /** The pooled ORM over a cell's tenant database; a cell this process does not serve is SERVICE_UNAVAILABLE. */
  tenantSource(cell: string): DataSource;
  /** The stores of the cells beside their pools: bridges and silos. */
  readonly stores: StorePools;
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
  /**
   * Says one statement whose rows nobody needs: it follows the next one that is waited for, at the latest the commit, and
   * so do its values, which are worked out then. Where it fails the transaction is rolled back and its work throws.
   */
  later(text: string, values: LateValues): void;
}

/** The part of a request that a transaction needs. */
export interface TenantScope {
  readonly tenant: TenantContext;
  readonly databases: Databases;
  /** Aborted when nobody waits for the answer any more: what runs is cancelled and rolled back, nothing new starts. */
  readonly signal?: Abortable | undefined;
  /** What the transactions are for; a request, unless it says bulk. */
  readonly lane?: DatabaseLane | undefined;
  /** For what the platform itself does while an operator acts in the tenant, such as recording it; never for her own wishes. */
  readonly asPlatform?: boolean | undefined;
}

/** A connection keeps what it has learnt of every schema that it saw, about 0.2 MB each: none gets old. */
const STORE_LIFETIME = { maxLifetimeSeconds: 600 };

/**
 * Opens the stores. Every cell's tenant database has to answer now (an error of the driver where one does not), and to
 * be that cell's (else SERVICE_UNAVAILABLE); the directory and the audit databases have to when the first statement needs
 * them.
 */
export async function openDatabases(settings: DatabaseSettings): Promise<Databases> {
  const poolSize = settings.poolSize ?? 16;
  const directory = openPool(settings.directoryUrl, 4);
  const sources = new Map<string, DataSource>();
  const auditPools = new Map<string, pg.Pool>();
  for (const cell of settings.cells) {
    sources.set(cell.name, await openSource(cell, settings.entities, poolSize));
    const guard = onlyTo(stampOf(cell, 'audit'));
    auditPools.set(cell.name, openPool(cell.auditDatabase, Math.max(2, poolSize / 4), guard));
  }
  const stores = createStorePools({
    cells: settings.cells,
    budget: settings.storeBudget ?? STORE_SETTINGS.storeBudget.fallback,
    open: ({ url, cell, latest, most }) =>
      openPool(url, most, { ...STORE_LIFETIME, ...onlyTo(stampOf(cell, 'cell'), latest) }),
    admit: newStoreAdmission(directory),
  });
  return {
    directory,
    stores,
    cells: settings.cells,
    keys: settings.keys,
    personalKeys: createPersonalKeys(settings.dataKeys),
    longStatements: settings.longStatements ?? false,
    tenantSource: (cell) => sources.get(cell) ?? missingCell(cell),
    auditPool: (cell) => auditPools.get(cell) ?? missingCell(cell),
    close: async () => {
      await Promise.all([stores.close(), ...[...sources.values()].map((source) => source.destroy())]);
      await Promise.all([directory, ...auditPools.values()].map((pool) => pool.end()));
    },
  };
}

/**
 * The only door to tenant data: runs the work in one transaction of the tenant's cell, under her signed context, and
 * commits it. A throw rolls everything back; a commit that PostgreSQL turned into a rollback throws as well. Whoever
 * keeps the transaction beyond the end of the work gets an error, never the next tenant's transaction. Once the scope's
 * signal is aborted, all that was not committed is rolled back and GATEWAY_TIMEOUT. While the tenant is held to be moved it
 * waits, and goes on where she lives then: the work may be called again, having done nothing.
 */
export async function inTenant<T>(scope: TenantScope, work: (tx: TenantTransaction) => Promise<T>): Promise<T> {
  return atHome(scope, (at) => overCell(at, work, 'many statements'));
}

/**
 * Like `inTenant`, for work of one statement: opening, statement and commit share one round trip. A second statement is
 * an error.
 */
export async function inTenantOnce<T>(scope: TenantScope, work: (tx: TenantTransaction) => Promise<T>): Promise<T> {
  return atHome(scope, (at) => overCell(at, work, 'one statement'));
}

/** Like `inTenant`, over the audit database of the tenant's cell, where the application may only read and ask. */
export async function inTenantAudit<T>(
  scope: TenantScope,
  work: (tx: Pick<TenantTransaction, 'query'>) => Promise<T>,
): Promise<T> {
  return atHome(scope, async (at) => {
    refuseAborted(scope);
    const pool = scope.databases.auditPool(at.tenant.cell);
    const giveBack = await takeShare(pool, at);
    try {
      const client = await connect(() => pool.connect());
      try {
        return await inTransaction({ client, scope: inAudit(at), length: 'many statements' }, ({ send }) =>
          work({ query: rowsOf(send) }),
        );
      } finally {
        client.release();
      }
    } finally {
      giveBack();
    }
  });
}

/** A cell has one audit database, wherever in it her rows lie. */
function inAudit(scope: TenantScope): TenantScope {
  return isPool(scope.tenant) ? scope : { ...scope, tenant: { ...scope.tenant, store: POOL } };
}

/** Returns how the connections of a store of a cell stand; a cell this process does not serve is SERVICE_UNAVAILABLE. */
export function connectionUse(databases: Databases, cell: string, store: 'tenant' | 'audit'): ConnectionUse {
  const pool = store === 'tenant' ? poolOf(databases.tenantSource(cell)) : databases.auditPool(cell);
  return sharesOf(pool).use();
}

type Send = (text: string, values?: readonly unknown[]) => Promise<pg.QueryResult>;
type Later = TenantTransaction['later'];
type Length = 'one statement' | 'many statements';

async function overCell<T>(
  scope: TenantScope,
  work: (tx: TenantTransaction) => Promise<T>,
  length: Length,
): Promise<T> {
  refuseAborted(scope);
  const { runner, client, release } = await borrow(scope);
  try {
    return await inTransaction({ client, scope, length }, ({ send, later }) => {
      lend(runner, client, send);
      return work({ manager: runner.manager, query: rowsOf(send), later });
    });
  } finally {
    await release();
  }
}

interface Borrowed {
  readonly runner: QueryRunner;
  readonly client: pg.PoolClient;
  readonly release: () => Promise<void>;
}

/** A store beside the pool shares the ORM's mapping with it, and has connections of its own. */
async function borrow(scope: TenantScope): Promise<Borrowed> {
  const { cell, store = POOL } = scope.tenant;
  const source = scope.databases.tenantSource(cell);
  const runner = source.createQueryRunner();
  const lent = store === POOL ? null : await scope.databases.stores.lend({ cell, store });
  let giveShareBack = ignore;
  const giveBack = () => {
    giveShareBack();
    lent?.giveBack();
  };
  try {
    giveShareBack = await takeShare(lent?.pool ?? poolOf(source), scope, lent !== null);
    const client = await connect(async () => lent?.pool.connect() ?? ((await runner.connect()) as pg.PoolClient));
    const release = async () => {
      if (lent !== null) client.release();
      if (!runner.isReleased) await runner.release();
      giveBack();
    };
    return { runner, client, release };
  } catch (error) {
    await runner.release();
    giveBack();
    throw error;
  }
}

/** Waits until the tenant may take a connection of the pool, which may be hers alone. */
function takeShare(pool: pg.Pool, { tenant, lane = 'request', signal }: TenantScope, isAlone = false) {
  return sharesOf(pool).enter({ tenant, lane, signal, isAlone });
}

async function inTransaction<T>(
  { client, scope, length }: { client: pg.PoolClient; scope: TenantScope; length: Length },
  work: (statements: { readonly send: Send; readonly later: Later }) => Promise<T>,
): Promise<T> {
  let ended: Promise<string> | null = null;
  let running = 0;
  const end = (how: 'commit' | 'rollback') => (ended ??= endTransaction(client, how));
  const send: Send = async (text, values = []) => {
    // The connection may carry another tenant's transaction by now.
    if (ended !== null) endedBefore();
    refuseAborted(scope);
    if (PARTS_TRANSACTION.test(text)) await late.sent();
    // The extended protocol takes one statement at a time, so an injected one cannot append another.
    const statement = { text: inStore(text, scope.tenant.store ?? POOL), values: [...values], queryMode: 'extended' };
    const answer = client.query(statement);
    late.follow();
    // It fails with the statement, which is awaited first; a statement that failed turns it into a rollback.
    if (length === 'one statement') end('commit').catch(ignore);
    running += 1;
    return answer.finally(() => (running -= 1));
  };
  const late = newLateStatements(client, send);
  const later: Later = (text, values) => {
    if (ended !== null || length === 'one statement') endedBefore();
    late.add(text, values);
  };
  const opened = openTransaction(client, scope);
  const watch = cancelOnAbort(scope.signal, { client, opened, isRunning: () => running > 0 });
  try {
    // The first statement travels with the opening; behind one that failed, PostgreSQL refuses it.
    const [, result] = await Promise.all([opened, work({ send, later })]);
    if (ended === null) {
      refuseAborted(scope);
      await late.sent();
    }
    const committed = end('commit');
    // PostgreSQL turns the commit behind one that failed into a rollback.
    await Promise.all([late.answered(), committed]);
    if ((await committed) !== 'COMMIT') {
      fail('INTERNAL_SERVER_ERROR', 'the transaction was rolled back by an error that was not rethrown');
    }
    return result;
  } catch (error) {
    // Fails with the connection alone, and the pool removes a broken one.
    await end('rollback').catch(ignore);
    refuseBeyondSupport(supportIn(scope), sqlState(error), error);
    throw translate(error);
  } finally {
    // A cancel request that came late may have hit the end of the transaction.
    if (await watch.end()) await endTransaction(client, 'rollback').catch(ignore);
  }
}

/** What was said before one of these is undone or kept with it. */
const PARTS_TRANSACTION = /^\s*(?:savepoint|release|rollback)\b/i;

function endedBefore(): never {
  return fail('INTERNAL_SERVER_ERROR', 'a statement came after the end of its transaction');
}

function refuseAborted({ signal }: TenantScope): void {
  if (signal?.aborted === true) fail('GATEWAY_TIMEOUT', 'nobody waits for the answer any more');
}

/**
 * Puts the ORM into the transaction, which was opened by hand in one round trip with its context: a nested transaction
 * of the ORM becomes a savepoint, and everything it says goes through `send`.
 */
function lend(runner: QueryRunner, client: pg.PoolClient, send: Send): void {
  const removeListener = client.removeListener.bind(client);
  Object.assign(runner, {
    isTransactionActive: true,
    transactionDepth: 1,
    databaseConnection: { query: send, removeListener },
  });
}

function rowsOf(send: Send): TenantTransaction['query'] {
  return async <Row extends object>(text: string, values: readonly unknown[] = []) =>
    (await send(text, values)).rows as Row[];
}

/** What a caller is told of a fault that she can do something about, by SQLSTATE; the rest stays inside. */
const ANSWERS: Readonly<Record<string, ErrorCode>> = {
  // A value that its column cannot hold: by a check, too long, out of range, no such form, a null byte.
  '23514': 'BAD_USER_INPUT',
  '22001': 'BAD_USER_INPUT',
  '22003': 'BAD_USER_INPUT',
  '22007': 'BAD_USER_INPUT',
  '22008': 'BAD_USER_INPUT',
  '22021': 'BAD_USER_INPUT',
  '22P02': 'BAD_USER_INPUT',
  '22P05': 'BAD_USER_INPUT',
  '23503': 'CONFLICT',
  '23505': 'UNIQUENESS',
  // Another transaction stood in the way; the same request may pass the next time.
  '40001': 'SERVICE_UNAVAILABLE',
  '40P01': 'SERVICE_UNAVAILABLE',
  '55P03': 'SERVICE_UNAVAILABLE',
  '57014': 'GATEWAY_TIMEOUT',
  // The tenant is moved, or was (tenon.enter): nothing was done.
  TN001: 'SERVICE_UNAVAILABLE',
  TN002: 'SERVICE_UNAVAILABLE',
};

function translate(thrown: unknown): TenonError {
  const error = asTenonError(thrown);
  if (error === thrown) return error;
  const code = ANSWERS[sqlState(thrown) ?? ''] ?? (isConnectionLoss(thrown) ? 'SERVICE_UNAVAILABLE' : error.code);
  return new TenonError(code, error.message, { cause: thrown });
}

/** Returns the SQLSTATE of a PostgreSQL error, also of one that TypeORM wrapped, or null for other faults. */
export function sqlState(error: unknown): string | null {
  return driverError(error) instanceof pg.DatabaseError ? codeOf(error) : null;
}

/** Ended by the server (class 57P, or one of its timeouts 25P), a class 08 exception, or a socket that is gone. */
function isConnectionLoss(error: unknown): boolean {
  return (
    /^(?:08...|57P..|25P0[34]|ECONN\w+|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)$/.test(codeOf(error) ?? '') ||
    /^Connection terminated|is not queryable$/.test(asTenonError(driverError(error)).message)
  );
}

function codeOf(error: unknown): string | null {
  const code = (driverError(error) as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : null;
}

function driverError(error: unknown): unknown {
  return (error as { driverError?: unknown } | null | undefined)?.driverError ?? error;
}

function ignore(): void {}

function missingCell(cell: string): never {
  return fail('SERVICE_UNAVAILABLE', `this process does not serve the cell ${cell}`);
}
