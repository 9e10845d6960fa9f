import { once } from 'node:events';
import { createServer, connect as connectTo, type Socket } from 'node:net';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openChangeFeed, type Change, type ChangeFeed } from '#kit/change-feed.ts';
import { connectAs, seedTenant, within, type TestTenant } from '../isolation/two-tenants.ts';
import { makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';

let stores: TestStores;
let app: pg.Client;
let tenant: TestTenant;
let feed: ChangeFeed;
const heard: Change[] = [];

beforeAll(async () => {
  stores = await makeStores();
  app = await connectAs(stores, 'tenon_app');
  tenant = await seedTenant(stores, 'acme');
  const { directoryUrl, cells } = stores.settingsFor('tenon_app', 'file:///nowhere');
  feed = await openChangeFeed({ directoryUrl, cells });
  feed.subscribe((change) => heard.push(change));
});

afterAll(async () => {
  await feed.close();
  await app.end();
});

/** Returns what the feed tells of a statement that the application commits for the tenant. */
async function changesOf(sql: string): Promise<string[]> {
  heard.length = 0;
  await within(app, tenant.token, () => app.query(sql));
  await feed.caughtUp({ cell: 'eu-1' });
  return heard.map((change) => `${change.cell} ${change.topic} ${change.tenant === tenant.id ? 'hers' : 'all'}`);
}

const HERS = ['eu-1 credentials hers'];
const HERS_AND_WHO = [...HERS, 'eu-1 revocations hers'];
const USER = `(select id from users where user_name = 'ada')`;

describe('a committed change', () => {
  beforeAll(() =>
    changesOf(`
      with role as (insert into roles (id, name, scopes) values (gen_random_uuid(), 'writer', '{projects:write}') returning id),
           grp as (insert into groups (id, display_name) values (gen_random_uuid(), 'writers') returning id),
           gone as (insert into users (id, user_name, active) values (gen_random_uuid(), 'gone', false))
      insert into credentials (id, kind, user_id, name, secret_hash, expires_at)
      select gen_random_uuid(), 'session', ${USER}, 'x', sha256('x'), 'infinity'`),
  );

  const telling = [
    ['a granted role', `insert into user_roles (user_id, role_id) select ${USER}, id from roles`],
    ['another scope of a role', `update roles set scopes = '{}'`],
    ['a role taken away', 'delete from user_roles'],
    ['a role of a group', 'insert into group_roles (group_id, role_id) select g.id, r.id from groups g, roles r'],
    ['a member of a group', `insert into group_members (group_id, user_id) select id, ${USER} from groups`],
    ['a member who leaves', 'delete from group_members'],
    ['a role that is removed, with what hangs on it', 'delete from roles'],
    ['a revoked credential', 'update credentials set revoked_at = now()'],
    ['an earlier expiry', 'update credentials set expires_at = now()'],
    ['a user who comes back', `update users set active = true where user_name = 'gone'`],
    ['another tier', `update tenants set tier = 'GROWTH'`],
    ['another state', `update tenants set state = 'past_due'`],
  ] as const;
  it.each(telling)('is told once: %s', async (_name, sql) => {
    expect(await changesOf(sql)).toEqual(HERS);
  });

  it.each([
    ['a newer epoch', `update users set epoch = epoch + 1 where user_name = 'ada'`],
    ['a deactivated user', `update users set active = false, epoch = epoch + 1 where user_name = 'bob'`],
    ['a deleted user, with what is hers', `delete from users where user_name = 'ada'`],
    ['a closed tenant', `update tenants set state = 'suspended'`],
  ])('that ends access is told once, with its revocation: %s', async (_name, sql) => {
    expect(await changesOf(sql)).toEqual(HERS_AND_WHO);
    const ids = heard.map(({ revocation }) => revocation);
    expect(ids).toEqual([undefined, expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]/)]);
  });

  it.each([
    ['a new user', `insert into users (id, user_name) values (gen_random_uuid(), 'eve')`],
    ['another name', `update users set display_name = 'Eve', active = active where user_name = 'eve'`],
    ['a name of the tenant', `update tenants set name = 'Acme'`],
    [
      'a new session',
      `insert into credentials (id, kind, user_id, name, secret_hash, expires_at)
       select gen_random_uuid(), 'session', id, 'x', sha256('x'), 'infinity' from users where user_name = 'bob'`,
    ],
  ])('that changes nobody’s rights is not told: %s', async (_name, sql) => {
    expect(await changesOf(sql)).toEqual([]);
  });

  it('of a budget is one of limits', async () => {
    expect(await changesOf(`insert into budget_limits (limits) values ('{"concurrency": 3}')`)).toEqual([
      'eu-1 limits hers',
    ]);
  });

  it('is told when it is committed, and not at all when it is rolled back', async () => {
    heard.length = 0;
    await within(app, tenant.token, async () => {
      await app.query(`update tenants set state = 'active'`);
      await feed.caughtUp({ cell: 'eu-1' });
      expect(heard).toEqual([]);
      throw new Error('changed my mind');
    }).catch(() => undefined);
    await feed.caughtUp({ cell: 'eu-1' });
    expect(heard).toEqual([]);
  });

  it('of many rows by a superuser, who has no context, names each row’s tenant', async () => {
    const other = await seedTenant(stores, 'other');
    heard.length = 0;
    await withClient(stores.url('eu-1'), (client) => client.query('update app.users set epoch = epoch + 1'));
    await feed.caughtUp({ cell: 'eu-1' });
    expect(new Set(heard.map((change) => change.tenant))).toEqual(new Set([tenant.id, other.id]));
  });

  it('of the budgets of a tier is told to every cell', async () => {
    heard.length = 0;
    const directory = await connectAs(stores, 'tenon_app', 'directory');
    await directory.query(`update app.tier_limits set updated_at = now() where tier = 'FREE'`);
    await directory.end();
    await feed.caughtUp(null);
    expect(heard).toEqual([
      { cell: 'eu-1', tenant: null, topic: 'limits' },
      { cell: 'us-1', tenant: null, topic: 'limits' },
    ]);
  });

  it('reaches nobody who has stopped listening', async () => {
    let told = 0;
    const stop = feed.subscribe(() => told++);
    await changesOf(`update tenants set tier = 'FREE'`);
    stop();
    await changesOf(`update tenants set tier = 'GROWTH'`);
    expect(told).toBe(1);
  });
});

