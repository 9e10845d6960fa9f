import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { platformApiSchema } from '#kit/api-schema.ts';
import { openChangeFeed, type Change } from '#kit/change-feed.ts';
import type { Databases } from '#kit/database.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { sha256Hex } from '#schema/operation-id.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { loadPersistedOperations } from '../../gateway/operations/persisted-operations.ts';
import { newRegisteredOperations, type RegisteredOperations } from '../../gateway/operations/registered-operations.ts';
import { provisionTenant, type ProvisionedTenant } from '../../subgraphs/tenants/provisioning.ts';
import { apolloManifest, change, type Registered } from '../subgraphs/tenants/operations-fixture.ts';
import { inputOf, openTenants, ORIGIN, requestOf } from '../subgraphs/tenants/tenants-platform.ts';

const OWN = 'query Own { tenant { id slug } }';
const NAMED = 'query Named { tenant { id name } }';
const NOW = new Date('2026-05-04T12:00:00Z');

const house = await openTenants();
const acme = await provisionTenant(house.platform, inputOf('acme', { state: 'active' }), ORIGIN);
const globex = await provisionTenant(house.platform, inputOf('globex', { state: 'active' }), ORIGIN);
const platformManifests = await loadPersistedOperations({
  folder: fileURLToPath(new URL('../../schema/operations', import.meta.url)),
  schema: platformApiSchema().schema,
});

/** What counts the statements of one gateway. */
interface Gateway {
  readonly operations: RegisteredOperations;
  /** Reads since it was asked last. */
  reads(): number;
  caughtUp(): Promise<void>;
  setLive(live: boolean): void;
}

/** A gateway of its own over the same stores: its own feed, its own memory. */
async function openGateway(): Promise<Gateway> {
  const settings = house.stores.settingsFor('tenon_app', 'file:///nowhere');
  const feed = await openChangeFeed(settings);
  let live = true;
  let reads = 0;
  const { databases } = house.platform;
  const counted: Databases = { ...databases, tenantSource: (cell) => ((reads += 1), databases.tenantSource(cell)) };
  const operations = newRegisteredOperations({
    databases: counted,
    feed: { ...feed, isLive: (cell) => live && feed.isLive(cell) },
    platformManifests: () => platformManifests,
  });
  afterAll(async () => {
    await operations.close();
    await feed.close();
  });
  return {
    operations,
    reads: () => [reads, (reads = 0)][0] ?? 0,
    caughtUp: () => feed.caughtUp({ cell: 'eu-1' }),
    setLive: (to) => void (live = to),
  };
}

const gateway = await openGateway();
const second = await openGateway();

const admin = (tenant: ProvisionedTenant) =>
  requestOf(house.platform, tenant.context, { scopes: Object.keys(SCOPES) as Scope[] });
const caller = (client: string | null, tenant = acme): TenantContext => ({
  ...tenant.context,
  actor: { type: 'api_key', id: mintId('key'), ip: null, ua: null },
  client,
});
const key = (body: string) => sha256Hex(body);

async function registered(client: string, { bodies = [OWN], tenant = acme, expiresAt = null as string | null } = {}) {
  const input = { client, manifest: apolloManifest(bodies), expiresAt };
  const { operations } = await change<Registered>(admin(tenant), 'registerOperations', input);
  return operations.map(({ id }) => id);
}

async function approved(client: string, options: Parameters<typeof registered>[1] = {}) {
  const ids = await registered(client, options);
  await change(admin(options.tenant ?? acme), 'approveOperations', { ids });
  return ids;
}

const bothCaughtUp = () => Promise.all([gateway.caughtUp(), second.caughtUp()]);
let clients = 0;
const newClient = () => `partner-${++clients}`;

afterEach(() => {
  gateway.setLive(true);
  house.setNow(NOW.toISOString());
});

