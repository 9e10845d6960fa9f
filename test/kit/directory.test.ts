import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { changeFeedOf, type ChangeFeed } from '#kit/change-feed.ts';
import type { Databases } from '#kit/database.ts';
import { findTenant, followPlaces } from '#kit/directory.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';

let stores: TestStores;
let databases: Databases;
let feed: ChangeFeed;
let unfollow: () => void;

beforeAll(async () => {
  stores = await makeStores();
  databases = await stores.open();
  feed = await changeFeedOf(databases);
  unfollow = followPlaces(databases, feed);
});

afterAll(async () => {
  unfollow();
  await feed.close();
  await databases.close();
});

async function newPlace(slug: string): Promise<Id<'tnt'>> {
  const id = mintId('tnt');
  await databases.directory.query(
    `insert into tenants (id, slug, region, cell, tier, state) values ($1, $2, 'eu', 'eu-1', 'FREE', 'active')`,
    [uuidOf('tnt', id), slug],
  );
  return id;
}

/** As another process does it. */
const elsewhere = (sql: string, id: Id<'tnt'>) =>
  withClient(stores.url('directory'), (client) => client.query(sql, [uuidOf('tnt', id)]));
const MOVE = `update app.tenants set cell = 'us-1', region = 'us' where id = $1`;

it('a place is remembered, and forgotten when the directory says that she moved', async () => {
  const [moved, other] = [await newPlace('moved'), await newPlace('other')];
  expect(await findTenant(databases, moved)).toMatchObject({ cell: 'eu-1' });
  const before = await findTenant(databases, other);
  await elsewhere(MOVE, moved);
  await feed.caughtUp(null);
  expect(await findTenant(databases, moved)).toMatchObject({ cell: 'us-1', region: 'us' });
  // The very object: only hers was read again.
  expect(await findTenant(databases, other)).toBe(before);
});

it('a place that is no more is forgotten', async () => {
  const gone = await newPlace('gone');
  expect(await findTenant(databases, gone)).not.toBeNull();
  await elsewhere('delete from app.tenants where id = $1', gone);
  await feed.caughtUp(null);
  expect(await findTenant(databases, gone)).toBeNull();
});

it('what was read before a change and came after it is not remembered', async () => {
  const id = await newPlace('late');
  let letGo: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  const { directory } = databases;
  const slow = {
    ...databases,
    directory: Object.assign(Object.create(directory), {
      query: async (text: string, values: unknown[]) => {
        const answer = await directory.query(text, values);
        await held;
        return answer;
      },
    }) as typeof directory,
  };
  const unfollowSlow = followPlaces(slow, feed);
  const early = findTenant(slow, id);
  await elsewhere(MOVE, id);
  await feed.caughtUp(null);
  letGo();
  expect(await early).toMatchObject({ cell: 'eu-1' });
  expect(await findTenant(slow, id)).toMatchObject({ cell: 'us-1' });
  unfollowSlow();
});

it('a feed that was away forgets every place', async () => {
  const id = await newPlace('away');
  const own = { ...databases };
  const told: (() => void)[] = [];
  const unfollowOwn = followPlaces(own, {
    subscribe: (listener) => {
      told.push(() => listener({ cell: '', tenant: null, topic: 'places' }));
      return () => undefined;
    },
  });
  await findTenant(own, id);
  await elsewhere(MOVE, id);
  expect(await findTenant(own, id)).toMatchObject({ cell: 'eu-1' });
  for (const tell of told) tell();
  expect(await findTenant(own, id)).toMatchObject({ cell: 'us-1' });
  unfollowOwn();
});

it('while the directory is away, whoever was seen within an hour is where she was, and nobody else anywhere', async () => {
  const [seen, unseen] = [await newPlace('seen'), await newPlace('unseen')];
  let isAway = false;
  const { directory } = databases;
  const query = async (text: string, values: unknown[]) => {
    if (isAway) throw new Error('away');
    return directory.query(text, values);
  };
  const own = { ...databases, directory: Object.assign(Object.create(directory), { query }) as typeof directory };
  onTestFinished(() => void vi.useRealTimers());
  vi.useFakeTimers({ toFake: ['Date'] });
  const later = (minutes: number) => vi.setSystemTime(Date.now() + minutes * 60_000);
  expect(await findTenant(own, seen)).toMatchObject({ cell: 'eu-1' });
  isAway = true;
  for (let turn = 0; turn < 3; turn++) {
    later(15);
    expect(await findTenant(own, seen)).toMatchObject({ cell: 'eu-1' });
  }
  await expect(findTenant(own, unseen)).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  later(20);
  await expect(findTenant(own, seen)).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  isAway = false;
  expect(await findTenant(own, seen)).toMatchObject({ cell: 'eu-1' });
});
