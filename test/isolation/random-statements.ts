import fc from 'fast-check';
import pg from 'pg';
import { MOVING } from '#kit/catalog-movers.ts';
import type { CatalogRelation, CatalogSnapshot } from '#kit/catalog-snapshot.ts';
import { sqlState } from '#kit/database.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import type { World } from './generated-rows.ts';

/** Something that a tenant says to a database, and what of its answer can be compared with the same said elsewhere. */
export interface RandomStatement {
  readonly sql: string;
  readonly values: readonly unknown[];
  /** Rows that hold what the server itself made up are compared by their number, and what is said of them by its code. */
  readonly isCounted: boolean;
  /** Selects what an error may quote without a difference: which of her own rows the server reaches first is up to it. */
  readonly quotable?: string;
}

type Said = Pick<RandomStatement, 'sql' | 'values' | 'quotable'>;

type Row = Readonly<Record<string, unknown>>;

/** Triggers write rows with ids and times of their own into these. */
const MADE_BY_TRIGGERS = /^(?:revocations|security_event_deliveries|revocation_acknowledgements)$/;
/** They announce something to the whole server, counted over all tenants: no row of anybody. */
const ANNOUNCERS = /^announce|^uuidv7|^enqueue_security_event/;

const SHAPES = [
  'all',
  'found',
  'counted',
  'locked',
  'leaky',
  'joined',
  'copied',
  'inserted',
  'given',
  'upserted',
  'passed over',
  'merged',
  'updated',
  'moved',
  'deleted',
  'deleted by a join',
  'truncated',
  'asked by name',
] as const;

/**
 * Returns any statement on any relation, with values that stand in the rows of another tenant wherever a value goes; a
 * reference leads to a row of the other or of her own.
 */
export function anyStatement(
  tables: readonly CatalogRelation[],
  { world, own, other }: { world: World; own: World; other: Id<'tnt'> },
): fc.Arbitrary<RandomStatement> {
  const known = tables.filter(({ name }) => (world[name] ?? []).length > 0);
  return fc
    .record({
      table: fc.constantFrom(...known),
      shape: fc.constantFrom(...SHAPES),
      pick: fc.nat(50),
      ownParents: fc.boolean(),
    })
    .map(({ table, shape, pick, ownParents }) => {
      const rows = world[table.name] ?? [];
      const parents = parentValues(table, ownParents ? own : world, pick);
      const values = { ...rows[pick % rows.length]?.values, ...parents };
      const columns = plainColumns(table);
      const column = columns[pick % columns.length] ?? 'tenant_id';
      const isCounted = MADE_BY_TRIGGERS.test(table.name);
      const make = { table, values, columns, column, other: uuidOf('tnt', other) };
      return { ...statementOf(shape, make), isCounted };
    });
}

interface Making {
  readonly table: CatalogRelation;
  /** A row of the other tenant. */
  readonly values: Row;
  readonly columns: readonly string[];
  readonly column: string;
  readonly other: string;
}

function statementOf(shape: (typeof SHAPES)[number], made: Making): Said {
  const { table, values, columns, column, other } = made;
  const name = `app.${pg.escapeIdentifier(table.name)}`;
  const listed = columns.map((one) => `t.${pg.escapeIdentifier(one)}`).join(', ');
  const by = `t.${pg.escapeIdentifier(column)}`;
  const same = `${by} is not distinct from $1`;
  const value = [values[column] ?? null];
  const row = `(${listed})::text`;
  const conflict = keyOf(table);
  const key = conflict.map((one) => `t.${one} = v.${one}`).join(' and ');
  switch (shape) {
    case 'all':
      return { sql: `select row(${listed})::text from ${name} t order by 1`, values: [] };
    case 'found':
      return { sql: `select row(${listed})::text from ${name} t where ${same} order by 1`, values: value };
    case 'counted':
      return {
        sql: `select count(*), min(${by}::text), max(${by}::text), count(distinct ${by}::text) from ${name} t`,
        values: [],
      };
    case 'locked':
      return { sql: `select ${by}::text from ${name} t order by 1 for update`, values: [] };
    case 'leaky':
      return {
        sql: `select from ${name} t where (${by}::text || 'x')::int = 1 or 1 / (length(${by}::text) - 3) > 0`,
        values: [],
        quotable: `select ${by}::text from ${name} t`,
      };
    case 'joined':
      return {
        sql: `select count(*) from ${name} t full join app.tenants o on o.tenant_id <> t.tenant_id`,
        values: [],
      };
    case 'copied':
      return { sql: `copy (select ${listed} from ${name} t) to stdout`, values: [] };
    case 'inserted':
      return insertOf(made, '', row);
    case 'given':
      return insertOf({ ...made, values: { ...values, tenant_id: other } }, '', row);
    case 'upserted':
      return insertOf(made, `on conflict (${conflict.join()}) do update set tenant_id = excluded.tenant_id`, row);
    case 'passed over':
      return insertOf(made, 'on conflict do nothing', row);
    case 'merged':
      return {
        sql: `merge into ${name} t using (select tenant_id, ${conflict.slice(1).join() || '1 as one'} from ${name}) v on ${key} when matched then update set tenant_id = v.tenant_id`,
        values: [],
      };
    case 'updated':
      return { sql: `update ${name} t set tenant_id = t.tenant_id where ${same}`, values: value };
    case 'moved':
      return { sql: `update ${name} t set tenant_id = $2 where ${same}`, values: [...value, other] };
    case 'deleted':
      return { sql: `delete from ${name} t where ${same}`, values: value };
    case 'deleted by a join':
      return { sql: `delete from ${name} t using app.tenants o where o.tenant_id <> $1`, values: [other] };
    case 'truncated':
      return { sql: `truncate ${name} cascade`, values: [] };
    default:
      return {
        sql: `select exists (select from ${name} t where t.tenant_id = $1), count(*) from ${name}`,
        values: [other],
      };
  }
}

