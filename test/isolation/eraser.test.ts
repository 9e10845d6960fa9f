import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { idOf } from '#schema/ids.ts';
import { makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';
import { connectAs, refusal, seedTenant, within, type TestTenant } from './two-tenants.ts';

let stores: TestStores;
let worker: pg.Client;
let app: pg.Client;
let a: TestTenant;
let b: TestTenant;
/** People of the two tenants by whether their key is destroyed. */
let people: { readonly kept: string; readonly erased: string; readonly elsewhere: string };

beforeAll(async () => {
  stores = await makeStores();
  worker = await connectAs(stores, 'tenon_worker');
  app = await connectAs(stores, 'tenon_app');
  a = await seedTenant(stores, 'acme');
  b = await seedTenant(stores, 'bolt');
  people = await withClient(stores.url('eu-1'), async (client) => {
    const of = async (tenant: TestTenant) =>
      (
        await client.query<{ id: string }>('select id from app.users where tenant_id = $1 order by id', [tenant.uuid])
      ).rows.map(({ id }) => id);
    const [kept = '', erased = ''] = await of(a);
    const [elsewhere = ''] = await of(b);
    for (const [tenant, person] of [
      [a, erased],
      [b, elsewhere],
    ] as const) {
      await client.query(
        `insert into app.subject_keys (tenant_id, subject, kid, wrapped, destroyed_at) values ($1, $2, $3, null, now())`,
        [tenant.uuid, person, 'k'.repeat(22)],
      );
    }
    return { kept, erased, elsewhere };
  });
});

afterAll(() => Promise.all([worker, app].map((client) => client.end())));

const FUNCTIONS = ['erase_user', 'erase_usage_events', 'erase_document_shares', 'erase_audit_views'] as const;

describe('what removes an erased person', () => {
  it.each(['delete from users', 'delete from document_shares', `update usage_events set metadata = '{}'`])(
    'is not done by the worker itself: %s',
    async (sql) => {
      expect((await refusal(within(worker, a.token, () => worker.query(sql)))).code).toBe('42501');
    },
  );

  it.each(FUNCTIONS)('is not done by tenon.%s to whose key is not destroyed', async (name) => {
    expect(
      (await refusal(within(worker, a.token, () => worker.query(`select tenon.${name}('${people.kept}')`)))).code,
    ).toBe('42501');
  });

  it.each(FUNCTIONS)('is not done by tenon.%s under no tenant, or under another one', async (name) => {
    for (const [token, person] of [
      [null, people.erased],
      [a.token, people.elsewhere],
    ] as const)
      expect((await refusal(within(worker, token, () => worker.query(`select tenon.${name}('${person}')`)))).code).toBe(
        '42501',
      );
  });

  it.each(FUNCTIONS)('is not done by the application: tenon.%s', async (name) => {
    expect(
      (await refusal(within(app, a.token, () => app.query(`select tenon.${name}('${people.erased}')`)))).code,
    ).toBe('42501');
  });

  it('takes the views that are hers alone, and those of anybody that name her address', async () => {
    const address = 'Ada.Lovelace@acme.example';
    const owners = { ada: idOf('usr', people.erased), eve: idOf('usr', people.kept) };
    const views = [
      { owner: owners.ada, name: 'hers alone', shared: false, text: 'user' },
      { owner: owners.ada, name: 'shared by her', shared: true, text: 'user' },
      { owner: owners.eve, name: 'about her', shared: false, text: 'ada.lovelace@ACME.example share' },
      { owner: owners.eve, name: `of ${address}`, shared: true, text: 'user' },
      { owner: owners.eve, name: 'about another', shared: false, text: 'eve@acme.example' },
    ];
    await withClient(stores.url('eu-1'), async (client) => {
      await client.query('update app.users set user_name = $2 where id = $1', [people.erased, address]);
      for (const { owner, name, shared, text } of views)
        await client.query(
          `insert into app.audit_views (tenant_id, id, owner_id, name, shared, filter)
             values ($1, gen_random_uuid(), $2, $3, $4, jsonb_build_object('text', $5::text))`,
          [a.uuid, owner, name, shared, text],
        );
    });
    await within(worker, a.token, async () => {
      const { rows } = await worker.query<{ gone: string }>('select tenon.erase_audit_views($1) as gone', [
        people.erased,
      ]);
      expect(rows).toEqual([{ gone: '3' }]);
    });
    const { rows } = await withClient(stores.url('eu-1'), (client) =>
      client.query<{ name: string }>('select name from app.audit_views order by name'),
    );
    expect(rows.map(({ name }) => name)).toEqual(['about another', 'shared by her']);
  });

  it('is done to her alone, and tells of it as any other deletion does', async () => {
    await within(worker, a.token, async () => {
      const before = (await worker.query('select from users')).rowCount ?? 0;
      const { rows } = await worker.query<{ gone: string }>('select tenon.erase_user($1) as gone', [people.erased]);
      expect(rows).toEqual([{ gone: '1' }]);
      expect((await worker.query('select from users')).rowCount).toBe(before - 1);
      const revoked = await worker.query(
        'select reason, sequence is not null as told from revocations where subject_id = $1',
        [people.erased],
      );
      expect(revoked.rows).toEqual([{ reason: 'deleted', told: true }]);
    });
  });

  it('knows people by the ids that the platform writes', async () => {
    await withClient(stores.url('eu-1'), async (client) => {
      for (const id of [people.kept, people.erased, '00000000-0000-0000-0000-000000000000', 'f'.repeat(32)]) {
        const { rows } = await client.query<{ id: string; uuid: string }>(
          `select tenon.public_id('usr', $1) as id, $1::uuid::text as uuid`,
          [id],
        );
        expect(rows[0]?.id).toBe(idOf('usr', rows[0]?.uuid ?? ''));
      }
    });
  });

  it('finds a key that nobody can put back or exchange', async () => {
    for (const sql of [
      `update subject_keys set wrapped = decode(repeat('00', 60), 'hex'), destroyed_at = null`,
      `update tenant_keys set wrapped = decode(repeat('00', 60), 'hex')`,
    ]) {
      const table = sql.split(' ', 2)[1];
      await withClient(stores.url('eu-1'), (client) =>
        client.query(
          `insert into app.tenant_keys (tenant_id, data_kid, wrapped) values ($1, 'd1', decode(repeat('11', 60), 'hex'))
             on conflict do nothing`,
          [a.uuid],
        ),
      );
      for (const client of [worker, app])
        expect((await refusal(within(client, a.token, () => client.query(sql)))).code, `${table}`).toBe('42501');
    }
  });
});
