import fc from 'fast-check';
import pg from 'pg';
import type { CatalogColumn, CatalogRelation, CatalogSnapshot } from '#kit/catalog-snapshot.ts';

/** Values for the columns of some rows of every table; `pick` chooses the row that a reference leads to. */
export type World = Readonly<Record<string, readonly { readonly pick: number; readonly values: Row }[]>>;

type Row = Readonly<Record<string, unknown>>;

const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((value) => !value.includes('\0'));
const time = fc.date({ min: new Date(0), max: new Date('2999-01-01'), noInvalidDate: true });

/** Any value of a type, as the driver takes it. */
const VALUES: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  uuid: fc.uuid(),
  text,
  'text[]': fc.array(text, { maxLength: 3 }),
  boolean: fc.boolean(),
  smallint: fc.integer({ min: -32_768, max: 32_767 }),
  integer: fc.maxSafeInteger().map((value) => value % 2_147_483_647),
  'integer[]': fc.array(fc.nat(2_147_483_647), { maxLength: 3 }),
  bigint: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  numeric: fc.tuple(fc.maxSafeInteger(), fc.nat(999)).map(([whole, fraction]) => `${whole}.${fraction}`),
  bytea: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  jsonb: fc.json({ maxDepth: 2 }).filter((value) => !value.includes(String.raw`\u0000`)),
  'timestamp with time zone': time,
  'timestamp with time zone[]': fc.array(time, { maxLength: 3 }),
};

/** Tables of schema app, each after those that it refers to. */
export function tablesInOrder(catalog: CatalogSnapshot): CatalogRelation[] {
  const waiting = catalog.relations.filter(({ schema, kind }) => schema === 'app' && kind.endsWith('table'));
  const ordered: CatalogRelation[] = [];
  while (waiting.length > 0) {
    const names = new Set(waiting.map(({ name }) => `app.${name}`));
    const next = waiting.findIndex((table) => parentsOf(table).every((parent) => !names.has(parent)));
    if (next === -1) throw new Error(`these tables refer to each other: ${[...names].join()}`);
    ordered.push(...waiting.splice(next, 1));
  }
  return ordered;
}

/** Any rows for the tables, one or two each. */
export function anyWorld(tables: readonly CatalogRelation[]): fc.Arbitrary<World> {
  const rowOf = (table: CatalogRelation) =>
    fc.record({
      pick: fc.nat(1),
      values: fc.record(Object.fromEntries(writable(table).map((column) => [column.name, anyValue(column)]))),
    });
  return fc.record(
    Object.fromEntries(tables.map((table) => [table.name, fc.array(rowOf(table), { minLength: 1, maxLength: 2 })])),
  );
}

/** Gives a tenant the rows of a world, past row security; a row whose keys are taken is left out. */
export async function load(
  client: pg.Client,
  { tables, world, tenant }: { tables: readonly CatalogRelation[]; world: World; tenant: string },
): Promise<void> {
  const loaded = new Map<string, Row[]>();
  for (const table of tables) {
    const rows: Row[] = [];
    for (const { pick, values } of world[table.name] ?? []) {
      const row = { ...values, ...references(table, loaded, pick), tenant_id: tenant };
      const columns = Object.keys(row).map((name) => pg.escapeIdentifier(name));
      const places = columns.map((_, index) => `$${index + 1}`);
      const inserted = await client.query<Row>(
        `insert into app.${table.name} (${columns.join()}) values (${places.join()}) on conflict do nothing returning *`,
        Object.values(row),
      );
      rows.push(...inserted.rows);
    }
    loaded.set(`app.${table.name}`, rows);
  }
}

function parentsOf({ name, constraints }: CatalogRelation): string[] {
  return constraints.flatMap(({ references: to }) => (to === null || to.table === `app.${name}` ? [] : [to.table]));
}

/** What fills itself (the tenant, an identity, a transaction's number) is left to itself. */
function writable({ columns }: CatalogRelation): CatalogColumn[] {
  return columns.filter(({ name, generated, type }) => name !== 'tenant_id' && !generated && type !== 'xid8');
}

function anyValue({ name, type, nullable }: CatalogColumn): fc.Arbitrary<unknown> {
  const values = VALUES[type];
  if (values === undefined) throw new Error(`no values are known for ${name} of type ${type}`);
  return nullable ? fc.option(values) : values;
}

/** Columns of every foreign key, filled from a row of the same tenant. */
function references(table: CatalogRelation, loaded: ReadonlyMap<string, readonly Row[]>, pick: number): Row {
  const pairs = table.constraints.flatMap(({ columns, references: to }) => {
    const parents = loaded.get(to?.table ?? '') ?? [];
    const parent = parents[pick % parents.length];
    return columns.flatMap((column, place) => {
      const target = to?.columns[place];
      return target === undefined ? [] : [[column, parent?.[target] ?? null] as const];
    });
  });
  return Object.fromEntries(pairs);
}
