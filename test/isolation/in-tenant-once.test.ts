import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inTenant, inTenantOnce, openDatabases, type Databases } from '#kit/database.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { everything, scopeOf, seedTenant, type TestTenant } from './two-tenants.ts';

let stores: TestStores;
let databases: Databases;
let superuser: pg.Client;
let a: TestTenant;
let b: TestTenant;

beforeAll(async () => {
  stores = await makeStores();
  // One connection: what a transaction leaves on it is there for the next.
  databases = await openDatabases({
    ...stores.settingsFor('tenon_app', 'file:///nowhere'),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: [],
    poolSize: 1,
  });
  superuser = new pg.Client({ connectionString: stores.url('eu-1') });
  await superuser.connect();
  a = await seedTenant(stores, 'acme');
  b = await seedTenant(stores, 'bolt');
});

afterAll(async () => {
  await databases.close();
  await superuser.end();
});

const PROJECT = 'insert into projects (id, name) values (gen_random_uuid(), $1)';
const once = (tenant: TestTenant, text: string, values: readonly unknown[] = []) =>
  inTenantOnce(scopeOf(databases, tenant.id), (tx) => tx.query<{ name: string }>(text, values));
const projects = (name: string) => everything(stores, 'select from app.projects where name = $1', [name]);

describe('a transaction of one statement', () => {
  it('shows the rows of its tenant alone', async () => {
    expect(await once(a, 'select name from projects')).toEqual([{ name: 'acme' }]);
    expect(await once(b, 'select name from projects')).toEqual([{ name: 'bolt' }]);
  });

  it('keeps what it wrote', async () => {
    await once(a, PROJECT, ['kept']);
    expect(await projects('kept')).toHaveLength(1);
  });

  it('refuses a second statement', async () => {
    const twice = inTenantOnce(scopeOf(databases, a.id), async (tx) => {
      await tx.query('select 1');
      await tx.query(PROJECT, ['second']);
    });
    await expect(twice).rejects.toMatchObject({
      code: 'INTERNAL_SERVER_ERROR',
      message: expect.stringContaining('after the end'),
    });
    expect(await projects('second')).toHaveLength(0);
  });

  it('tells the error of the statement, and the connection serves on', async () => {
    await expect(once(a, PROJECT, [''])).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
    expect(await once(b, 'select name from projects')).toEqual([{ name: 'bolt' }]);
  });

  it('of work that swallows the error is an error all the same', async () => {
    const swallowed = inTenantOnce(scopeOf(databases, a.id), (tx) => tx.query(PROJECT, ['']).catch(() => 'fine'));
    await expect(swallowed).rejects.toMatchObject({ code: 'INTERNAL_SERVER_ERROR' });
  });

  it('ends where the work says nothing at all', async () => {
    expect(await inTenantOnce(scopeOf(databases, a.id), () => Promise.resolve('done'))).toBe('done');
    await expect(inTenantOnce(scopeOf(databases, a.id), () => Promise.reject(new Error('none')))).rejects.toMatchObject(
      { message: 'none' },
    );
    expect(await once(a, 'select name from projects where name = $1', ['acme'])).toHaveLength(1);
  });

  it('leaves no setting behind', async () => {
    await once(a, `select set_config('work_mem', '64kB', false)`);
    const { rows } = await superuser.query(`show work_mem`);
    expect(await once(b, 'show work_mem')).toEqual(rows);
  });

  it('takes SERVICE_UNAVAILABLE from a connection that is lost under it, and the next gets another', async () => {
    const lost = once(a, 'select pg_terminate_backend(pg_backend_pid())');
    await expect(lost).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    expect(await once(a, 'select name from projects where name = $1', ['acme'])).toHaveLength(1);
  });
});

describe('the first statement of a transaction', () => {
  it('does nothing where the transaction does not open', async () => {
    const scope = scopeOf(databases, a.id);
    const broken = { ...scope, tenant: { ...scope.tenant, tenant: 'tnt_nobody' } as TenantContext };
    for (const door of [inTenant, inTenantOnce]) {
      await expect(door(broken, (tx) => tx.query(PROJECT, ['lost']))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
    expect(await projects('lost')).toHaveLength(0);
  });
});
