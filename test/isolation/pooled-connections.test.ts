import type { EntityManager } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inTenant, inTenantAudit, openDatabases, type Databases, type TenantTransaction } from '#kit/database.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { everything, scopeOf, seedTenant, type TestTenant } from './two-tenants.ts';

let stores: TestStores;
let a: TestTenant;
let b: TestTenant;
const opened: Databases[] = [];

beforeAll(async () => {
  stores = await makeStores();
  a = await seedTenant(stores, 'acme');
  b = await seedTenant(stores, 'bolt');
});

afterAll(async () => {
  for (const databases of opened) await databases.close();
});

/** The stores as the application has them, with so few connections that tenants have to share them. */
async function pooled(poolSize: number): Promise<Databases> {
  const settings = stores.settingsFor('tenon_app', 'file:///nowhere');
  const databases = await openDatabases({
    ...settings,
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: [],
    poolSize,
  });
  opened.push(databases);
  return databases;
}

const SEEN = 'select distinct tenant_id as id from users';
const seenIn = async (tx: TenantTransaction) => (await tx.query<{ id: string }>(SEEN)).map(({ id }) => id);
const leftBehind = (databases: Databases) => databases.tenantSource('eu-1').query<{ id: string }[]>(SEEN);

describe('a connection that a tenant used', () => {
  it('shows the next borrower without a context nothing, after a commit and after a rollback', async () => {
    const databases = await pooled(1);
    expect(await inTenant(scopeOf(databases, a.id), seenIn)).toEqual([a.uuid]);
    expect(await leftBehind(databases)).toEqual([]);
    const failing = inTenant(scopeOf(databases, a.id), async (tx) => {
      await seenIn(tx);
      throw new RangeError('on purpose');
    });
    await expect(failing).rejects.toThrow('on purpose');
    expect(await leftBehind(databases)).toEqual([]);
    const insert = databases
      .tenantSource('eu-1')
      .query(`insert into users (id, user_name) values (gen_random_uuid(), 'eve')`);
    await expect(insert).rejects.toThrow(/row-level security/);
  });

  it('serves 200 interleaved transactions of two tenants over two connections, each its own rows alone', async () => {
    const databases = await pooled(2);
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const tenant = index % 3 === 0 ? a : b;
        const seen = await inTenant(scopeOf(databases, tenant.id), async (tx) => {
          await tx.query(`insert into projects (id, name) values (gen_random_uuid(), $1)`, [`${index}`]);
          return [...(await seenIn(tx)), ...(await tx.manager.query<{ id: string }[]>(SEEN)).map(({ id }) => id)];
        });
        return seen.every((id) => id === tenant.uuid) && seen.length === 2;
      }),
    );
    expect(answers).toEqual(Array.from({ length: 200 }, () => true));
    const written = await everything(
      stores,
      `select tenant_id as tenant, count(*)::int as count, bool_and((name::int % 3 = 0) = (tenant_id = $1)) as own
         from app.projects where name ~ '^[0-9]+$' group by 1 order by 2`,
      [a.uuid],
    );
    expect(written).toEqual([
      { tenant: a.uuid, count: 67, own: true },
      { tenant: b.uuid, count: 133, own: true },
    ]);
    expect(await leftBehind(databases)).toEqual([]);
  });

  it('gives the next tenant her own context and plain settings, whatever the last one set for the session', async () => {
    const databases = await pooled(1);
    await inTenant(scopeOf(databases, a.id), async (tx) => {
      const forSession = { 'app.tenant': a.token, search_path: 'nowhere', default_transaction_read_only: 'on' };
      for (const setting of Object.entries(forSession)) {
        await tx.query('select pg_catalog.set_config($1, $2, false)', setting);
      }
    });
    expect(await leftBehind(databases)).toEqual([]);
    await inTenant(scopeOf(databases, b.id), async (tx) => {
      expect(await seenIn(tx)).toEqual([b.uuid]);
      await tx.query(`insert into projects (id, name) values (gen_random_uuid(), 'after')`);
    });
  });

  it('keeps no named statement, which the last tenant could replace by one that sets her own context', async () => {
    const databases = await pooled(1);
    const named = (tx: TenantTransaction) => tx.query<{ name: string }>('select name from pg_prepared_statements');
    await inTenant(scopeOf(databases, a.id), async (tx) => {
      await tx.query('select $1::int', [1]);
      await tx.manager.query('select $1::int', [1]);
    });
    expect(await inTenant(scopeOf(databases, b.id), named)).toEqual([]);
  });
});