describe('a registered operation', () => {
  it('is found by the keys of its client once it is approved, then without another read and at once', async () => {
    const client = newClient();
    const ids = await registered(client);
    expect(await gateway.operations.find(caller(client), key(OWN), NOW)).toBeNull();
    await change(admin(acme), 'approveOperations', { ids });
    await bothCaughtUp();
    const found = await gateway.operations.find(caller(client), key(OWN), NOW);
    expect(found).toEqual({ key: key(OWN), name: 'Own', kind: 'query', source: OWN, hash: key(OWN), costCeiling: 1 });
    gateway.reads();
    expect(gateway.operations.find(caller(client), key(OWN), NOW)).toBe(found);
    expect(gateway.reads()).toBe(0);
  });

  it('looks like an unknown one to another client, another tenant of the same client name, and to people', async () => {
    const client = newClient();
    await approved(client);
    await approved(client, { tenant: globex, bodies: [NAMED] });
    for (const other of [caller(newClient()), caller(client, globex), caller(null)]) {
      expect(await gateway.operations.find(other, key(OWN), NOW)).toBeNull();
    }
    expect(await gateway.operations.find(caller(client, globex), key(NAMED), NOW)).toMatchObject({ source: NAMED });
    expect(await gateway.operations.find(caller(client), key(NAMED), NOW)).toBeNull();
  });

  it('ends by itself when it expires, and at the time that was set for its revocation, in the memory too', async () => {
    const client = newClient();
    const ids = await approved(client, { bodies: [OWN, NAMED], expiresAt: '2026-05-05T00:00:00Z' });
    await change(admin(acme), 'scheduleRevocation', { ids: ids.slice(0, 1), at: '2026-05-04T18:00:00Z' });
    await bothCaughtUp();
    const foundAt = async (time: string) => {
      const found = await Promise.all(
        [OWN, NAMED].map(async (body) => gateway.operations.find(caller(client), key(body), new Date(time))),
      );
      return found.map((operation) => operation?.name ?? null);
    };
    expect(await foundAt('2026-05-04T17:59:59.999Z')).toEqual(['Own', 'Named']);
    expect(await foundAt('2026-05-04T18:00:00Z')).toEqual([null, 'Named']);
    expect(await foundAt('2026-05-05T00:00:00Z')).toEqual([null, null]);
  });

  it('is gone on every gateway as soon as the news of its revocation is there', async () => {
    const client = newClient();
    const ids = await approved(client);
    await bothCaughtUp();
    for (const { operations } of [gateway, second]) {
      expect(await operations.find(caller(client), key(OWN), NOW)).not.toBeNull();
    }
    await change(admin(acme), 'revokeOperations', { ids });
    await bothCaughtUp();
    for (const { operations } of [gateway, second]) {
      expect(await operations.find(caller(client), key(OWN), NOW)).toBeNull();
    }
  });

  it('that nobody registered is asked for once, and found when somebody does', async () => {
    const client = newClient();
    expect(await gateway.operations.find(caller(client), key(OWN), NOW)).toBeNull();
    gateway.reads();
    expect(gateway.operations.find(caller(client), key(OWN), NOW)).toBeNull();
    expect(gateway.reads()).toBe(0);
    await approved(client);
    await bothCaughtUp();
    expect(await gateway.operations.find(caller(client), key(OWN), NOW)).not.toBeNull();
  });

  it('is read each time while there is no news of changes, and nothing from that time is kept', async () => {
    const client = newClient();
    const ids = await approved(client);
    await bothCaughtUp();
    expect(await gateway.operations.find(caller(client), key(OWN), NOW)).not.toBeNull();
    gateway.setLive(false);
    gateway.reads();
    expect(await gateway.operations.find(caller(client), key(OWN), NOW)).not.toBeNull();
    expect(gateway.reads()).toBe(1);
    await change(admin(acme), 'revokeOperations', { ids });
    expect(await gateway.operations.find(caller(client), key(OWN), NOW)).toBeNull();
  });

  it('of another tenant stays in the memory when one changes', async () => {
    const client = newClient();
    await approved(client);
    await approved(client, { tenant: globex });
    await bothCaughtUp();
    await gateway.operations.find(caller(client), key(OWN), NOW);
    await approved(newClient(), { tenant: globex });
    await bothCaughtUp();
    gateway.reads();
    expect(await gateway.operations.find(caller(client), key(OWN), NOW)).not.toBeNull();
    expect(gateway.reads()).toBe(0);
  });

  it('that changed while it was being read is read again', async () => {
    const client = newClient();
    await approved(client);
    let tell: (change: Change) => void = () => undefined;
    const { databases } = house.platform;
    const operations = newRegisteredOperations({
      databases,
      feed: { isLive: () => true, subscribe: (listener) => ((tell = listener), () => undefined) },
      platformManifests: () => platformManifests,
    });
    const reading = operations.find(caller(client), key(OWN), NOW);
    tell({ cell: 'eu-1', tenant: acme.tenant.id as Id<'tnt'>, topic: 'operations' });
    expect(await reading).not.toBeNull();
    const again = operations.find(caller(client), key(OWN), NOW);
    expect(again).toBeInstanceOf(Promise);
    await again;
    expect(operations.find(caller(client), key(OWN), NOW)).not.toBeInstanceOf(Promise);
    tell({ cell: 'eu-1', tenant: null, topic: 'operations' });
    expect(operations.find(caller(client), key(OWN), NOW)).toBeInstanceOf(Promise);
    await operations.close();
  });

  it("of the platform's own manifests runs for every tenant's client of that name", async () => {
    const operation = platformManifests.all.find(({ client }) => client === 'partner-app');
    for (const tenant of [acme, globex]) {
      expect(gateway.operations.find(caller('partner-app', tenant), operation?.key ?? '', NOW)).toMatchObject({
        source: operation?.source,
        costCeiling: null,
      });
    }
  });
});

describe('the last use', () => {
  it('is written at the close, once for many runs, and never back in time', async () => {
    const client = newClient();
    const [id = ''] = await approved(client);
    const third = await openGateway();
    const at = (minutes: number) => new Date(NOW.getTime() + minutes * 60_000);
    for (const minutes of [1, 2, 3]) third.operations.used(caller(client), key(OWN), at(minutes));
    third.operations.used(caller(client, globex), key(OWN), at(9));
    third.operations.used(caller(client), 'never-registered', at(9));
    await third.operations.close();
    gateway.operations.used(caller(client), key(OWN), at(2));
    await gateway.operations.close();
    const rows = await house.peek<{ last_used_at: Date }>(
      'eu-1',
      'select last_used_at from registered_operations where id = $1',
      [uuidOf('opr', id)],
    );
    expect(rows.map(({ last_used_at: time }) => time.toISOString())).toEqual([at(3).toISOString()]);
  });

  it('drops nothing from the memory', async () => {
    const client = newClient();
    await approved(client);
    await bothCaughtUp();
    const fourth = await openGateway();
    await second.operations.find(caller(client), key(OWN), NOW);
    fourth.operations.used(caller(client), key(OWN), NOW);
    await fourth.operations.close();
    await bothCaughtUp();
    second.reads();
    await second.operations.find(caller(client), key(OWN), NOW);
    expect(second.reads()).toBe(0);
  });
});
