import { inTenant, inTenantAudit, type TenantTransaction } from '#kit/database.ts';
import { isHeld } from '#kit/legal-hold.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { ErasedStore } from '#kit/personal-data.ts';
import type { Stopped } from './erase.ts';

/** A database that rows of tenants lie in. */
export type TenantDatabase = 'cell' | 'audit';

type Statement = Pick<TenantTransaction, 'query'>;

/** Where rows are taken, and for how long. */
export interface TableErasure {
  readonly database: TenantDatabase;
  /** Whether it was done once before: what a legal hold then kept is gone. */
  readonly again: boolean;
  /** By the monotonic clock; at least one transaction is done. */
  readonly deadlineMs: number;
}

/** A table beside which the others lie: a store may have its schema by another name, which a qualified one is given. */
const ANCHORS = { cell: `'app.tenants'`, audit: `'app.erasures'` } as const;
/** Rows of one transaction: well below what a statement may take, whatever hangs on them. */
const BATCH = 1_000;
/** What goes may leave rows about its end behind, and those go in the next pass. */
const MOST_PASSES = 5;

/**
 * Takes every row of an ended tenant out of a database, but for the tables that its function `tenon.kept_of_ended` names:
 * table by table as the catalog lists them, what refers before what is referred to, some rows a transaction. Ended at any
 * point, the next call goes on. It stops at a legal hold, unless it is done again, and where its time is over.
 */
export async function eraseTables(
  ctx: RequestContext,
  { database, again, deadlineMs }: TableErasure,
): Promise<Stopped | null> {
  const tables = await transaction(ctx, database, (tx) => endingTables(tx, database));
  for (let pass = 0; pass < MOST_PASSES; pass += 1) {
    const left = await transaction(ctx, database, (tx) => countLeft(tx, tables));
    const full = tables.filter((table) => (left.get(table) ?? 0) > 0);
    if (full.length === 0) break;
    for (const table of full) {
      const stopped = await eraseTable(ctx, { database, table, again, deadlineMs });
      if (stopped !== null) return stopped;
    }
  }
  return null;
}

/** Returns what went from each table of a database in all, and what a search finds there now. */
export async function erasedTables(ctx: RequestContext, database: TenantDatabase): Promise<ErasedStore[]> {
  return transaction(ctx, database, async (tx) => {
    const tables = await endingTables(tx, database);
    const left = await countLeft(tx, tables);
    const source = database === 'cell' ? 'tenant_keys' : 'erasures where subject_id is null';
    const [went] = await tx.query<{ erased: Readonly<Record<string, number>> }>(`select erased from ${source} limit 1`);
    return tables.toSorted().map((table) => ({
      store: `${database}.${table}`,
      method: 'deleted',
      rows: went?.erased[table] ?? 0,
      left: left.get(table) ?? 0,
    }));
  });
}

/** Tells whether a database holds rows of an ended tenant again. */
export async function holdsRows(ctx: RequestContext, database: TenantDatabase): Promise<boolean> {
  return transaction(ctx, database, async (tx) => {
    const tables = await endingTables(tx, database);
    const [row] = await tx.query<{ found: boolean }>(
      `select ${tables.map((table) => `exists (select from ${table})`).join(' or ')} as found`,
    );
    return row?.found === true;
  });
}

/**
 * Takes the log of an ended tenant out of the audit database once the archive has let go of its last object; tells whether
 * there was something to take. Its head stays, for the platform log speaks of its size.
 */
export async function eraseLetGo(ctx: RequestContext): Promise<boolean> {
  const tables = await inTenantAudit(ctx, async (tx) => {
    const [log] = await tx.query<{ names: string[] }>(
      'select tenon.log_of_ended() as names where tenon.archive_let_go()',
    );
    return log === undefined ? [] : [...(await countLeft(tx, log.names))].filter(([, rows]) => rows > 0);
  });
  const order = { database: 'audit', again: true, deadlineMs: Infinity } as const;
  for (const [table] of tables) await eraseTable(ctx, { ...order, table });
  return tables.length > 0;
}

async function eraseTable(
  ctx: RequestContext,
  { database, table, again, deadlineMs }: TableErasure & { readonly table: string },
): Promise<Stopped | null> {
  for (let gone = BATCH; gone === BATCH;) {
    if (!again && database === 'audit' && (await inTenant(ctx, isHeld))) return 'held';
    const taken = await transaction(ctx, database, async (tx) => {
      if (!again && database === 'cell' && (await isHeld(tx))) return 'held';
      const [row] = await tx.query<{ gone: number }>('select tenon.erase_tenant_rows($1, $2)::integer as gone', [
        table,
        BATCH,
      ]);
      return row?.gone ?? 0;
    });
    if (taken === 'held') return taken;
    gone = taken;
    if (performance.now() > deadlineMs) return 'unfinished';
  }
  return null;
}

/** In an order in which every table comes before those that it refers to. */
async function endingTables(tx: Statement, database: TenantDatabase): Promise<string[]> {
  const rows = await tx.query<{ name: string; parents: string[] }>(
    `select c.relname::text as name, array(
        select distinct p.relname::text from pg_constraint k join pg_class p on p.oid = k.confrelid
         where k.conrelid = c.oid and k.contype = 'f' and p.oid <> c.oid) as parents
       from pg_class c where c.relnamespace = (select relnamespace from pg_class where oid = ${ANCHORS[database]}::regclass) and c.relkind in ('r', 'p') and not c.relispartition
        and c.relname <> all (tenon.kept_of_ended()) order by c.relname`,
  );
  const waiting = new Map(rows.map(({ name, parents }) => [name, parents]));
  const order: string[] = [];
  while (waiting.size > 0) {
    const free = [...waiting.keys()].filter((name) => ![...waiting.values()].some((parents) => parents.includes(name)));
    if (free.length === 0) throw new Error(`tables refer to each other in a circle: ${[...waiting.keys()].join(', ')}`);
    for (const name of free) waiting.delete(name);
    order.push(...free);
  }
  return order;
}

async function countLeft(tx: Statement, tables: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const rows = await tx.query<{ name: string; rows: number }>(
    tables.map((table) => `select '${table}' as name, count(*)::integer as rows from ${table}`).join(' union all '),
  );
  return new Map(rows.map((row) => [row.name, row.rows]));
}

function transaction<T>(
  ctx: RequestContext,
  database: TenantDatabase,
  work: (tx: Statement) => Promise<T>,
): Promise<T> {
  return database === 'cell' ? inTenant(ctx, work) : inTenantAudit(ctx, work);
}
