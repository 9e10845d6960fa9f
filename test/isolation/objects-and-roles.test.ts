import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DatabaseRole } from '#kit/database-setup.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';
import { connectAs, NAMES, refusal, seedTenant, within, type TestTenant } from './two-tenants.ts';

let stores: TestStores;
let superuser: pg.Client;
let app: pg.Client;
let worker: pg.Client;
let a: TestTenant;
let b: TestTenant;

beforeAll(async () => {
  stores = await makeStores();
  superuser = new pg.Client({ connectionString: stores.url('eu-1') });
  await superuser.connect();
  app = await connectAs(stores, 'tenon_app');
  worker = await connectAs(stores, 'tenon_worker');
  a = await seedTenant(stores, 'acme');
  b = await seedTenant(stores, 'bolt');
});

afterAll(() => Promise.all([superuser, app, worker].map((client) => client.end())));

/** Runs `work` as the application under the token, in a database changed by `ddl` of the owner or superuser. */
async function afterChange<T>(
  ddl: { as: DatabaseRole | 'superuser'; sql: string },
  token: string | null,
  work: () => Promise<T>,
): Promise<T> {
  await superuser.query('begin');
  try {
    if (ddl.as !== 'superuser') await superuser.query(`set local role ${ddl.as}`);
    await superuser.query(ddl.sql);
    await superuser.query('set local role tenon_app; set local search_path = app, pg_catalog');
    if (token !== null) await superuser.query(`select set_config('app.tenant', $1, true)`, [token]);
    return await work();
  } finally {
    await superuser.query('rollback');
  }
}

const countOf = async (sql: string) => (await superuser.query(sql)).rowCount;
const byOwner = (sql: string) => ({ as: 'tenon_owner', sql }) as const;

describe('the owner of the tables', () => {
  it('sees and changes no row, neither without a context nor under one', async () => {
    const owner = await connectAs(stores, 'tenon_owner');
    for (const token of [null, a.token]) {
      await within(owner, token, async () => {
        expect((await owner.query('select from users')).rowCount).toBe(0);
        expect((await owner.query('update users set active = false')).rowCount).toBe(0);
        expect((await owner.query('delete from documents')).rowCount).toBe(0);
        expect((await owner.query('select from outbox')).rowCount).toBe(0);
      });
    }
    await owner.end();
  });
});

describe('an object that the owner makes', () => {
  it('as a view without security_invoker shows nothing, with it the rows of the reader', async () => {
    const view = (options: string) =>
      byOwner(`create view app.people ${options} as select * from app.users; grant select on app.people to tenon_app`);
    expect(await afterChange(view(''), a.token, () => countOf('select from people'))).toBe(0);
    expect(await afterChange(view('with (security_invoker)'), a.token, () => countOf('select from people'))).toBe(
      NAMES.length,
    );
    expect(await afterChange(view('with (security_invoker)'), null, () => countOf('select from people'))).toBe(0);
  });

  it('as a materialized view holds the rows of nobody', async () => {
    const ddl = byOwner(
      'create materialized view app.people as select * from app.users; grant select on app.people to tenon_app',
    );
    expect(await afterChange(ddl, a.token, () => countOf('select from people'))).toBe(0);
  });

  it('as a SECURITY DEFINER function returns the rows of nobody', async () => {
    const ddl = byOwner(`create function app.people() returns setof app.users language sql stable security definer
      as 'select * from app.users'; grant execute on function app.people() to tenon_app`);
    expect(await afterChange(ddl, a.token, () => countOf('select * from people()'))).toBe(0);
  });

  it('as a function with the rights of its caller shows her rows, inlined or not', async () => {
    for (const volatility of ['stable', 'volatile']) {
      const ddl = byOwner(
        `create function app.people() returns setof app.users language sql ${volatility} as 'select * from app.users'`,
      );
      expect(await afterChange(ddl, a.token, () => countOf('select * from people()'))).toBe(NAMES.length);
    }
  });

  it('as a second permissive policy opens no row of another tenant', async () => {
    const ddl = byOwner('create policy open on app.users for all to public using (true) with check (true)');
    expect(await afterChange(ddl, a.token, () => countOf('select from users'))).toBe(NAMES.length);
    expect(await afterChange(ddl, null, () => countOf('select from users'))).toBe(0);
    const insert = () =>
      superuser.query(`insert into users (tenant_id, id, user_name) values ($1, gen_random_uuid(), 'eve')`, [b.uuid]);
    expect((await refusal(afterChange(ddl, a.token, insert))).code).toBe('42501');
  });

  it('cannot be a wall that stands alone: without a permissive policy no row passes', async () => {
    const ddl = byOwner('drop policy tenant_access on app.users');
    expect(await afterChange(ddl, a.token, () => countOf('select from users'))).toBe(0);
  });

  it('as a partition or inheritance child is out of reach but through its parent', async () => {
    const rows = `select t, gen_random_uuid() from unnest(array['${a.uuid}', '${b.uuid}']::uuid[]) t`;
    const partitioned = `set local role tenon_owner;
      create table app.logs (tenant_id uuid not null default tenon.tenant_id(), id uuid, primary key (tenant_id, id)) partition by hash (tenant_id);
      call tenon.protect('app.logs'); grant select on app.logs to tenon_app;
      create table app.logs_0 partition of app.logs for values with (modulus 1, remainder 0);
      alter table app.logs_0 enable row level security; alter table app.logs_0 force row level security;
      reset role; insert into app.logs (tenant_id, id) ${rows}`;
    expect(await afterChange({ as: 'superuser', sql: partitioned }, a.token, () => countOf('select from logs'))).toBe(
      1,
    );
    const direct = afterChange({ as: 'superuser', sql: partitioned }, a.token, () => countOf('select from logs_0'));
    expect((await refusal(direct)).code).toBe('42501');
    const granted = `${partitioned}; grant select on app.logs_0 to tenon_app`;
    expect(await afterChange({ as: 'superuser', sql: granted }, a.token, () => countOf('select from logs_0'))).toBe(0);
    const child = `set local role tenon_owner; create table app.old_users () inherits (app.users); reset role;
      insert into app.old_users (tenant_id, id, user_name) select *, 'old' from (${rows}) r`;
    expect(await afterChange({ as: 'superuser', sql: child }, a.token, () => countOf('select from users'))).toBe(
      NAMES.length + 1,
    );
    const old = afterChange({ as: 'superuser', sql: child }, a.token, () => countOf('select from old_users'));
    expect((await refusal(old)).code).toBe('42501');
  });
});

