import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { inTenant, openDatabases, type Databases } from '#kit/database.ts';
import { listStores, migrateStore, planStores, type StoreMaker } from '#kit/store-setup.ts';
import { storeVersion } from '#kit/store-admission.ts';
import { migrateStores, storeName } from '#kit/store-waves.ts';
import type { Platform } from '#kit/request-context.ts';
import { readConfig } from '#schema/config.ts';
import { asTenonError } from '#schema/errors.ts';
import { mintId } from '#schema/ids.ts';
import { inStore, storeUrl } from '#schema/tenant-store.ts';
import { subgraphs } from '#subgraphs';
import { provisionTenant } from '../../subgraphs/tenants/provisioning.ts';
import { systemOrigin } from '../../subgraphs/tenants/operator.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { CONTEXT_KEY_FILE, CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';

let stores: TestStores;
let platform: Platform;
let maker: StoreMaker;
const opened: Databases[] = [];

beforeAll(async () => {
  stores = await makeStores();
  const { directoryUrl, cells } = stores.settingsFor('tenon_owner', 'file:///nowhere');
  maker = { directoryUrl, cells, adminUrl: stores.url('directory'), keys: CONTEXT_KEYS };
  platform = {
    config: readConfig({}),
    databases: await open(),
    clock: () => new Date(),
    publicUrl: 'http://tenon.test',
  };
});
afterAll(async () => {
  for (const databases of opened) await databases.close();
  for (const { cell, name } of await listStores(maker)) {
    const database = new URL(storeUrl(stores.url(cell as 'eu-1'), name)).pathname.slice(1);
    await withClient(stores.url('directory'), (client) =>
      client.query(`drop database if exists ${client.escapeIdentifier(database)} with (force)`),
    );
  }
});

/** Every process has its own; `perCell` connections are what it may have to stores of a cell. */
async function open(perCell = 12): Promise<Databases> {
  const databases = await openDatabases({
    ...stores.settingsFor('tenon_app', 'file:///nowhere'),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: subgraphs.flatMap(({ entities }) => entities),
    poolSize: 4,
    storeBudget: { perSilo: 2, perBridge: 2, perCell, waitMs: 100 },
  });
  opened.push(databases);
  return databases;
}

const make = (slug: string, change: object = {}) => {
  const person = { adminEmail: `ada@${slug}.example`, adminName: 'Ada' };
  const input = { slug, name: slug, tier: 'ENTERPRISE_PLUS', region: 'eu', placement: 'silo', ...person } as const;
  return provisionTenant(platform, { ...input, ...change }, systemOrigin('test', mintId('req')));
};
const closeOthers = async (kept: Databases) => {
  for (const databases of opened) if (databases !== kept) await databases.stores.close();
};
const connectionsTo = async (store: string) => {
  const database = new URL(storeUrl(stores.url('eu-1'), store)).pathname.slice(1);
  const { rows } = await withClient(stores.url('directory'), (client) =>
    client.query<{ count: number }>('select count(*)::int as count from pg_stat_activity where datname = $1', [
      database,
    ]),
  );
  return rows[0]?.count;
};

describe('a tenant who shall live in a silo', () => {
  it('is refused where none stands ready, and her name stays free', async () => {
    await expect(make('early')).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      hint: expect.stringContaining('tenon store add') as string,
    });
    expect((await make('early', { placement: 'pool' })).context.store).toBe('pool');
  });

  it('gets one that nobody else has, also where two come at once, and none that is not as new as the program', async () => {
    const silos = [await stores.addSilo('eu-1'), await stores.addSilo('eu-1'), await stores.addSilo('eu-1')];
    await withClient(stores.url('directory'), (client) =>
      client.query('update app.stores set version = version - 1 where name = $1', [silos[2]]),
    );
    const made = await Promise.all([make('ada'), make('bob')]);
    expect(new Set(made.map(({ context }) => context.store))).toEqual(new Set(silos.slice(0, 2)));
    await expect(make('late')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  });

  it('is the same for whoever asks again for what broke off, but not with another placement', async () => {
    const silo = await stores.addSilo('eu-1');
    const isDying = { ...platform, databases: { ...platform.databases, tenantSource: () => fault('died') } };
    const asked = (into: Platform, placement: 'pool' | 'silo') =>
      provisionTenant(
        into,
        {
          slug: 'torn',
          name: 'Torn',
          tier: 'GROWTH',
          region: 'eu',
          placement,
          adminEmail: 'a@b.example',
          adminName: 'A',
        },
        systemOrigin('test', mintId('req')),
      );
    await expect(asked(isDying, 'silo')).rejects.toThrow('died');
    await expect(asked(platform, 'pool')).rejects.toMatchObject({ code: 'UNIQUENESS' });
    expect((await asked(platform, 'silo')).context.store).toBe(silo);
  });
});

function fault(message: string): never {
  throw new Error(message);
}