/** The rows come back as well, and so would one that was there before. */
function insertOf({ table, values }: Making, conflict: string, row: string): Said {
  const names = Object.keys(values).map((one) => pg.escapeIdentifier(one));
  const places = names.map((_, at) => `$${at + 1}`);
  return {
    sql: `insert into app.${pg.escapeIdentifier(table.name)} as t (${names.join()}) values (${places.join()}) ${conflict} returning row${row}`,
    values: Object.values(values),
  };
}

/** Columns of references, filled from rows of a world. */
function parentValues({ constraints }: CatalogRelation, world: World, pick: number): Row {
  const pairs = constraints.flatMap(({ columns, references: to }) => {
    const rows = world[to?.table.replace('app.', '') ?? ''] ?? [];
    const parent = rows[pick % rows.length]?.values ?? {};
    return columns.flatMap((column, at) => {
      const target = to?.columns[at];
      return target !== undefined && Object.hasOwn(parent, target) ? [[column, parent[target]] as const] : [];
    });
  });
  return Object.fromEntries(pairs);
}

function keyOf({ constraints }: CatalogRelation): readonly string[] {
  return constraints.find(({ kind }) => kind === 'primary key')?.columns ?? ['tenant_id'];
}

/** Columns whose values come from whoever writes the row, and not from a sequence, a clock or the number of a transaction. */
function plainColumns({ columns }: CatalogRelation): string[] {
  return columns
    .filter(
      ({ generated, type, default: filled }) =>
        !generated && type !== 'xid8' && !/now\(\)|random|uuidv7/.test(filled ?? ''),
    )
    .map(({ name }) => name);
}

/**
 * Returns a question to every function that the role may call without telling anybody, and to every view and sequence. The
 * worker's job queue is left out: it works that off for all tenants, whatever its context.
 */
export function everyQuestion({ functions, relations }: CatalogSnapshot, role: string): RandomStatement[] {
  const isAsked = ({ schema }: { schema: string }) => role !== 'tenon_worker' || schema !== 'graphile_worker';
  const callable = functions.filter(
    ({ kind, name, privileges }) =>
      kind === 'function' &&
      !ANNOUNCERS.test(name) &&
      privileges.some(({ grantee }) => grantee === role || grantee === 'PUBLIC'),
  );
  const calls = callable.filter(isAsked).map(({ schema, name }) => {
    const [bare = '', types = ''] = name.replace(/\)$/, '').split('(');
    const nothing = types === '' ? [] : types.split(', ').map(() => 'null');
    // A row that it would write holds the time.
    const isCounted = [...MOVING].some((moving) => moving.startsWith(`${schema}.${bare}(`));
    return { sql: `select ${schema}.${bare}(${nothing.join()})::text`, values: [], isCounted };
  });
  const others = relations
    .filter(isAsked)
    .filter(({ kind }) => kind !== 'table' && kind !== 'partitioned table')
    .map(({ schema, name }) => `select * from ${schema}.${pg.escapeIdentifier(name)}`);
  return [...calls, ...others.map((sql) => ({ sql, values: [], isCounted: false }))];
}

/** Says a statement and returns all that whoever said it learns; what it did stays. */
export async function outcomeOf(client: pg.Client, statement: RandomStatement): Promise<string> {
  const { sql, values, isCounted, quotable } = statement;
  await client.query('savepoint said');
  try {
    const { rowCount, rows } = await client.query<Row>(sql, [...values]);
    await client.query('release savepoint said');
    return JSON.stringify([rowCount, isCounted ? null : rows]);
  } catch (error) {
    await client.query('rollback to savepoint said');
    if (!(error instanceof pg.DatabaseError)) throw error;
    const { message, detail, hint } = error;
    const shown = quotable === undefined ? message : await withoutQuotes(client, { message, quotable });
    const said = isCounted ? [] : [shown, detail ?? null, hint ?? null];
    return JSON.stringify([sqlState(error), ...said]);
  }
}

/** A message without the first of her own values that it quotes. */
async function withoutQuotes(client: pg.Client, said: { message: string; quotable: string }): Promise<string> {
  const { rows } = await client.query<[string | null]>({ text: said.quotable, rowMode: 'array' });
  const quoted = rows.map(([value]) => `"${value}x"`).find((value) => said.message.endsWith(value));
  return quoted === undefined ? said.message : said.message.slice(0, -quoted.length);
}