describe('the roles of programs', () => {
  it('make nothing that could stand in the place of a table or a function', async () => {
    for (const client of [app, worker]) {
      for (const sql of [
        'create temporary table users (id uuid)',
        'create table pg_temp.users (id uuid)',
        'create temporary view users as select 1',
        'create table app.shadow (id uuid)',
        'create table public.users (id uuid)',
        'create table tenon.users (id uuid)',
        'create schema mine',
        'create view app.people as select * from app.users',
        `create function app.mine() returns int language sql as 'select 1'`,
        `create function pg_temp.mine() returns int language sql as 'select 1'`,
        'create operator app.= (leftarg = uuid, rightarg = uuid, function = uuid_ne)',
        'create policy mine on app.users using (true)',
        'alter table app.users disable row level security',
        'alter table app.users no force row level security',
        'create trigger mine after insert on app.users execute function suppress_redundant_updates_trigger()',
        'create index on app.users (id)',
        'create extension pgcrypto schema app',
      ]) {
        expect((await refusal(client.query(sql))).code, sql).toBe('42501');
      }
    }
  });

  it('become nobody else, neither by SET ROLE nor by SET SESSION AUTHORIZATION', async () => {
    const { rows } = await superuser.query<{ name: string }>(`select quote_ident(rolname) as name from pg_roles`);
    for (const [client, self] of [
      [app, 'tenon_app'],
      [worker, 'tenon_worker'],
    ] as const) {
      for (const { name } of rows.filter((role) => role.name !== self)) {
        // The application may step down, to what may do less.
        const isLess = self === 'tenon_app' && name === 'tenon_support';
        if (!isLess) expect((await refusal(client.query(`set role ${name}`))).code, name).toBe('42501');
        expect((await refusal(client.query(`set session authorization ${name}`))).code, name).toBe('42501');
      }
    }
    expect(rows.length).toBeGreaterThan(10);
  });

  it('read no file and run no program of the server', async () => {
    for (const sql of [
      `select pg_read_file('PG_VERSION')`,
      `select pg_ls_dir('.')`,
      `copy (select 1) to program 'true'`,
      `select lo_import('PG_VERSION')`,
    ]) {
      expect((await refusal(app.query(sql))).code, sql).toBe('42501');
    }
  });

  it('learn from no sequence how much other tenants write', async () => {
    for (const sql of [
      'select last_value from outbox_position_seq',
      `select nextval('outbox_position_seq')`,
      `select pg_sequence_last_value('outbox_position_seq') is null as hidden`,
    ]) {
      const answer = await app.query(sql).then(
        ({ rows }) => rows,
        (error: pg.DatabaseError) => error.code,
      );
      expect([[{ hidden: true }], '42501'], sql).toContainEqual(answer);
    }
  });
});

