import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeStores, type TestStores } from '../support/databases.ts';
import { connectAs, everything, NAMES, refusal, seedTenant, within, type TestTenant } from './two-tenants.ts';

let stores: TestStores;
let app: pg.Client;
let a: TestTenant;
let b: TestTenant;

beforeAll(async () => {
  stores = await makeStores();
  app = await connectAs(stores, 'tenon_app');
});

beforeEach(async () => {
  a = await seedTenant(stores, `a${randomUUID()}`);
  b = await seedTenant(stores, `b${randomUUID()}`);
});

afterAll(() => app.end());

const asA = <T>(work: () => Promise<T>) => within(app, a.token, work);
const usersOf = (tenant: TestTenant) =>
  everything(stores, 'select * from app.users where tenant_id = $1 order by user_name', [tenant.uuid]);
const only = async (tenant: TestTenant, table: string) =>
  (await everything<{ id: string }>(stores, `select id from app.${table} where tenant_id = $1`, [tenant.uuid]))[0]?.id;

describe('reading', () => {
  it('shows a tenant her own rows, also where she asks for another tenant by name', async () => {
    await asA(async () => {
      expect(
        (await app.query('select user_name from users order by 1')).rows.map(({ user_name }) => user_name),
      ).toEqual(NAMES);
      expect((await app.query('select from users where tenant_id = $1', [b.uuid])).rowCount).toBe(0);
      expect((await app.query('select distinct tenant_id as id from users')).rows).toEqual([{ id: a.uuid }]);
      expect((await app.query('select id from tenants')).rows).toEqual([{ id: a.uuid }]);
    });
  });

  it('joins, counts and locks her own rows alone', async () => {
    await asA(async () => {
      const sql = 'select count(*)::int as count from users left join tenants on true full join projects on true';
      expect((await app.query(sql)).rows).toEqual([{ count: NAMES.length }]);
      expect((await app.query('select from users for update')).rowCount).toBe(NAMES.length);
    });
  });

  it('with row_security off fails instead of showing everything', async () => {
    const { code } = await refusal(asA(() => app.query('set local row_security = off; select * from users')));
    expect(code).toBe('42501');
  });

  it('never evaluates a condition on a hidden row, where an error would tell its value', async () => {
    await asA(async () => {
      await app.query('delete from users');
      // With one row of any tenant within reach, each of these would be an error that quotes it.
      expect((await app.query('select from users where user_name::int = 1')).rowCount).toBe(0);
      expect((await app.query('select from users where 1 / (length(user_name) - 3) > 0')).rowCount).toBe(0);
      expect((await app.query('update users set version = 1 where email::inet is not null')).rowCount).toBe(0);
    });
    expect(await usersOf(b)).toHaveLength(NAMES.length);
  });

  it('leaves the statistics of a table to nobody', async () => {
    await everything(stores, 'analyze app.users');
    expect(
      await everything(stores, `select from pg_stats where schemaname = 'app' and tablename = 'users' limit 1`),
    ).toHaveLength(1);
    await asA(async () => {
      expect((await app.query(`select from pg_stats where schemaname = 'app'`)).rowCount).toBe(0);
      expect((await refusal(app.query('select from pg_statistic'))).code).toBe('42501');
    });
  });
});

describe('writing', () => {
  it('into another tenant is refused, whether by insert or by update', async () => {
    const insert = (tenant: string) =>
      asA(() =>
        app.query('insert into users (tenant_id, id, user_name) values ($1, gen_random_uuid(), $2)', [tenant, 'eve']),
      );
    expect((await refusal(insert(b.uuid))).code).toBe('42501');
    expect((await refusal(asA(() => app.query('update users set tenant_id = $1', [b.uuid])))).code).toBe('42501');
    expect(await usersOf(b)).toHaveLength(NAMES.length);
    await insert(a.uuid);
    expect(await usersOf(a)).toHaveLength(NAMES.length + 1);
  });

  it('leaves the rows of another tenant as they are, also without any condition', async () => {
    const before = await usersOf(b);
    await asA(async () => {
      expect((await app.query(`update users set display_name = 'gone'`)).rowCount).toBe(NAMES.length);
      expect((await app.query('update users set active = false where tenant_id = $1', [b.uuid])).rowCount).toBe(0);
      expect((await app.query('delete from users where tenant_id = $1', [b.uuid])).rowCount).toBe(0);
      expect((await app.query('delete from users')).rowCount).toBe(NAMES.length);
    });
    expect(await usersOf(b)).toEqual(before);
    expect(await usersOf(a)).toEqual([]);
  });

  it('by MERGE changes her own rows alone', async () => {
    const before = await usersOf(b);
    await asA(async () => {
      const { rowCount } = await app.query(
        `merge into users u using (values ('ada'), ('bob')) v (name) on u.user_name = v.name when matched then update set active = false`,
      );
      expect(rowCount).toBe(NAMES.length);
    });
    expect(await usersOf(b)).toEqual(before);
  });

  it('of an append-only table is for inserting alone', async () => {
    for (const sql of [
      'update usage_events set value = 0',
      'delete from usage_events',
      'select from outbox',
      'delete from outbox',
    ]) {
      expect((await refusal(asA(() => app.query(sql)))).code).toBe('42501');
    }
  });

  it('by TRUNCATE, which row security does not see, is refused', async () => {
    for (const table of ['users', 'projects', 'outbox', 'tenants']) {
      expect((await refusal(asA(() => app.query(`truncate ${table} cascade`)))).code).toBe('42501');
    }
  });

  it('and reading in bulk: COPY TO gives her own rows, COPY FROM is refused', async () => {
    await asA(async () => {
      expect((await app.query('copy users to stdout')).rowCount).toBe(NAMES.length);
      expect((await app.query('copy (select * from users) to stdout')).rowCount).toBe(NAMES.length);
    });
    expect((await refusal(asA(() => app.query('copy users from stdin')))).code).toBe('0A000');
    expect((await refusal(asA(() => app.query(`copy users to '/tmp/users'`)))).code).toBe('42501');
    expect((await refusal(asA(() => app.query(`copy users to program 'cat'`)))).code).toBe('42501');
  });
});

