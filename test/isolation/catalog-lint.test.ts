import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CATALOG_RULES, lintCatalog, lintSnapshot } from '#kit/catalog-lint.ts';
import { catalogFingerprint, readCatalog, snapshotCatalog } from '#kit/catalog-snapshot.ts';
import { WORKER_TABLES, WORKER_TENANT_TABLES } from '#kit/catalog-table-rules.ts';
import { TABLE, OWNED, CHILD, MUTATIONS } from './catalog-mutations.ts';
import { makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';

let stores: TestStores;
let superuser: pg.Client;

beforeAll(async () => {
  stores = await makeStores();
  superuser = new pg.Client({ connectionString: stores.url('eu-1') });
  await superuser.connect();
});

afterAll(() => superuser.end());

async function faultsOf(sql: string): Promise<readonly { rule: string; object: string }[]> {
  await superuser.query('begin');
  try {
    await superuser.query(sql);
    return lintSnapshot(await readCatalog(superuser)).map(({ rule, object }) => ({ rule, object }));
  } finally {
    await superuser.query('rollback');
  }
}

describe('the catalog lint', () => {
  it.each(['eu-1', 'us-1', 'eu-1 audit', 'us-1 audit'] as const)('finds no fault in %s', async (store) => {
    expect(await withClient(stores.url(store), lintCatalog)).toEqual([]);
  });

  it.each(MUTATIONS)('finds $rule and nothing else: $sql', async ({ rule, object, sql }) => {
    expect(await faultsOf(sql)).toEqual([{ rule, object }]);
  });

  it('has a mutation for every rule', () => {
    expect(new Set(MUTATIONS.map(({ rule }) => rule))).toEqual(new Set(CATALOG_RULES.map(({ name }) => name)));
  });

  it('finds a table that was never protected, without a tenant and open to the application', async () => {
    const faults = await faultsOf(
      OWNED('create table app.notes (id uuid primary key); grant all on app.notes to tenon_app'),
    );
    expect(new Set(faults.map(({ rule }) => rule))).toEqual(
      new Set(['row-security', 'forced-row-security', 'tenant-column', 'keys', 'tenant-isolation', 'table-privileges']),
    );
    expect(new Set(faults.map(({ object }) => object))).toEqual(new Set(['app.notes']));
  });

  it('passes a protected table, a partition without rights, and a view with the rights of its reader', async () => {
    expect(await faultsOf(OWNED(`${TABLE}; call tenon.protect('app.things')`))).toEqual([]);
    expect(
      await faultsOf(
        OWNED(
          `${CHILD}; alter table app.things_rest enable row level security; alter table app.things_rest force row level security`,
        ),
      ),
    ).toEqual([]);
    expect(
      await faultsOf(
        OWNED(
          'create view app.people with (security_invoker, security_barrier) as select * from app.users; grant select on app.people to tenon_app',
        ),
      ),
    ).toEqual([]);
  });

  it('says what is wrong in a sentence that names the object', async () => {
    await superuser.query('begin');
    await superuser.query('create view app.people as select * from app.users; alter role tenon_app bypassrls');
    const faults = lintSnapshot(await readCatalog(superuser));
    await superuser.query('rollback');
    expect(faults.map(({ sentence }) => sentence)).toEqual([
      'app.people shows what its owner may see.',
      'tenon_app may bypass row-level security.',
      expect.stringMatching(/^app\.people belongs to \w+\.$/),
    ]);
  });

  it('names the tables that the worker writes, for all tenants or for one, and exempts no other', async () => {
    const cell = await withClient(stores.url('eu-1'), snapshotCatalog);
    const audit = await withClient(stores.url('eu-1 audit'), snapshotCatalog);
    const written = [...cell.relations, ...audit.relations]
      .filter(({ schema }) => schema === 'app')
      .filter(({ privileges, columns }) =>
        [privileges, ...columns.map((column) => column.privileges)]
          .flat()
          .some(({ grantee, privilege }) => grantee === 'tenon_worker' && privilege !== 'SELECT'),
      )
      .map(({ name }) => name);
    expect([...WORKER_TABLES, ...WORKER_TENANT_TABLES].toSorted()).toEqual(written.toSorted());
  });
});

describe('a snapshot of the catalog', () => {
  it('is the same for any role, and leaves the connection as it was', async () => {
    const [asSuperuser, asApp] = [
      await withClient(stores.url('eu-1'), snapshotCatalog),
      await withClient(stores.url('eu-1', 'tenon_app'), async (client) => {
        const catalog = await snapshotCatalog(client);
        const { rows } = await client.query(
          `select current_setting('search_path') as path, now() = statement_timestamp() as idle`,
        );
        expect(rows).toEqual([{ path: 'app, pg_catalog', idle: true }]);
        return catalog;
      }),
    ];
    expect(asApp).toEqual(asSuperuser);
  });

  it('is plain JSON with the same fingerprint in every cell of one version', async () => {
    const [eu, us] = await Promise.all(
      (['eu-1', 'us-1'] as const).map((store) => withClient(stores.url(store), snapshotCatalog)),
    );
    expect(JSON.parse(JSON.stringify(eu))).toEqual(eu);
    expect(eu).toEqual(us);
    expect(JSON.stringify(eu)).toBe(JSON.stringify(us));
    if (eu === undefined || us === undefined) throw new Error('two cells');
    expect(catalogFingerprint(eu)).toMatch(/^[0-9a-f]{64}$/);
    expect(catalogFingerprint(eu)).toBe(catalogFingerprint(us));
  });

  it('has another fingerprint after a change of a right, a policy or a function', async () => {
    const before = catalogFingerprint(await withClient(stores.url('eu-1'), snapshotCatalog));
    for (const change of [
      'grant delete on app.usage_events to tenon_app',
      `create policy narrower on app.users as restrictive using (email <> '')`,
      `create or replace function tenon.tenant_id() returns uuid language sql stable security definer
         set search_path = pg_catalog, pg_temp as 'select null::uuid'`,
    ]) {
      await superuser.query('begin');
      await superuser.query(change);
      const after = catalogFingerprint(await readCatalog(superuser));
      await superuser.query('rollback');
      expect(after).not.toBe(before);
    }
  });
});