describe('the worker', () => {
  const say = (tenant: TestTenant) =>
    within(app, tenant.token, () =>
      app.query(
        `insert into outbox (id, outcome, action_version, event) values (gen_random_uuid(), 'success', 1, '{}')`,
      ),
    );
  const tenantsIn = async (client: pg.Client, table: string) =>
    new Set((await client.query<{ id: string }>(`select tenant_id as id from ${table}`)).rows.map(({ id }) => id));

  it('drains the outbox of all tenants without a context, and nothing else', async () => {
    await say(a);
    await say(b);
    expect(await tenantsIn(worker, 'outbox')).toEqual(new Set([a.uuid, b.uuid]));
    for (const table of ['tenants', 'users', 'documents', 'credentials', 'usage_events']) {
      expect(await tenantsIn(worker, table), table).toEqual(new Set());
    }
    expect((await worker.query('delete from outbox')).rowCount).toBe(2);
  });

  it("reads a tenant's rows under her context, changes none of her people and speaks for no other tenant", async () => {
    await within(worker, a.token, async () => expect(await tenantsIn(worker, 'users')).toEqual(new Set([a.uuid])));
    for (const sql of [
      'update users set active = false',
      'update credentials set revoked_at = now()',
      `update domain_proofs set domain = 'mallory.example'`,
      `update identity_connections set secret = 'known'`,
      'update sign_in_attempts set failures = 0',
      `insert into outbox (tenant_id, id, outcome, action_version, event) values ('${b.uuid}', gen_random_uuid(), 'success', 1, '{}')`,
    ]) {
      expect((await refusal(within(worker, a.token, () => worker.query(sql)))).code, sql).toBe('42501');
    }
    const sql = `insert into outbox (tenant_id, id, outcome, action_version, event) values ('${a.uuid}', gen_random_uuid(), 'success', 1, '{}')`;
    expect((await refusal(worker.query(sql))).code).toBe('42501');
  });

  it("sees of the tables that it drains for all tenants one tenant's rows under her context", async () => {
    for (const token of [a.token, b.token]) {
      await within(worker, token, async () => {
        const seen = await tenantsIn(worker, 'outbox');
        expect([...seen].every((tenant) => token.startsWith(tenant))).toBe(true);
        const foreign = token === a.token ? b.uuid : a.uuid;
        expect((await worker.query('delete from outbox where tenant_id = $1', [foreign])).rowCount).toBe(0);
      });
    }
    await withClient(stores.url('eu-1 audit', 'tenon_worker'), async (client) => {
      await client.query('insert into log_heads (tenant_id) select unnest($1::uuid[])', [[a.uuid, b.uuid]]);
      await within(client, a.token, async () =>
        expect(await tenantsIn(client, 'log_heads')).toEqual(new Set([a.uuid])),
      );
      expect(await tenantsIn(client, 'log_heads')).toEqual(new Set([a.uuid, b.uuid]));
      await withClient(stores.url('eu-1 audit'), (cleaner) => cleaner.query('delete from app.log_heads'));
    });
  });

  it('writes the log that the application may only read, each tenant her own', async () => {
    const other = uuidOf('tnt', mintId('tnt'));
    await withClient(stores.url('eu-1 audit', 'tenon_worker'), (client) =>
      client.query('insert into log_heads (tenant_id) select unnest($1::uuid[])', [[a.uuid, b.uuid, other]]),
    );
    const reader = await connectAs(stores, 'tenon_app', 'eu-1 audit');
    await within(reader, a.token, async () => expect(await tenantsIn(reader, 'log_heads')).toEqual(new Set([a.uuid])));
    expect(await tenantsIn(reader, 'log_heads')).toEqual(new Set());
    for (const sql of [
      'insert into log_heads default values',
      'update log_heads set size = 0',
      'delete from log_entries',
      'update evidence_packs set failure = null',
    ]) {
      expect((await refusal(within(reader, a.token, () => reader.query(sql)))).code, sql).toBe('42501');
    }
    await reader.end();
  });
});