describe('unique values', () => {
  const insert = (columns: string, values: unknown[], conflict = '') =>
    app.query(
      `insert into users (${columns}) values (${values.map((_, index) => `$${index + 1}`).join()}) ${conflict}`,
      values,
    );

  it('of two tenants never collide: the same user name and even the same id are taken in both', async () => {
    const id = await only(b, 'users');
    await asA(() => insert('id, user_name', [id, 'carol']));
    await within(app, b.token, () => insert('id, user_name', [randomUUID(), 'carol']));
    expect((await everything(stores, 'select from app.users where id = $1', [id])).length).toBe(2);
  });

  it('collide within a tenant in an error that names no value', async () => {
    const { code, text } = await refusal(asA(() => insert('id, user_name', [randomUUID(), 'ADA'])));
    expect(code).toBe('23505');
    expect(text).not.toMatch(/ada/i);
  });

  it.each(['', 'on conflict do nothing', 'on conflict (tenant_id, id) do update set active = false'])(
    'tell nothing of another tenant: a forced insert ends alike whether the row exists or not (%s)',
    async (conflict) => {
      const existing = await only(b, 'users');
      const [hit, miss] = [
        await refusal(asA(() => insert('tenant_id, id, user_name', [b.uuid, existing, 'ada'], conflict))),
        await refusal(asA(() => insert('tenant_id, id, user_name', [b.uuid, randomUUID(), 'zoe'], conflict))),
      ];
      expect(hit.code).toBe('42501');
      expect(hit).toEqual(miss);
      expect(await usersOf(b)).toHaveLength(NAMES.length);
    },
  );

  it('lead ON CONFLICT DO UPDATE to her own row, never to the one with the same id elsewhere', async () => {
    const id = await only(b, 'users');
    const before = await usersOf(b);
    const upsert = (name: string) =>
      asA(() =>
        insert(
          'id, user_name',
          [id, name],
          'on conflict (tenant_id, id) do update set user_name = excluded.user_name returning xmax = 0 as fresh',
        ),
      );
    expect((await upsert('dora')).rows).toEqual([{ fresh: true }]);
    expect((await upsert('dana')).rows).toEqual([{ fresh: false }]);
    expect(await usersOf(b)).toEqual(before);
  });

  it('answer ON CONFLICT DO UPDATE over every key with her own rows alone', async () => {
    await asA(async () => {
      const { rows } = await app.query(
        `insert into users (id, user_name) select id, user_name || '2' from users
         on conflict (tenant_id, id) do update set display_name = users.email returning tenant_id as tenant, display_name as email`,
      );
      expect(rows).toHaveLength(NAMES.length);
      expect(new Set(rows.map(({ tenant }) => tenant))).toEqual(new Set([a.uuid]));
      expect(rows.every(({ email }) => /@a/.test(email))).toBe(true);
    });
  });
});

describe('references', () => {
  it('to a row of another tenant are refused with the words for a row that does not exist', async () => {
    const project = await only(b, 'projects');
    const insert = (id: string | undefined) =>
      asA(() => app.query(`insert into documents (id, project_id, name) values (gen_random_uuid(), $1, 'x')`, [id]));
    const [hit, miss] = [await refusal(insert(project)), await refusal(insert(randomUUID()))];
    expect(hit.code).toBe('23503');
    expect(hit.text.replaceAll(/[0-9a-f-]{36}/g, 'id')).toBe(miss.text.replaceAll(/[0-9a-f-]{36}/g, 'id'));
  });

  it('cannot be given another tenant by hand', async () => {
    const project = await only(b, 'projects');
    const insert = asA(() =>
      app.query(`insert into documents (tenant_id, id, project_id, name) values ($1, gen_random_uuid(), $2, 'x')`, [
        b.uuid,
        project,
      ]),
    );
    expect((await refusal(insert)).code).toBe('42501');
    const update = asA(() => app.query('update documents set project_id = $1', [project]));
    expect((await refusal(update)).code).toBe('23503');
  });

  it('cascade within the tenant alone, also where both tenants use the same ids', async () => {
    const [project, document] = [await only(b, 'projects'), await only(b, 'documents')];
    await asA(async () => {
      await app.query(`insert into projects (id, name) values ($1, 'twin')`, [project]);
      await app.query(`insert into documents (id, project_id, name) values ($1, $2, 'twin')`, [document, project]);
      await app.query('delete from projects');
      expect((await app.query('select from documents')).rowCount).toBe(0);
    });
    expect(await everything(stores, 'select id from app.documents where tenant_id = $1', [b.uuid])).toEqual([
      { id: document },
    ]);
  });
});
