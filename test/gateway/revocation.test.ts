import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compose } from '#kit/composition.ts';
import { issueCredential, systemContext } from '#kit/credential.ts';
import { inTenant } from '#kit/database.ts';
import { idOf, type Id } from '#schema/ids.ts';
import { subgraphs } from '#subgraphs';
import { startGateway, type RunningGateway } from '../../gateway/server.ts';
import { openHouse, type House } from '../support/house.ts';
import { withClient } from '../support/postgres.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { openRoad, type Road } from './revocation-road.ts';

const ASK = JSON.stringify({ query: '{ tenant { id } }' });
/** Promised to everybody, whatever happens to the news. */
const MOST_MS = 1_000;

let house: House;
/** Leads to the gateway of the house, and to a second one whose way to the news can be spoilt. */
let urls: readonly string[];
let second: RunningGateway;
let road: Road;
let mia: Id<'usr'>;

beforeAll(async () => {
  house = await openHouse();
  const { databases, platform } = house;
  const [near, ...others] = databases.cells;
  if (near === undefined) throw new Error('there are two cells');
  road = await openRoad(near.database);
  second = await startGateway({
    platform: { ...platform, databases: { ...databases, cells: [{ ...near, database: road.url }, ...others] } },
    subgraphs,
    supergraphSdl: compose(subgraphs),
    operationsFolder: fileURLToPath(new URL('../../schema/operations', import.meta.url)),
    verifierKey: TEST_SIGNING_KEY.verifierKey,
  });
  urls = [house.url, second.url];
  const [row] = await inAcme((tx) => tx.query<{ id: string }>(`select id from users where user_name like 'mia@%'`));
  mia = idOf('usr', row?.id ?? '');
});

afterAll(async () => {
  await second.close();
  await road.close();
});

describe('whoever is deactivated leaves a proof', () => {
  afterAll(() => road.swallowNews(false));

  it('of when the last gateway had put it into force', async () => {
    const { id } = await expectRefusal();
    const event = await eventOf(id);
    expect(event).toMatchObject({
      actor: { type: 'system', id: 'gateway' },
      resource: { type: 'user', id: mia },
      context: { reason: 'deactivated', gateways: 2, unconfirmed: 0 },
    });
    const { latency_ms: latencyMs } = event.context;
    expect(latencyMs).toBeGreaterThan(0);
    expect(latencyMs).toBeLessThan(MOST_MS);
  });

  it('that counts a gateway as missing which has not said so within seconds', async () => {
    road.swallowNews(true);
    const { id } = await expectRefusal();
    expect((await eventOf(id)).context).toMatchObject({ gateways: 2, unconfirmed: 1 });
  });
});

describe('whoever is deactivated is refused by every gateway within a second', () => {
  it('20 times', async () => {
    for (let round = 0; round < 20; round++) await expectRefusal();
  });

  it('while the news is swallowed on its way, and its connection stays', async () => {
    road.swallowNews(true);
    for (let round = 0; round < 5; round++) await expectRefusal();
    road.swallowNews(false);
    await expectRefusal();
  });

  it('while every other message is lost', async () => {
    road.loseOneIn(2);
    for (let round = 0; round < 5; round++) await expectRefusal();
    road.swallowNews(false);
  });

  it('while all listeners are killed', async () => {
    for (let round = 0; round < 5; round++)
      await expectRefusal(() =>
        asSuperuser(`select pg_terminate_backend(pid) from pg_stat_activity
                      where application_name = 'tenon changes' and datname = current_database()`),
      );
  });

  it('while the way of the news is open and nothing comes over it', async () => {
    for (let round = 0; round < 3; round++) await expectRefusal(async () => road.block());
  });

  it('while the database announces nothing', async () => {
    const definition = await asSuperuser(
      `select pg_get_functiondef('tenon.announce(text, uuid, text)'::regprocedure) as text`,
    );
    const text = String(definition[0]?.['text']);
    await asSuperuser(text.replace('perform pg_notify(', 'perform concat('));
    for (let round = 0; round < 5; round++) await expectRefusal();
    await asSuperuser(text);
  });
});

