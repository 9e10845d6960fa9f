import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inTenant, inTenantAudit, inTenantOnce, openDatabases, type Databases } from '#kit/database.ts';
import { connectAs, everything, scopeOf, seedTenant, type TestTenant } from '../isolation/two-tenants.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { untilRunning } from '../support/statements.ts';

let stores: TestStores;
let databases: Databases;
let watcher: pg.Client;
let tenant: TestTenant;
let other: TestTenant;

beforeAll(async () => {
  stores = await makeStores();
  // One connection: whoever comes next gets the one whose statement was cancelled.
  databases = await openDatabases({
    ...stores.settingsFor('tenon_app', 'file:///nowhere'),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: [],
    poolSize: 1,
  });
  watcher = await connectAs(stores, 'tenon_owner');
  tenant = await seedTenant(stores, 'acme');
  other = await seedTenant(stores, 'bolt');
});

afterAll(async () => {
  await databases.close();
  await watcher.end();
});

const SLOW = 'select pg_sleep(30)';
const SLOW_INSERT = 'insert into projects (id, name) select gen_random_uuid(), $1 from pg_sleep(30)';
const projects = (name: string) => everything(stores, 'select from app.projects where name = $1', [name]);
const scope = (signal: AbortSignal, { id } = tenant) => ({ ...scopeOf(databases, id), signal });
const backend = () =>
  inTenantOnce(scopeOf(databases, other.id), (tx) => tx.query<{ pid: number }>('select pg_backend_pid() as pid'));

describe.each([
  ['inTenant', inTenant],
  ['inTenantOnce', inTenantOnce],
])('%s of a caller who gives up', (_name, run) => {
  it('ends its statement on the server at once, and leaves nothing of it', async () => {
    const gone = new AbortController();
    const [before] = await backend();
    const work = run(scope(gone.signal), (tx) => tx.query(SLOW_INSERT, ['slow']));
    await untilRunning(stores, 'pg_sleep');
    const aborted = performance.now();
    gone.abort();
    await expect(work).rejects.toMatchObject({ code: 'GATEWAY_TIMEOUT' });
    expect(performance.now() - aborted).toBeLessThan(2_000);
    expect(
      await everything(
        stores,
        `select from pg_stat_activity where query ~ 'pg_sleep' and state = 'active' and pid <> pg_backend_pid()`,
      ),
    ).toEqual([]);
    expect(await projects('slow')).toEqual([]);
    // The connection serves on.
    expect(await backend()).toEqual([before]);
  });

  it('sends nothing when she is gone before it begins', async () => {
    const work = run(scope(AbortSignal.abort()), (tx) => tx.query(SLOW));
    await expect(work).rejects.toMatchObject({ code: 'GATEWAY_TIMEOUT' });
  });

  it('keeps what was committed before she went', async () => {
    const gone = new AbortController();
    const name = `kept by ${_name}`;
    await run(scope(gone.signal), (tx) =>
      tx.query('insert into projects (id, name) values (gen_random_uuid(), $1)', [name]),
    );
    gone.abort();
    expect(await projects(name)).toHaveLength(1);
    expect(await backend()).toHaveLength(1);
  });
});

describe('a transaction of a caller who gives up', () => {
  it('is rolled back when she goes between two statements', async () => {
    const gone = new AbortController();
    const work = inTenant(scope(gone.signal), async (tx) => {
      await tx.query('insert into projects (id, name) values (gen_random_uuid(), $1)', ['half']);
      gone.abort();
      await tx.query('insert into projects (id, name) values (gen_random_uuid(), $1)', ['whole']);
    });
    await expect(work).rejects.toMatchObject({ code: 'GATEWAY_TIMEOUT' });
    expect(await projects('half')).toEqual([]);
  });

  it('is rolled back when she goes after the last statement and before the commit', async () => {
    const gone = new AbortController();
    const work = inTenant(scope(gone.signal), async (tx) => {
      await tx.query('insert into projects (id, name) values (gen_random_uuid(), $1)', ['late']);
      gone.abort();
    });
    await expect(work).rejects.toMatchObject({ code: 'GATEWAY_TIMEOUT' });
    expect(await projects('late')).toEqual([]);
  });

  it('ends all statements that are under way together', async () => {
    const gone = new AbortController();
    const work = inTenant(scope(gone.signal), (tx) => Promise.allSettled([tx.query(SLOW), tx.query(SLOW)]));
    await untilRunning(stores, 'pg_sleep');
    gone.abort();
    await expect(work).rejects.toMatchObject({ code: 'GATEWAY_TIMEOUT' });
    expect(await backend()).toHaveLength(1);
  });

  it('ends on the audit database too', async () => {
    const gone = new AbortController();
    const work = inTenantAudit(scope(gone.signal), (tx) => tx.query(SLOW));
    await untilRunning(stores, 'pg_sleep');
    gone.abort();
    await expect(work).rejects.toMatchObject({ code: 'GATEWAY_TIMEOUT' });
  });

  it('never ends a statement of the next borrower, whenever the cancel comes', async () => {
    for (let round = 0; round < 150; round += 1) {
      const gone = new AbortController();
      const work = (round % 2 === 0 ? inTenantOnce : inTenant)(scope(gone.signal), (tx) =>
        tx.query(`select set_config('app.left', 'behind', false), pg_sleep($1)`, [round / 50_000]),
      );
      const timer = setTimeout(() => gone.abort(), round % 7);
      const next = inTenant(scopeOf(databases, other.id), (tx) =>
        tx.query<{ setting: string | null; name: string }>(
          `select current_setting('app.left', true) as setting, name from projects, pg_sleep(0.002) where name = 'bolt'`,
        ),
      );
      await work.catch((error: unknown) => expect(error).toMatchObject({ code: 'GATEWAY_TIMEOUT' }));
      clearTimeout(timer);
      const [row] = await next;
      expect(row?.name).toBe('bolt');
      expect(row?.setting ?? '').toBe('');
    }
  });
});