describe('a statement', () => {
  it('is one statement: an injected second one is refused, also without any parameter', async () => {
    const databases = await pooled(1);
    const injected = `select 1; select set_config('app.tenant', '', true)`;
    for (const say of [
      (tx: TenantTransaction) => tx.query(injected),
      (tx: TenantTransaction) => tx.manager.query(injected),
    ]) {
      await expect(inTenant(scopeOf(databases, a.id), say)).rejects.toThrow(/multiple commands/);
    }
    await expect(inTenantAudit(scopeOf(databases, a.id), (tx) => tx.query(injected))).rejects.toThrow(
      /multiple commands/,
    );
  });
});

describe('a transaction that is kept beyond its end', () => {
  /** Holds the one connection for another tenant while `work` runs. */
  async function whileOther(databases: Databases, work: () => Promise<unknown>): Promise<unknown> {
    return inTenant(scopeOf(databases, b.id), async (tx) => {
      expect(await seenIn(tx)).toEqual([b.uuid]);
      return work();
    });
  }

  it('says nothing in the transaction of the next tenant', async () => {
    const databases = await pooled(1);
    const kept = await inTenant(scopeOf(databases, a.id), async (tx) => tx);
    const insert = `insert into projects (id, name) values (gen_random_uuid(), 'stray')`;
    await whileOther(databases, async () => {
      await expect(kept.query(insert)).rejects.toThrow('after the end');
      await expect(kept.manager.query(insert)).rejects.toThrow();
    });
    expect(await everything(stores, `select from app.projects where name = 'stray'`)).toEqual([]);
  });

  it('keeps its connection when a nested one of the ORM ends', async () => {
    const databases = await pooled(1);
    await inTenant(scopeOf(databases, a.id), async (tx) => {
      await tx.query(`insert into projects (id, name) values (gen_random_uuid(), 'outer')`);
      const nested = tx.manager.transaction(async (manager: EntityManager) => {
        await manager.query(`insert into projects (id, name) values (gen_random_uuid(), 'inner')`);
        throw new RangeError('inner alone');
      });
      await expect(nested).rejects.toThrow('inner alone');
      expect(await seenIn(tx)).toEqual([a.uuid]);
    });
    const kept = await everything(stores, `select name from app.projects where name in ('outer', 'inner')`);
    expect(kept).toEqual([{ name: 'outer' }]);
  });

  it('ends for all its branches when one of them fails', async () => {
    const databases = await pooled(1);
    let branch: Promise<unknown> = Promise.resolve();
    const failing = inTenant(scopeOf(databases, a.id), async (tx) => {
      const slow = tx.query('select pg_sleep(0.05)');
      branch = slow.then(() => tx.query(`insert into projects (id, name) values (gen_random_uuid(), 'branch')`));
      branch.catch(() => undefined);
      throw new RangeError('the other branch');
    });
    const next = inTenant(scopeOf(databases, b.id), async (tx) => {
      const before = await seenIn(tx);
      await Promise.allSettled([branch]);
      return before;
    });
    await expect(failing).rejects.toThrow('the other branch');
    expect(await next).toEqual([b.uuid]);
    await expect(branch).rejects.toThrow('after the end');
    expect(await everything(stores, `select from app.projects where name = 'branch'`)).toEqual([]);
  });
});