/** Deactivates her while both gateways are asked with her session all the time, and lets her in again. */
async function expectRefusal(spoil: () => Promise<unknown> = async () => undefined): Promise<{ id: string }> {
  // Whoever does not listen reads every credential, which is no test of anything.
  await expect.poll(listeners, { timeout: 10_000, interval: 20 }).toBe(2);
  const token = await signIn();
  for (const url of urls) for (let time = 0; time < 3; time++) expect(await ask(url, token)).toBe(200);
  await spoil();
  const startedMs = performance.now();
  const refusals = urls.map((url) => refusalOf(url, token));
  expect(await setActive(false)).toBe(200);
  for (const refused of refusals) expect((await refused) - startedMs).toBeLessThan(MOST_MS);
  for (const url of urls) expect(await ask(url, token)).toBe(401);
  expect(await setActive(true)).toBe(200);
  const [row] = await inAcme((tx) =>
    tx.query<{ id: string }>(`select id from revocations where subject_type = 'user' order by id desc limit 1`),
  );
  return { id: row?.id ?? '' };
}

async function refusalOf(url: string, token: string): Promise<number> {
  const givenUpMs = performance.now() + 5_000;
  while ((await ask(url, token)) === 200) if (performance.now() > givenUpMs) return Infinity;
  return performance.now();
}

async function ask(url: string, token: string): Promise<number> {
  const answer = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: ASK,
  });
  await answer.text();
  return answer.status;
}

/** How many gateways have proven in the last second that they listen. */
async function listeners(): Promise<number> {
  const rows = await asSuperuser(
    `select from pg_stat_activity where application_name = 'tenon changes' and datname = current_database()
        and state_change > clock_timestamp() - interval '1 second'`,
  );
  return rows.length;
}

interface Enforced {
  readonly context: { readonly latency_ms: number };
}

/** Returns the event that completes a revocation, once it is there. */
async function eventOf(revocation: string): Promise<Enforced> {
  const read = async () => {
    const rows = await asSuperuser(
      `select o.event from app.outbox o join app.revocations r on r.tenant_id = o.tenant_id
        where r.id = $1 and (o.event::jsonb #>> '{context,sequence}')::bigint = r.sequence
          and o.event::jsonb ->> 'action' = 'access.revocation_enforced'`,
      [revocation],
    );
    expect(rows).toHaveLength(1);
    return JSON.parse(String(rows[0]?.['event'])) as Enforced;
  };
  await expect.poll(() => read().catch(() => null), { timeout: 15_000, interval: 50 }).not.toBeNull();
  return read();
}

function signIn(): Promise<string> {
  const expiresAt = new Date(Date.now() + 600_000);
  return inAcme(async (tx) => {
    const wanted = { kind: 'session', userId: mia, name: 'x', expiresAt } as const;
    return (await issueCredential(tx, house.acme.id as Id<'tnt'>, wanted)).token;
  });
}

async function setActive(value: boolean): Promise<number> {
  const { status } = await house.fetch(house.acme.scim, `/scim/v2/Users/${mia}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/scim+json' },
    body: JSON.stringify({
      schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
      Operations: [{ op: 'replace', path: 'active', value }],
    }),
  });
  return status;
}

async function inAcme<T>(work: Parameters<typeof inTenant<T>>[1]): Promise<T> {
  const purpose = { name: 'test', requestId: 'req_t' };
  const tenant = await systemContext(house.databases, house.acme.id as Id<'tnt'>, purpose);
  return inTenant({ tenant, databases: house.databases }, work);
}

async function asSuperuser(sql: string, values: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
  return withClient(house.stores.url('eu-1'), async (client) => (await client.query(sql, [...values])).rows);
}