describe('a message', () => {
  it.each([
    ['of an unknown topic is passed over', 'weather 7', []],
    ['without a tenant counts for all', 'operations', [{ cell: 'eu-1', tenant: null, topic: 'operations' }]],
    ['of a strange tenant counts for all', 'limits ../x', [{ cell: 'eu-1', tenant: null, topic: 'limits' }]],
  ])('%s', async (_name, payload, told) => {
    heard.length = 0;
    await app.query('select pg_notify($1, $2)', ['tenon_changes', payload]);
    await feed.caughtUp({ cell: 'eu-1' });
    expect(heard).toEqual(told);
  });
});

describe('a lost connection', () => {
  it('makes its cell not live at once, and telling of everything goes before being live again', async () => {
    expect([feed.isLive({ cell: 'eu-1' }), feed.isLive({ cell: 'us-1' }), feed.isLive({ cell: 'nowhere' })]).toEqual([
      true,
      true,
      false,
    ]);
    heard.length = 0;
    const restarted = new Promise<boolean>((resolve) => {
      const stop = feed.subscribe(({ cell }) => {
        stop();
        resolve(feed.isLive({ cell }));
      });
    });
    await withClient(stores.url('eu-1'), (client) =>
      client.query(
        `select pg_terminate_backend(pid, 5000) from pg_stat_activity
          where application_name = 'tenon changes' and datname = current_database()`,
      ),
    );
    // Live or not, the feed tells of everything before anybody may rely on it again.
    expect(await restarted).toBe(false);
    expect(heard.map(({ topic, tenant: whose }) => [topic, whose])).toEqual([
      ['credentials', null],
      ['limits', null],
      ['operations', null],
      ['revocations', null],
    ]);
    expect(feed.isLive({ cell: 'us-1' })).toBe(true);
    await feed.caughtUp({ cell: 'eu-1' });
    expect(feed.isLive({ cell: 'eu-1' })).toBe(true);
    expect(await changesOf(`update tenants set tier = 'FREE'`)).toEqual(HERS);
  });

  it('that only falls silent is noticed within seconds, and nobody waits for it longer', async () => {
    const { directoryUrl, cells } = stores.settingsFor('tenon_app', 'file:///nowhere');
    const road = await openRoad(new URL(cells[0]?.database ?? ''));
    const far = await openChangeFeed({ directoryUrl, cells: [{ name: 'far', database: road.url }] });
    onTestFinished(() => far.close());
    expect(far.isLive({ cell: 'far' })).toBe(true);
    road.block();
    const startedMs = performance.now();
    await far.caughtUp({ cell: 'far' });
    expect(far.isLive({ cell: 'far' })).toBe(false);
    expect(performance.now() - startedMs).toBeLessThan(3_500);
  });

  it('of a database that never was leaves the feed open, and the cell not live', async () => {
    const { directoryUrl } = stores.settingsFor('tenon_app', 'file:///nowhere');
    const database = 'postgres://nobody@127.0.0.1:1/nothing';
    const none = await openChangeFeed({ directoryUrl, cells: [{ name: 'none', database }] });
    await none.caughtUp({ cell: 'none' });
    expect(none.isLive({ cell: 'none' })).toBe(false);
    await none.close();
  });
});

/** A way to a database that can be blocked, so that nothing comes through and nothing is closed. */
async function openRoad(to: URL): Promise<{ url: string; block: () => void }> {
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = connectTo(Number(to.port), to.hostname);
    sockets.push(near, far);
    for (const socket of [near, far]) socket.on('error', () => undefined);
    near.pipe(far);
    far.pipe(near);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const url = Object.assign(new URL(to), { hostname: '127.0.0.1', port: String(port) }).href;
  return { url, block: () => sockets.forEach((socket) => socket.unpipe().pause()) };
}
