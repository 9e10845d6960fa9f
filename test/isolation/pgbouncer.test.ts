import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inTenant, inTenantAudit, inTenantOnce, openDatabases, type Databases } from '#kit/database.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { PGBOUNCER_PROGRAMS, startPgBouncer, type PgBouncer } from '../support/pgbouncer.ts';
import { withClient } from '../support/postgres.ts';
import { isInstalled } from '../support/programs.ts';
import { everything, scopeOf, seedTenant, type TestTenant } from './two-tenants.ts';

const CLIENTS = 20;
const SERVER_CONNECTIONS = 2;
const REQUESTS = 2_000;

const isThere = isInstalled(PGBOUNCER_PROGRAMS, 'isolation behind PgBouncer in transaction mode');

describe.skipIf(!isThere)('behind PgBouncer in transaction mode, with two connections to the server', () => {
  let stores: TestStores;
  let bouncer: PgBouncer;
  let databases: Databases;
  let a: TestTenant;
  let b: TestTenant;

  beforeAll(async () => {
    stores = await makeStores();
    bouncer = await startPgBouncer(stores.url('eu-1'), {
      serverConnections: SERVER_CONNECTIONS,
      users: { tenon_app: 'app' },
    });
    const { directoryUrl, cells } = stores.settingsFor('tenon_app', 'file:///nowhere');
    databases = await openDatabases({
      directoryUrl: bouncer.through(directoryUrl),
      cells: cells.map((cell) => ({
        ...cell,
        database: bouncer.through(cell.database),
        auditDatabase: bouncer.through(cell.auditDatabase),
      })),
      keys: CONTEXT_KEYS,
      dataKeys: DATA_KEYS,
      entities: [],
      poolSize: CLIENTS,
    });
    [a, b] = [await seedTenant(stores, 'acme'), await seedTenant(stores, 'bolt')];
  });

  afterAll(async () => {
    await databases?.close();
    await bouncer?.stop();
  });

  const tenantOf = (turn: number) => (turn % 3 === 0 ? a : b);
  const SEEN = 'select distinct tenant_id as id, pg_backend_pid() as pid from users where $1::int is not null';

  it(`${REQUESTS} requests of two tenants over ${CLIENTS} connections see their own rows, every one of them`, async () => {
    const backends = new Set<number>();
    let wrong = 0;
    let turn = 0;
    const client = async () => {
      while (turn < REQUESTS) {
        const mine = turn++;
        const tenant = tenantOf(mine);
        const door = mine % 4 === 0 ? inTenantOnce : inTenant;
        const rows = await door(scopeOf(databases, tenant.id), (tx) =>
          tx.query<{ id: string; pid: number }>(SEEN, [mine]),
        );
        for (const { pid } of rows) backends.add(pid);
        if (rows.length !== 1 || rows[0]?.id !== tenant.uuid) wrong += 1;
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    expect(wrong).toBe(0);
    expect(backends.size).toBeLessThanOrEqual(SERVER_CONNECTIONS);
  });

  it('writes, nested transactions and failures land where they belong', async () => {
    const insert = `insert into projects (id, name) values (gen_random_uuid(), $1)`;
    await Promise.all(
      Array.from({ length: 200 }, async (_, turn) => {
        const done = inTenant(scopeOf(databases, tenantOf(turn).id), async (tx) => {
          await tx.query(insert, [`${turn}`]);
          await tx.manager.transaction((nested) => nested.query(insert, [`${turn}`]));
          if (turn % 5 === 0) throw new RangeError('on purpose');
        });
        await (turn % 5 === 0 ? expect(done).rejects.toThrow('on purpose') : done);
      }),
    );
    const [row] = await everything<{ kept: number; wrong: number }>(
      stores,
      `select count(*)::int as kept, count(*) filter (where (name::int % 3 = 0) <> (tenant_id = $1))::int as wrong
         from app.projects where name ~ '^[0-9]+$'`,
      [a.uuid],
    );
    expect(row).toEqual({ kept: 320, wrong: 0 });
  });

  it('the audit database is walled alike', async () => {
    const tenants = await Promise.all(
      Array.from({ length: 60 }, (_, turn) =>
        inTenantAudit(scopeOf(databases, tenantOf(turn).id), (tx) =>
          tx.query<{ id: string }>('select tenon.tenant_id() as id'),
        ),
      ),
    );
    expect(tenants.map(([row]) => row?.id)).toEqual(tenants.map((_, turn) => tenantOf(turn).uuid));
  });

  it('nothing of a tenant stays at the server for whoever borrows the connection next', async () => {
    const naked = new pg.Client({ connectionString: bouncer.through(stores.url('eu-1', 'tenon_app')) });
    await naked.connect();
    await inTenant(scopeOf(databases, a.id), async (tx) => {
      await tx.query(`select pg_catalog.set_config('app.tenant', $1, false)`, [a.token]);
    });
    for (let turn = 0; turn < 50; turn += 1) {
      await inTenant(scopeOf(databases, tenantOf(turn).id), (tx) => tx.query(SEEN, [turn]));
      expect((await naked.query('select from app.users')).rowCount).toBe(0);
      expect((await naked.query('select from pg_prepared_statements')).rowCount).toBe(0);
    }
    await naked.end();
  });

  it('no setting travels with the start of a connection, where CVE-2025-12819 would take one for SQL', async () => {
    const url = `${bouncer.through(stores.url('eu-1', 'tenon_app'))}?options=-csearch_path%3Dmine`;
    await expect(withClient(url, (client) => client.query('select 1'))).rejects.toThrow(
      /unsupported startup parameter/,
    );
  });

  it('a context that is set for the session instead, as is often done, shows rows of another tenant', async () => {
    const pool = new pg.Pool({ connectionString: bouncer.through(stores.url('eu-1', 'tenon_app')), max: CLIENTS });
    let wrong = 0;
    await Promise.all(
      Array.from({ length: 200 }, async (_, turn) => {
        const client = await pool.connect();
        await client.query(`select set_config('app.tenant', $1, false)`, [tenantOf(turn).token]);
        const { rows } = await client.query<{ id: string }>('select distinct tenant_id as id from app.users');
        if (rows[0]?.id !== tenantOf(turn).uuid) wrong += 1;
        client.release();
      }),
    );
    await pool.end();
    // It shows that the pooler hands connections on between statements: without that, the tests above would prove nothing.
    expect(wrong).toBeGreaterThan(0);
  });
});
