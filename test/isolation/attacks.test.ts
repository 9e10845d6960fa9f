import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ATTACKS, runAttacks, type Place } from '../../compliance/isolation/ground.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { connectAs, seedTenant } from './two-tenants.ts';

/** A hole in the wall of the cell, and the vector whose attack goes through it. */
interface Hole {
  readonly vector: number;
  readonly sql: string;
}

const WALL = 'tenant_id = (select tenon.tenant_id())';
const BELIEVES = (volatility: string) => `create or replace function tenon.tenant_id() returns uuid language sql
  ${volatility} security definer set search_path = pg_catalog, pg_temp
  as $$ select nullif(split_part(current_setting('app.tenant', true), '.', 1), '')::uuid $$`;
const LOOSE_KEY = `alter table app.documents drop constraint documents_tenant_id_project_id_fkey;
  alter table app.projects add unique (id);
  alter table app.documents add foreign key (project_id) references app.projects (id) on delete cascade`;

const HOLES: readonly Hole[] = [
  { vector: 1, sql: 'alter table app.users disable row level security' },
  {
    vector: 1,
    sql: 'alter table app.projects no force row level security; alter table app.projects owner to tenon_app',
  },
  { vector: 2, sql: 'grant tenon_owner to tenon_app' },
  { vector: 2, sql: 'alter role tenon_app bypassrls' },
  { vector: 3, sql: 'create view app.seen as select * from app.users; grant select on app.seen to tenon_app' },
  {
    vector: 3,
    sql: 'create view app.seen with (security_barrier) as select id from app.users; grant select (id) on app.seen to tenon_app',
  },
  // Vector 4: a materialized view; vector 14: a child that is reached by its own name.
  {
    vector: 3,
    sql: 'create materialized view app.seen as select * from app.users; grant select on app.seen to tenon_app',
  },
  {
    vector: 3,
    sql: `create table app.seen () inherits (app.users); grant select on app.seen to tenon_app;
      insert into app.seen (tenant_id, id, user_name) select tenant_id, gen_random_uuid(), 'child' from app.users`,
  },
  {
    vector: 5,
    sql: `create function app.seen() returns bigint language sql security definer as 'select count(*) from app.users'`,
  },
  { vector: 6, sql: 'alter role tenon_app bypassrls' },
  { vector: 7, sql: `alter policy tenant_isolation on app.projects with check (true)` },
  { vector: 8, sql: 'create unique index on app.projects (id)' },
  { vector: 9, sql: 'alter policy tenant_isolation on app.projects with check (true)' },
  { vector: 10, sql: LOOSE_KEY },
  { vector: 11, sql: LOOSE_KEY },
  { vector: 12, sql: 'grant truncate on app.users to tenon_app' },
  { vector: 12, sql: 'grant references on app.users to public' },
  { vector: 13, sql: 'drop policy tenant_isolation on app.projects' },
  { vector: 15, sql: 'drop policy tenant_isolation on app.projects; create policy open on app.projects using (true)' },
  { vector: 17, sql: BELIEVES('stable').replace('nullif(', '(').replace(`, '')::uuid`, ')::uuid') },
  { vector: 18, sql: `alter policy tenant_isolation on app.users using (tenon.tenant_id() is null or ${WALL})` },
  { vector: 20, sql: BELIEVES('stable') },
  {
    vector: 21,
    sql: `do $$ begin execute format('grant temporary on database %I to public', current_database()); end $$`,
  },
  { vector: 21, sql: 'grant create on schema app to tenon_app' },
  { vector: 22, sql: 'drop policy tenant_isolation on app.projects' },
  { vector: 23, sql: 'grant select on app.outbox_position_seq to tenon_app' },
  { vector: 23, sql: 'grant select on pg_catalog.pg_largeobject to public' },
  { vector: 24, sql: BELIEVES('immutable') },
];

let stores: TestStores;
let superuser: pg.Client;

beforeAll(async () => {
  stores = await makeStores();
  superuser = new pg.Client({ connectionString: stores.url('eu-1') });
  await superuser.connect();
  await seedTenant(stores, 'acme');
});

afterAll(() => superuser.end());

const at = (kind: Place['kind'], role: Place['role']) => ({
  kind,
  cell: 'eu-1',
  role,
  keys: CONTEXT_KEYS,
  now: new Date(),
});

describe.each([
  ['eu-1', 'cell', 'tenon_app'],
  ['eu-1', 'cell', 'tenon_worker'],
  ['eu-1', 'cell', 'tenon_support'],
  ['eu-1 audit', 'audit', 'tenon_app'],
  ['eu-1 audit', 'audit', 'tenon_worker'],
  ['eu-1 audit', 'audit', 'tenon_support'],
] as const)('in %s (%s), as %s', (store, kind, role) => {
  it.each(ATTACKS)('vector $vector: $sentence', async (attack) => {
    const client = await connectAs(stores, role === 'tenon_support' ? 'tenon_app' : role, store);
    await client.query(`begin; set local role ${role}`);
    const [result] = await runAttacks(client, { ...at(kind, role), attacks: [attack] });
    await client.query('rollback');
    await client.end();
    expect(result).toEqual({ vector: attack.vector, sentence: attack.sentence, fault: null, verdict: 'pass' });
  });
});

describe('an attack', () => {
  it.each(HOLES)('by vector $vector goes through, and is told: $sql', async ({ vector, sql }) => {
    const attacks = ATTACKS.filter((attack) => attack.vector === vector);
    await superuser.query('begin');
    try {
      await superuser.query(sql);
      await superuser.query('set local role tenon_app');
      const [result] = await runAttacks(superuser, { ...at('cell', 'tenon_app'), attacks });
      expect(result).toMatchObject({ vector, verdict: 'fail', fault: expect.stringMatching(/\w/) });
    } finally {
      await superuser.query('rollback');
    }
  });

  it('has a hole that it goes through, each of them', () => {
    expect(new Set(HOLES.map(({ vector }) => vector))).toEqual(new Set(ATTACKS.map(({ vector }) => vector)));
  });

  it('that cannot be made is no proof of anything', async () => {
    const client = await connectAs(stores, 'tenon_app');
    await client.query('begin');
    const attacks = [{ vector: 0, sentence: 'x', run: () => Promise.reject(new RangeError('away')) }];
    const [result] = await runAttacks(client, { ...at('cell', 'tenon_app'), attacks });
    await client.query('rollback');
    await client.end();
    expect(result).toMatchObject({ verdict: 'cannot say', fault: 'RangeError: away' });
  });
});
