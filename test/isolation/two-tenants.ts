import pg from 'pg';
import { expect } from 'vitest';
import type { DatabaseRole } from '#kit/database-setup.ts';
import { sqlState, type Databases, type TenantScope } from '#kit/database.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { databaseToken, type TenantContext } from '#schema/tenant-context.ts';
import { CONTEXT_KEYS, type StoreName, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';

/** A tenant of the cell eu-1 with what proves to its databases that she asks. */
export interface TestTenant {
  readonly id: Id<'tnt'>;
  readonly uuid: string;
  readonly token: string;
}

/** One of a tenant's users; both tenants have one under each of these names. */
export const NAMES = ['ada', 'bob'] as const;

/** Makes a tenant with a user under each of `NAMES` and a project with a document, past row security. */
export async function seedTenant(stores: TestStores, slug: string): Promise<TestTenant> {
  const id = mintId('tnt');
  const uuid = uuidOf('tnt', id);
  await withClient(stores.url('eu-1'), async (client) => {
    await client.query(
      `insert into app.tenants (tenant_id, slug, name, tier, region, cell, state)
       values ($1, $2, $2, 'FREE', 'eu', 'eu-1', 'active')`,
      [uuid, slug],
    );
    for (const name of NAMES) {
      await client.query(
        `insert into app.users (tenant_id, id, user_name, email) values ($1, gen_random_uuid(), $2, $2 || '@' || $3)`,
        [uuid, name, slug],
      );
    }
    await client.query(
      `with project as (
         insert into app.projects (tenant_id, id, name) values ($1, gen_random_uuid(), $2) returning tenant_id, id)
       insert into app.documents (tenant_id, id, project_id, name) select tenant_id, gen_random_uuid(), id, $2 from project`,
      [uuid, slug],
    );
  });
  return { id, uuid, token: databaseToken({ tenant: id, cell: 'eu-1' }, CONTEXT_KEYS, Date.now()) };
}

/** The scope of a request of the platform itself in a tenant. */
export function scopeOf(databases: Databases, id: Id<'tnt'>): TenantScope {
  const tenant: TenantContext = {
    tenant: id,
    tier: 'FREE',
    region: 'eu',
    cell: 'eu-1',
    state: 'active',
    actor: { type: 'system', id: 'test', ip: null, ua: null },
    scopes: [],
    sessionId: null,
    epoch: 0,
    client: null,
    requestId: 'req_test',
  };
  return { tenant, databases };
}

/** A connection that is closed by `onTestFinished` or `afterAll` of the caller. */
export async function connectAs(stores: TestStores, role: DatabaseRole, store: StoreName = 'eu-1'): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: stores.url(store, role) });
  await client.connect();
  return client;
}

/** Runs `work` in a transaction under a token, or without a context; commits, or rolls back what threw. */
export async function within<T>(client: pg.Client, token: string | null, work: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    if (token !== null) await client.query(`select set_config('app.tenant', $1, true)`, [token]);
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}

/** Returns the error of PostgreSQL that a statement ends with; one that passes fails the test. */
export async function refusal(work: Promise<unknown>): Promise<{ code: string; text: string }> {
  const error: unknown = await work.then(
    () => expect.fail('the statement passed'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof pg.DatabaseError)) throw error;
  const { message, detail, hint, where } = error;
  return { code: sqlState(error) ?? '', text: [message, detail, hint, where].join('\n') };
}

/** Reads rows past row security. */
export async function everything<Row extends object>(
  stores: TestStores,
  sql: string,
  values: unknown[] = [],
): Promise<Row[]> {
  return withClient(stores.url('eu-1'), async (client) => (await client.query<Row>(sql, values)).rows);
}
