import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import type { Row } from './table.ts';

/** A column of a table that is handed out. */
export interface ExportedColumn {
  readonly name: string;
  /** As PostgreSQL writes it. */
  readonly type: string;
  readonly nullable: boolean;
}

/** A table of the cell as it is handed out to its tenant: all of it but what is secret. */
export interface ExportedTable {
  readonly name: string;
  readonly columns: readonly ExportedColumn[];
  /** The primary key without the tenant, in its order. */
  readonly key: readonly ExportedColumn[];
}

/**
 * Tables that hold keys alone, or what is on its way elsewhere: events, which are in the log, and work of the platform's
 * own.
 */
const NOT_HERS: ReadonlySet<string> = new Set([
  'tenant_keys',
  'subject_keys',
  'outbox',
  'sequenced_events',
  'mutation_notes',
  'tier_service_levels',
]);

/** Secrets, hashes of secrets, and sealed values lie in columns of bytes, or in texts of these names. */
const SECRET = /^(?:secret|token|code_challenge)$|^sealed/;
const PAGE_SIZE = 1_000;

/** Tells whether a column is left out of what a tenant is handed out. */
export function isSecretColumn({ name, type }: Pick<ExportedColumn, 'name' | 'type'>): boolean {
  return type === 'bytea' || SECRET.test(name);
}

/** Returns every table of the cell that is a tenant's, as the catalog lists them. */
export async function exportedTables(ctx: RequestContext): Promise<ExportedTable[]> {
  const rows = await inTenant(ctx, (tx) => tx.query<CatalogRow>(TABLES));
  return rows
    .filter(({ name }) => !NOT_HERS.has(name))
    .map(({ name, columns, key }) => ({
      name,
      columns: columns.filter((column) => column.name !== 'tenant_id' && !isSecretColumn(column)),
      key: key.filter((column) => column.name !== 'tenant_id'),
    }));
}

/**
 * Yields the rows of a table by its key, some at a time, each page as it is at that moment: nobody waits for an export, and
 * it waits for nobody.
 */
export async function* rowsOf(ctx: RequestContext, table: ExportedTable): AsyncGenerator<Row> {
  for (let after: readonly string[] | null = null; ;) {
    const page: PageRow[] = await inTenant(ctx, (tx) => readPage(tx, table, after));
    for (const { row } of page) yield row;
    after = page.at(-1)?.key ?? null;
    if (after === null || page.length < PAGE_SIZE || table.key.length === 0) return;
  }
}

/** Returns the JSON Schema (2020-12) of the rows of a table. */
export function schemaOf({ name, columns }: ExportedTable): { readonly [field: string]: JsonValue } {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: name,
    type: 'object',
    properties: Object.fromEntries([['row', { type: 'integer' }], ...columns.map((one) => [one.name, typeOf(one)])]),
    required: ['row', ...columns.map((column) => column.name)],
    additionalProperties: false,
  };
}

interface CatalogRow {
  readonly name: string;
  readonly columns: readonly ExportedColumn[];
  readonly key: readonly ExportedColumn[];
}

interface PageRow {
  readonly row: Row;
  readonly key: readonly string[];
}

const COLUMN = `jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'nullable', not a.attnotnull)`;

const TABLES = `
  select c.relname::text as name,
         (select jsonb_agg(${COLUMN} order by a.attnum) from pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
         (select coalesce(jsonb_agg(${COLUMN} order by k.place), '[]') from pg_index i
            cross join lateral unnest(i.indkey::int2[]) with ordinality as k (number, place)
            join pg_attribute a on a.attrelid = c.oid and a.attnum = k.number
           where i.indrelid = c.oid and i.indisprimary) as key
    from pg_class c where c.relnamespace = (select relnamespace from pg_class where oid = 'app.tenants'::regclass) and c.relkind in ('r', 'p') and not c.relispartition
   order by c.relname`;

async function readPage(
  tx: Pick<TenantTransaction, 'query'>,
  { name, columns, key }: ExportedTable,
  after: readonly string[] | null,
): Promise<PageRow[]> {
  const fields = columns.map((column) => `'${column.name}', ${valueOf(column)}`);
  const objects = groupsOf(fields).map((group) => `jsonb_build_object(${group.join(', ')})`);
  const names = key.map((column) => column.name);
  const behind = key.map(({ type }, place) => `$${place + 2}::${type}`);
  const where = after === null ? '' : `where (${names.join(', ')}) > (${behind.join(', ')})`;
  const order = names.length === 0 ? '' : `order by ${names.join(', ')}`;
  return tx.query<PageRow>(
    `select ${objects.join(' || ')} as row, array[${names.map((column) => `${column}::text`).join(', ')}]::text[] as key
       from ${name} ${where} ${order} limit $1`,
    [PAGE_SIZE, ...(after ?? [])],
  );
}

/** Numbers that JSON does not hold exactly go as texts, and times in one form whatever the session says. */
function valueOf({ name, type }: ExportedColumn): string {
  if (type === 'bigint' || type === 'numeric' || type === 'xid8') return `${name}::text`;
  if (type.startsWith('timestamp')) return `to_char(${name} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
  return name;
}

/** A function of PostgreSQL takes a hundred arguments. */
function groupsOf(fields: readonly string[]): string[][] {
  const groups: string[][] = [];
  for (let start = 0; start < fields.length; start += 40) groups.push(fields.slice(start, start + 40));
  return groups;
}

function typeOf({ type, nullable }: ExportedColumn): JsonValue {
  const known = TYPES.find(([pattern]) => pattern.test(type))?.[1] ?? { type: 'string' };
  if (!nullable || known['type'] === undefined) return known;
  return { ...known, type: [known['type'], 'null'] };
}

const TYPES: readonly (readonly [RegExp, { readonly [key: string]: JsonValue }])[] = [
  [/\[\]$/, { type: 'array', items: { type: 'string' } }],
  [/^(?:integer|smallint)$/, { type: 'integer' }],
  [/^boolean$/, { type: 'boolean' }],
  [/^jsonb?$/, {}],
  [/^uuid$/, { type: 'string', format: 'uuid' }],
  [/^timestamp/, { type: 'string', format: 'date-time' }],
  [/^(?:bigint|numeric|xid8)/, { type: 'string', pattern: '^-?[0-9]+([.][0-9]+)?$' }],
];