describe('the connections of a process to silos', () => {
  it('stay within the budget of the cell: who was served longest ago is closed for who comes', async () => {
    const databases = await open(4);
    const contexts = [];
    for (const slug of ['one', 'two', 'three']) {
      await stores.addSilo('eu-1');
      contexts.push((await make(slug)).context);
    }
    const [one, two, three] = contexts;
    for (const tenant of [one, two, one, three]) {
      if (tenant === undefined) throw new Error('three were made');
      const rows = await inTenant({ tenant, databases }, (tx) =>
        tx.query<{ slug: string }>('select slug from tenants'),
      );
      expect(rows).toHaveLength(1);
      expect(databases.stores.reserved('eu-1')).toBeLessThanOrEqual(4);
    }
    await closeOthers(databases);
    const left = await Promise.all([one, two, three].map((tenant) => connectionsTo(tenant?.store ?? '')));
    expect(left).toEqual([1, 0, 1]);
  });

  it('are waited for while all are in use, and refused after a while', async () => {
    const databases = await open(2);
    const [one, two] = [await stores.addSilo('eu-1'), await stores.addSilo('eu-1')];
    const held = await databases.stores.lend({ cell: 'eu-1', store: one });
    await expect(databases.stores.lend({ cell: 'eu-1', store: two })).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
    });
    const waiting = databases.stores.lend({ cell: 'eu-1', store: two });
    held.giveBack();
    (await waiting).giveBack();
    expect(databases.stores.reserved('eu-1')).toBe(2);
  });

  it("go on to a bridge's database when a tenant's schemas are gone, by whom it was opened", async () => {
    const names = await stores.addBridges('eu-1', 2);
    const [first = '', second = ''] = names;
    const databases = await open(2);
    const ask = async (store: string) => {
      const { pool, giveBack } = await databases.stores.lend({ cell: 'eu-1', store });
      const { rows } = await pool.query<{ one: number }>('select 1 as one').finally(giveBack);
      return rows;
    };
    expect(await ask(first)).toEqual([{ one: 1 }]);
    const url = storeUrl(stores.url('eu-1'), first);
    for (const schema of ['app', 'tenon', 'graphile_worker'])
      await withClient(url, (client) => client.query(inStore(`drop schema ${schema} cascade`, first)));
    await withClient(url, (client) =>
      client.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      ),
    );
    await expect.poll(() => ask(second).catch(() => 'lost'), { timeout: 5_000 }).toEqual([{ one: 1 }]);
  });

  it('are not made to a store that is behind the program, until it has been migrated', async () => {
    const silo = await stores.addSilo('us-1');
    const setVersion = (version: number) =>
      withClient(stores.url('directory'), (client) =>
        client.query('update app.stores set version = $2 where name = $1', [silo, version]),
      );
    const databases = await open();
    await setVersion((await storeVersion()) - 1);
    await expect(databases.stores.lend({ cell: 'us-1', store: silo })).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
    });
    await setVersion(await storeVersion());
    (await databases.stores.lend({ cell: 'us-1', store: silo })).giveBack();
  });
});

/** By hand over a thousand: TENON_STORES=1000. */
const STORES = Number(process.env['TENON_STORES'] ?? 8);

describe('a run over the stores', { timeout: 120_000 + STORES * 2_000 }, () => {
  const plan = { canaries: [], atOnce: 2, mostFaults: 1, onProgress: () => undefined };
  const behind = async () => {
    const newest = await storeVersion();
    return (await listStores(maker)).filter(({ version }) => version < newest);
  };

  it(`that is killed in the middle is taken up by the next, which makes only what is missing (${STORES} stores)`, async () => {
    for (const row of await behind()) await migrateStore(maker, row);
    const planned = await planStores(maker, { cell: 'eu-1', placement: 'bridge', count: STORES });
    const { directoryUrl, cells, adminUrl } = maker;
    const program = fileURLToPath(new URL('./migrating-process.ts', import.meta.url));
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', program, JSON.stringify({ directoryUrl, cells, adminUrl, keyFile: CONTEXT_KEY_FILE })],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    onTestFinished(() => void child.kill('SIGKILL'));
    let migrated = 0;
    for await (const _ of createInterface({ input: child.stdout })) if ((migrated += 1) > STORES / 4) break;
    child.kill('SIGKILL');
    await once(child, 'exit');
    const left = await behind();
    expect(left.length).toBeGreaterThan(0);
    expect(left.length).toBeLessThan(planned.length);
    const seen: string[] = [];
    const report = await migrateStores(maker, await listStores(maker), {
      ...plan,
      onProgress: ({ store, done, total }) => seen.push(`${storeName(store)} ${done}/${total}`),
    });
    expect(report).toMatchObject({ total: left.length, migrated: left.length, failed: [], left: 0 });
    expect(seen).toHaveLength(left.length);
    expect(await behind()).toEqual([]);
  });

  it('begins no other store where a canary fails, and says why; the next run heals what was healed', async () => {
    const planned = await planStores(maker, { cell: 'eu-1', placement: 'silo', count: 2 });
    const away: StoreMaker = { ...maker, adminUrl: null };
    const report = await migrateStores(away, await behind(), plan);
    expect(report).toMatchObject({ total: 2, migrated: 0, left: 1 });
    expect(report.failed).toHaveLength(1);
    const rows = (await listStores(maker)).filter(({ name }) => planned.some((store) => store.name === name));
    expect(rows.map(({ fault: said }) => said === null)).toEqual([false, true]);
    expect(await migrateStores(maker, rows, plan)).toMatchObject({ total: 2, migrated: 2, left: 0 });
    expect((await listStores(maker)).every(({ fault: said }) => said === null)).toBe(true);
  });

  it('is refused for a cell that nobody knows', async () => {
    const error: unknown = await planStores(maker, { cell: 'mars-1', placement: 'silo', count: 1 }).catch(
      (thrown) => thrown,
    );
    expect(asTenonError(error)).toMatchObject({
      code: 'BAD_USER_INPUT',
      hint: expect.stringContaining('eu-1') as string,
    });
  });
});
