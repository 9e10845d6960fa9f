import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CatalogRelation } from '#kit/catalog-snapshot.ts';
import { WORKER_READ_TABLES, WORKER_TABLES } from '#kit/catalog-table-rules.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { databaseToken } from '#schema/tenant-context.ts';
import { EVENTS_OF } from '../../subgraphs/identity/security-events/event-types.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { bareStore, closeBareStores } from './bare-store.ts';
import { anyWorld, load, type World } from './generated-rows.ts';
import { refusal } from './two-tenants.ts';

const A = mintId('tnt');
const B = uuidOf('tnt', mintId('tnt'));
const TOKEN = databaseToken({ tenant: A, cell: 'eu-1' }, CONTEXT_KEYS, Date.now());

let stores: TestStores;

beforeAll(async () => {
  stores = await makeStores();
});

afterAll(closeBareStores);

async function become(client: pg.Client, role: string, token: string): Promise<void> {
  await client.query(`reset role; set local role ${role}`);
  await client.query(`select set_config('app.tenant', $1, true)`, [token]);
}

/** Every row of a tenant past row security, as text. */
async function rowsOf(
  client: pg.Client,
  tables: readonly CatalogRelation[],
  tenant: string,
): Promise<Record<string, string[]>> {
  await client.query('reset role');
  const found: Record<string, string[]> = {};
  for (const { name } of tables) {
    const { rows } = await client.query<{ row: string }>(
      `select t::text as row from app.${name} t where tenant_id = $1 order by 1`,
      [tenant],
    );
    found[name] = rows.map(({ row }) => row);
  }
  return found;
}

/** What tenant A may not reach and may not do, asked of every table; B has rows in each. */
async function attack(client: pg.Client, table: CatalogRelation, own: number): Promise<void> {
  const affected = async (sql: string, values: unknown[] = []) => (await client.query(sql, values)).rowCount;
  const { name } = table;
  expect(await affected(`select from app.${name}`), name).toBe(own);
  expect(await affected(`select from app.${name} where tenant_id = $1`, [B]), name).toBe(0);
  expect(await affected(`select from app.${name} where tenant_id <> tenon.tenant_id()`), name).toBe(0);
  expect(await affected(`update app.${name} set tenant_id = tenant_id where tenant_id = $1`, [B]), name).toBe(0);
  expect(await affected(`delete from app.${name} where tenant_id = $1`, [B]), name).toBe(0);
  expect(await affected(`update app.${name} set tenant_id = tenant_id`), name).toBe(own);
  await client.query('savepoint before');
  expect((await refusal(client.query(`update app.${name} set tenant_id = $1`, [B]))).code, name).toBe('42501');
  await client.query('rollback to before');
  expect((await refusal(client.query(`insert into app.${name} (tenant_id) values ($1)`, [B]))).code, name).toBe(
    '42501',
  );
  await client.query('rollback to before');
}

async function interfere(client: pg.Client, tables: readonly CatalogRelation[]): Promise<void> {
  const [mine, theirs] = [await rowsOf(client, tables, uuidOf('tnt', A)), await rowsOf(client, tables, B)];
  for (const role of ['tenon_app', 'tenon_worker']) {
    await become(client, role, '');
    const isOpen = (name: string) => [...WORKER_TABLES, ...WORKER_READ_TABLES].includes(name);
    for (const { name } of tables.filter((table) => role === 'tenon_app' || !isOpen(table.name))) {
      expect((await client.query(`select from app.${name}`)).rowCount, name).toBe(0);
    }
  }
  await become(client, 'tenon_app', TOKEN);
  for (const table of tables) {
    expect(theirs[table.name]?.length, table.name).toBeGreaterThan(0);
    await attack(client, table, mine[table.name]?.length ?? 0);
  }
  await deleteAll(client, tables);
  expect(await rowsOf(client, tables, B)).toEqual(theirs);
  expect(Object.values(await rowsOf(client, tables, uuidOf('tnt', A))).flat()).toEqual([]);
}

/** Deletes all that A has; triggers write down what was deleted, so that is deleted after it, and the tenant at the end. */
async function deleteAll(client: pg.Client, tables: readonly CatalogRelation[]): Promise<void> {
  const childrenFirst = tables.toReversed();
  for (const table of childrenFirst.filter(({ name }) => name !== 'tenants')) await deleteOwn(client, table);
  const left = await rowsOf(client, tables, uuidOf('tnt', A));
  for (const table of childrenFirst.filter(({ name }) => left[name]?.length !== 0)) await deleteOwn(client, table);
}

/** Exactly as many rows go as A has at that moment, past row security. */
async function deleteOwn(client: pg.Client, table: CatalogRelation): Promise<void> {
  const own = (await rowsOf(client, [table], uuidOf('tnt', A)))[table.name]?.length;
  await become(client, 'tenon_app', TOKEN);
  expect((await client.query(`delete from app.${table.name}`)).rowCount, table.name).toBe(own);
}

/** The same world with receivers that want to hear of everything, so that the triggers that tell them have work. */
function overheard(world: World): World {
  const { security_event_receivers: receivers = [] } = world;
  const wanted = { state: 'active', events: Object.values(EVENTS_OF).flat() };
  const listening = receivers.map(({ pick, values }) => ({ pick, values: { ...values, ...wanted } }));
  return { ...world, security_event_receivers: listening };
}

describe('for any rows of any table, tenants with the very same keys', () => {
  it.each(['eu-1', 'eu-1 audit'] as const)(
    'do not see, change or delete a row of each other (%s)',
    async (store) => {
      const { client, tables } = await bareStore(stores, store);
      expect(tables.length).toBeGreaterThan(5);
      await fc.assert(
        fc.asyncProperty(anyWorld(tables).map(overheard), async (world: World) => {
          await client.query('begin');
          try {
            // Triggers that wait for the commit, which never comes here, act with their statement.
            await client.query('set constraints all immediate');
            for (const tenant of [uuidOf('tnt', A), B]) await load(client, { tables, world, tenant });
            await interfere(client, tables);
          } finally {
            await client.query('rollback');
          }
        }),
        { numRuns: 12, endOnFailure: true },
      );
    },
    120_000,
  );
});
