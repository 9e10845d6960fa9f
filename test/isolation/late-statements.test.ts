import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inTenant, inTenantOnce, openDatabases, type Databases } from '#kit/database.ts';
import { fail } from '#schema/errors.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { everything, scopeOf, seedTenant, type TestTenant } from './two-tenants.ts';

let stores: TestStores;
let databases: Databases;
let a: TestTenant;

beforeAll(async () => {
  stores = await makeStores();
  const settings = stores.settingsFor('tenon_app', 'file:///nowhere');
  databases = await openDatabases({ ...settings, keys: CONTEXT_KEYS, dataKeys: DATA_KEYS, entities: [], poolSize: 1 });
  a = await seedTenant(stores, 'acme');
});

afterAll(async () => databases.close());

const PROJECT = 'insert into projects (id, name) values (gen_random_uuid(), $1)';
const COUNT = 'select count(*)::int as count from projects where name = $1';
const projects = async (name: string) =>
  (await everything(stores, 'select from app.projects where name = $1', [name])).length;
const scope = () => scopeOf(databases, a.id);

describe('a statement that is said for later', () => {
  it('is carried out with the commit where no other follows', async () => {
    await inTenant(scope(), async (tx) => {
      tx.later(PROJECT, () => ['alone']);
      tx.later(PROJECT, async () => ['alone']);
    });
    expect(await projects('alone')).toBe(2);
  });

  it('has its values worked out once the next one has left, and is carried out behind it', async () => {
    const order: string[] = [];
    const counts = await inTenant(scope(), async (tx) => {
      tx.later(PROJECT, () => (order.push('values'), ['behind']));
      await tx.query('select 1').then(() => order.push('answer'));
      tx.later(PROJECT, () => ['behind']);
      const [first] = await tx.query<{ count: number }>(COUNT, ['behind']);
      const [second] = await tx.query<{ count: number }>(COUNT, ['behind']);
      return [first?.count, second?.count];
    });
    expect(order).toEqual(['values', 'answer']);
    expect(counts).toEqual([1, 2]);
  });

  it('ends the transaction where its values cannot be had', async () => {
    for (const next of ['a statement', 'the commit']) {
      const work = inTenant(scope(), async (tx) => {
        await tx.query(PROJECT, ['refused']);
        tx.later(PROJECT, () => fail('AUDIT_EVENT_REFUSED', 'on purpose'));
        if (next === 'a statement') await tx.query('select 1');
      });
      await expect(work).rejects.toMatchObject({ code: 'AUDIT_EVENT_REFUSED' });
    }
    expect(await projects('refused')).toBe(0);
  });

  it('ends the transaction where PostgreSQL refuses it', async () => {
    const work = inTenant(scope(), async (tx) => {
      await tx.query(PROJECT, ['turned down']);
      tx.later(PROJECT, () => ['']);
    });
    await expect(work).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
    expect(await projects('turned down')).toBe(0);
  });

  it('is undone with the savepoint that it was said in, and kept with the one that is released', async () => {
    await inTenant(scope(), async (tx) => {
      await tx.query('savepoint undone');
      tx.later(PROJECT, () => ['in the savepoint']);
      await tx.query('rollback to savepoint undone');
      await tx.manager.transaction(async (inner) => {
        tx.later(PROJECT, () => ['in the other']);
        await inner.query('select 1');
      });
    });
    expect(await projects('in the savepoint')).toBe(0);
    expect(await projects('in the other')).toBe(1);
  });

  it('is refused behind the end of its transaction, and in one of a single statement', async () => {
    const kept = await inTenant(scope(), async (tx) => tx);
    expect(() => kept.later(PROJECT, () => ['stray'])).toThrow('after the end of its transaction');
    await expect(inTenantOnce(scope(), async (tx) => tx.later(PROJECT, () => ['stray']))).rejects.toMatchObject({
      code: 'INTERNAL_SERVER_ERROR',
    });
    expect(await projects('stray')).toBe(0);
  });
});
