import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openChangeFeed, type Change, type ChangeFeed } from '#kit/change-feed.ts';
import { newCredentialCache, type Authenticated, type CredentialCache } from '#kit/credential-cache.ts';
import { issueCredential, systemContext, type NewCredential } from '#kit/credential.ts';
import { inTenant, type Databases, type TenantTransaction } from '#kit/database.ts';
import { openTierLimits, type TierLimits } from '#kit/tenant-limits.ts';
import { TIER_LIMITS } from '#schema/budget-limits.ts';
import { readConfig } from '#schema/config.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import { makeDemoTenants, type DemoTenant } from '#subgraphs';
import { makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';

let stores: TestStores;
let databases: Databases;
let feed: ChangeFeed;
let tiers: TierLimits;
let cache: CredentialCache;
let reads = 0;
let onRead: () => void = () => undefined;
let [acme, globex, initech]: DemoTenant[] = [];

const NOW = new Date('2026-05-04T12:00:00Z');
const later = (ms: number) => new Date(NOW.getTime() + ms);

beforeAll(async () => {
  stores = await makeStores();
  const opened = await stores.open();
  databases = {
    ...opened,
    tenantSource: (cell) => {
      reads += 1;
      onRead();
      return opened.tenantSource(cell);
    },
  };
  const platform = { config: readConfig({}), databases, clock: () => NOW, publicUrl: 'http://tenon.test' };
  [acme, globex, initech] = await makeDemoTenants(platform);
  feed = await openFeed();
  tiers = await openTierLimits(databases, feed);
});

afterAll(async () => {
  tiers.close();
  await feed.close();
  await databases.close();
});

beforeEach(() => {
  cache = newCredentialCache({ databases, feed, tiers });
  onRead = () => undefined;
  return () => cache.close();
});

describe('a token seen before', () => {
  it('is answered at once, without the database, with what is of the new request', async () => {
    const first = await ask(tokenOf(acme, 'admin'));
    const readBefore = reads;
    const origin = { requestId: 'req_2', ip: '203.0.113.2', ua: 'second' };
    const second = cache.authenticate(tokenOf(acme, 'admin'), { ...origin, now: later(1) });
    expect(second).not.toBeInstanceOf(Promise);
    expect(reads).toBe(readBefore);
    expect(second).toEqual({
      tenant: {
        ...first.tenant,
        requestId: 'req_2',
        actor: { ...first.tenant.actor, ip: '203.0.113.2', ua: 'second' },
      },
      limits: TIER_LIMITS.ENTERPRISE,
    });
    expect(first.tenant).toMatchObject({ tenant: acme?.id, actor: { type: 'user', ip: '203.0.113.1' } });
  });

  it('is never answered as another, of the same tenant or of any', async () => {
    const tokens = [acme, globex, initech].flatMap((tenant) =>
      (['admin', 'member', 'auditor', 'partner', 'scim'] as const).map((name) => tokenOf(tenant, name)),
    );
    const fresh: Authenticated[] = [];
    for (const token of tokens) fresh.push(await ask(token));
    const readBefore = reads;
    for (const [index, token] of tokens.entries()) expect(await ask(token)).toEqual(fresh[index]);
    expect(reads).toBe(readBefore);
    expect(new Set(fresh.map(({ tenant }) => `${tenant.tenant} ${tenant.actor.id}`)).size).toBe(tokens.length);
  });

  it('is read again after five minutes, and when the clock has gone back', async () => {
    await ask(tokenOf(acme, 'admin'));
    expect(await isRead(tokenOf(acme, 'admin'), later(299_999))).toBe(false);
    expect(await isRead(tokenOf(acme, 'admin'), later(-1))).toBe(true);
    await ask(tokenOf(acme, 'admin'));
    expect(await isRead(tokenOf(acme, 'admin'), later(300_000))).toBe(true);
  });

  it('is refused from its expiry on', async () => {
    const { token } = await issue({ kind: 'session', userId: await userOf('mia'), expiresAt: later(10_000) });
    await ask(token);
    expect(await codeOf(token, later(9_999))).toBe('none');
    expect(await codeOf(token, later(10_000))).toBe('UNAUTHENTICATED');
  });

  it.each([
    ['another secret', (token: string) => `${token.slice(0, -4)}AAAA`],
    ['another kind', (token: string) => token.replace('tnu_', 'tnk_')],
    ['another tenant', (token: string) => token.replace(acme?.id.slice(4) ?? '', globex?.id.slice(4) ?? '')],
    ['more behind it', (token: string) => `${token}A`],
  ])('lends nothing to one with %s', async (_name, change) => {
    await ask(tokenOf(acme, 'admin'));
    expect(await codeOf(change(tokenOf(acme, 'admin')))).toBe('UNAUTHENTICATED');
  });

  it('that was refused is asked for again', async () => {
    await commit(`update tenants set state = 'soft_deleted'`);
    expect(await codeOf(tokenOf(acme, 'admin'))).toBe('TENANT_SUSPENDED');
    await commit(`update tenants set state = 'active'`);
    expect(await codeOf(tokenOf(acme, 'admin'))).toBe('none');
  });
});

describe('whoever leaves is out at the next request', () => {
  it('by deactivation, 200 times', async () => {
    for (let round = 0; round < 200; round++) {
      const user = await userOf('mia');
      const { token } = await issue({ kind: 'session', userId: user, expiresAt: later(60_000) });
      expect([await codeOf(token), await codeOf(token)]).toEqual(['none', 'none']);
      await commit('update users set active = false, epoch = epoch + 1 where id = $1', [uuidOf('usr', user)]);
      expect(await codeOf(token)).toBe('UNAUTHENTICATED');
      await commit('update users set active = true where id = $1', [uuidOf('usr', user)]);
    }
  });

  it('by revocation, and nobody else is', async () => {
    const expiresAt = later(60_000);
    const { id, token } = await issue({
      kind: 'api_key',
      userId: null,
      client: 'c',
      scopes: ['usage:write'],
      expiresAt,
    });
    await ask(token);
    await ask(tokenOf(globex, 'admin'));
    await commit('update credentials set revoked_at = now() where id = $1', [uuidOf('key', id)]);
    expect(await codeOf(token)).toBe('UNAUTHENTICATED');
    expect(await isRead(tokenOf(globex, 'admin'))).toBe(false);
  });

  it('of a role, a group, a tenant, or into another tier', async () => {
    const user = uuidOf('usr', await userOf('otto'));
    const scopes = async () => (await ask(tokenOf(acme, 'auditor'))).tenant.scopes;
    expect(await scopes()).toContain('audit:read');
    await commit('delete from user_roles where user_id = $1', [user]);
    expect(await scopes()).toEqual([]);
    await commit(
      `with g as (insert into groups (id, display_name) values (gen_random_uuid(), 'auditors') returning id),
            r as (insert into group_roles (group_id, role_id) select g.id, r.id from g, roles r where name = 'auditor')
       insert into group_members (group_id, user_id) select id, $1 from g`,
      [user],
    );
    expect(await scopes()).toContain('audit:read');
    await commit(`update roles set scopes = '{users:read}' where name = 'auditor'`);
    expect(await scopes()).toEqual(['users:read']);
    await commit('delete from group_members');
    expect(await scopes()).toEqual([]);
    await commit(`update tenants set tier = 'GROWTH'`);
    expect(await ask(tokenOf(acme, 'admin'))).toMatchObject({ tenant: { tier: 'GROWTH' }, limits: TIER_LIMITS.GROWTH });
    await commit(`update tenants set tier = 'ENTERPRISE'`);
    await commit(`update tenants set state = 'soft_deleted'`);
    expect(await codeOf(tokenOf(acme, 'admin'))).toBe('TENANT_SUSPENDED');
    await commit(`update tenants set state = 'active'`);
  });

  it('on another gateway as well, within a second', async () => {
    const farFeed = await openFeed();
    const farCache = newCredentialCache({ databases, feed: farFeed, tiers });
    const { id, token } = await issue({ kind: 'session', userId: await userOf('mia'), expiresAt: later(60_000) });
    await farCache.authenticate(token, request());
    expect(farCache.authenticate(token, request())).not.toBeInstanceOf(Promise);
    const heard = new Promise<number>((resolve) => {
      farFeed.subscribe(() => resolve(performance.now()));
    });
    await commit('update credentials set revoked_at = now() where id = $1', [uuidOf('ses', id)]);
    const committedMs = performance.now();
    expect((await heard) - committedMs).toBeLessThan(1_000);
    await expect(farCache.authenticate(token, request())).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    farCache.close();
    await farFeed.close();
  });
});

describe('what may be out of date is not used', () => {
  it('while the feed is not live', async () => {
    const { handmade, setLive } = handmadeFeed();
    const followed = newCredentialCache({ databases, feed: handmade, tiers });
    await followed.authenticate(tokenOf(acme, 'admin'), request());
    setLive(false);
    expect(followed.authenticate(tokenOf(acme, 'admin'), request())).toBeInstanceOf(Promise);
    expect(await followed.authenticate(tokenOf(acme, 'auditor'), request())).toBeDefined();
    setLive(true);
    expect(followed.authenticate(tokenOf(acme, 'auditor'), request())).toBeInstanceOf(Promise);
  });

  it('after the feed was lost, whatever was missed', async () => {
    const own = await openFeed();
    const followed = newCredentialCache({ databases, feed: own, tiers });
    await followed.authenticate(tokenOf(acme, 'admin'), request());
    await followed.authenticate(tokenOf(globex, 'admin'), request());
    const restarted = new Promise<void>((resolve) => {
      own.subscribe(({ tenant, cell, topic }) => {
        if (tenant === null && cell === 'eu-1' && topic === 'credentials') resolve();
      });
    });
    await withClient(stores.url('eu-1'), (client) =>
      client.query(
        `select pg_terminate_backend(pid, 5000) from pg_stat_activity
          where application_name = 'tenon changes' and datname = current_database()`,
      ),
    );
    await restarted;
    expect(own.isLive({ cell: 'eu-1' })).toBe(true);
    expect(followed.authenticate(tokenOf(acme, 'admin'), request())).toBeInstanceOf(Promise);
    expect(followed.authenticate(tokenOf(globex, 'admin'), request())).not.toBeInstanceOf(Promise);
    followed.close();
    await own.close();
    expect(followed.authenticate(tokenOf(globex, 'admin'), request())).toBeInstanceOf(Promise);
  });

  it.each([
    ['of the tenant', () => ({ cell: 'eu-1', tenant: acme?.id as Id<'tnt'>, topic: 'credentials' }) as const],
    ['of her limits', () => ({ cell: 'eu-1', tenant: acme?.id as Id<'tnt'>, topic: 'limits' }) as const],
    ['of the whole cell', () => ({ cell: 'eu-1', tenant: null, topic: 'credentials' }) as const],
  ])('nor what was read while news %s came in', async (_name, news) => {
    const { tell, handmade } = handmadeFeed();
    const followed = newCredentialCache({ databases, feed: handmade, tiers });
    onRead = () => tell(news());
    await followed.authenticate(tokenOf(acme, 'admin'), request());
    onRead = () => undefined;
    expect(followed.authenticate(tokenOf(acme, 'admin'), request())).toBeInstanceOf(Promise);
  });

  it('but news of another tenant, another cell or of operations change nothing', async () => {
    const { tell, handmade } = handmadeFeed();
    const followed = newCredentialCache({ databases, feed: handmade, tiers });
    await followed.authenticate(tokenOf(acme, 'admin'), request());
    tell({ cell: 'eu-1', tenant: initech?.id as Id<'tnt'>, topic: 'credentials' });
    tell({ cell: 'us-1', tenant: null, topic: 'credentials' });
    tell({ cell: 'eu-1', tenant: null, topic: 'operations' });
    expect(followed.authenticate(tokenOf(acme, 'admin'), request())).not.toBeInstanceOf(Promise);
  });
});

async function openFeed(): Promise<ChangeFeed> {
  const { directoryUrl, cells } = stores.settingsFor('tenon_app', 'file:///nowhere');
  return openChangeFeed({ directoryUrl, cells });
}

/** A feed that is as live as the test says, and tells what the test says. */
function handmadeFeed(): {
  tell: (change: Change) => void;
  setLive: (live: boolean) => void;
  handmade: ChangeFeed;
} {
  let isLive = true;
  const listeners: ((change: Change) => void)[] = [];
  const handmade: ChangeFeed = {
    isLive: () => isLive,
    subscribe: (listener) => {
      listeners.push(listener);
      return () => undefined;
    },
    caughtUp: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  return {
    tell: (change) => listeners.forEach((listener) => listener(change)),
    setLive: (live) => void (isLive = live),
    handmade,
  };
}

function request(now = NOW) {
  return { requestId: 'req_1', ip: '203.0.113.1', ua: 'first', now };
}

async function ask(token: string, now = NOW): Promise<Authenticated> {
  return cache.authenticate(token, request(now));
}

async function isRead(token: string, now = NOW): Promise<boolean> {
  const before = reads;
  await ask(token, now);
  return reads > before;
}

async function codeOf(token: string, now = NOW): Promise<string> {
  return ask(token, now).then(
    () => 'none',
    (error: { code?: string }) => error.code ?? 'unknown',
  );
}

function tokenOf(tenant: DemoTenant | undefined, name: 'admin' | 'member' | 'auditor' | 'partner' | 'scim'): string {
  return tenant?.[name] ?? 'none';
}

/** Commits a statement in acme, and waits as a gateway does before it answers a change. */
async function commit(sql: string, values: readonly unknown[] = []): Promise<void> {
  await inAcme((tx) => tx.query(sql, values));
  await feed.caughtUp({ cell: 'eu-1' });
}

async function inAcme<T>(work: (tx: TenantTransaction) => Promise<T>): Promise<T> {
  const tenant = await systemContext(databases, acme?.id as Id<'tnt'>, { name: 'test', requestId: 'req_t' });
  return inTenant({ tenant, databases }, work);
}

async function issue(credential: Omit<NewCredential, 'name'>): Promise<{ id: string; token: string }> {
  return inAcme((tx) => issueCredential(tx, acme?.id as Id<'tnt'>, { ...credential, name: 'test' }));
}

async function userOf(name: string): Promise<Id<'usr'>> {
  const rows = await inAcme((tx) =>
    tx.query<{ id: string }>('select id from users where user_name like $1', [`${name}@%`]),
  );
  return idOf('usr', rows[0]?.id ?? '');
}
