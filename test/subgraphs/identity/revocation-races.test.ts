import pg from 'pg';
import { beforeAll, describe, expect, it } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { signOutEverywhere } from '../../../subgraphs/identity/revocation/deactivation.ts';
import { addUser, ask, isAccepted, openIdentity, patch, type IdentityPlatform } from './identity-platform.ts';

const ROUNDS = 8;

let world: IdentityPlatform;
beforeAll(async () => {
  world = await openIdentity();
});

const CREATE_KEY = `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { token } }`;
const set = (id: string, active: boolean) =>
  world.acme.scim('PATCH', `/Users/${id}`, patch({ op: 'replace', path: 'active', value: active }));

describe('a deactivation leaves nothing alive that comes at the same moment', () => {
  it('as a refresh of tokens', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const userId = await addUser(world.acme, `refreshing ${round}`);
      const session = await world.acme.issue({ kind: 'session', userId });
      const first = await token({ grant_type: 'session', session_token: session });
      const [refreshed, off] = await Promise.all([
        token({ grant_type: 'refresh_token', refresh_token: first.refresh_token ?? '' }),
        set(userId, false),
      ]);
      expect(off.status).toBe(200);
      for (const each of [session, first.access_token, refreshed.access_token])
        if (each !== undefined) expect(await isAccepted(world, each)).toBe(false);
      const again = await token({ grant_type: 'refresh_token', refresh_token: refreshed.refresh_token ?? 'none' });
      expect(again.access_token).toBeUndefined();
    }
  });

  it('as an exchange of her session for tokens', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const userId = await addUser(world.acme, `exchanging ${round}`);
      const session = await world.acme.issue({ kind: 'session', userId });
      const [pair] = await Promise.all([token({ grant_type: 'session', session_token: session }), set(userId, false)]);
      if (pair.access_token !== undefined) expect(await isAccepted(world, pair.access_token)).toBe(false);
    }
  });

  it('as a new key of hers', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const userId = await addUser(world.acme, `keyed ${round}`);
      const admin = world.acme.request(['credentials:write', 'users:read']);
      const input = { name: 'k', client: 'partner', scopes: ['users:read'], userId };
      const [made] = await Promise.all([ask(admin, CREATE_KEY, { input }), set(userId, false)]);
      const { createApiKey: key } = (made.data ?? {}) as { createApiKey?: { token: string } | null };
      if (key != null) expect(await isAccepted(world, key.token)).toBe(false);
    }
  });

  it('as her return: what she had before stays dead, whoever is last', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const userId = await addUser(world.acme, `returning ${round}`);
      const before = [
        await world.acme.issue({ kind: 'session', userId }),
        await world.acme.issue({ kind: 'api_key', userId, scopes: ['users:read'] }),
      ];
      const answers = await Promise.all([set(userId, false), set(userId, true), set(userId, false), set(userId, true)]);
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      for (const each of before) expect(await isAccepted(world, each)).toBe(false);
    }
  });
});

describe('who is signed out everywhere', () => {
  it('loses all that she holds and has begun, and comes in again', async () => {
    const userId = (await addUser(world.acme, 'signed out')) as Id<'usr'>;
    const held = [
      await world.acme.issue({ kind: 'session', userId }),
      await world.acme.issue({ kind: 'api_key', userId, scopes: ['users:read'] }),
    ];
    const pair = await token({ grant_type: 'session', session_token: held[0] ?? '' });
    const ctx = world.acme.request([]);
    const end = () => inTenant(ctx, (tx) => signOutEverywhere(tx, uuidOf('usr', userId), ctx.clock()));
    expect(await end()).toEqual({ sessions: 1, apiKeys: 1 });
    for (const each of [...held, pair.access_token ?? '']) expect(await isAccepted(world, each)).toBe(false);
    expect(await leftOf(userId)).toEqual({ refresh: '0', codes: '0', begun: '0' });
    expect(await isAccepted(world, await world.acme.issue({ kind: 'session', userId }))).toBe(true);
    await set(userId, false);
    expect(await end()).toBeNull();
  });
});

describe('the record of a revocation', () => {
  const REVOCATIONS =
    '{ revocations(first: 100) { edges { node { subjectType subjectId reason gateways enforcedAt } } } }';
  const records = async (tenant: 'acme' | 'initech' | 'globex' = 'acme') => {
    const { data, errors } = await ask(world[tenant].request(['audit:read']), REVOCATIONS);
    expect(errors).toBeUndefined();
    return (data as { revocations: { edges: { node: Record<string, unknown> }[] } }).revocations.edges.map(
      ({ node }) => node,
    );
  };

  it('is written with whatever ends an access, once, and for nobody who had none', async () => {
    const [leaver, deleted, idle] = [
      await addUser(world.acme, 'leaver'),
      await addUser(world.acme, 'deleted'),
      await addUser(world.acme, 'idle', { active: false }),
    ];
    await world.acme.issue({ kind: 'api_key', userId: leaver, scopes: ['users:read'] });
    const before = (await records()).length;
    await set(leaver, false);
    await world.acme.scim('DELETE', `/Users/${deleted}`);
    await world.acme.scim('DELETE', `/Users/${idle}`);
    await set(leaver, false);
    const made = await ask(world.acme.request(['credentials:write']), CREATE_SCIM, { input: { name: 'x' } });
    const credentialId = (made.data as { createScimToken: { credential: { id: string } } }).createScimToken.credential
      .id;
    await ask(world.acme.request(['credentials:write']), REVOKE, { input: { credentialId } });
    const all = await records();
    const open = { gateways: 0, enforcedAt: null };
    expect(all.slice(0, all.length - before).toReversed()).toEqual([
      { subjectType: 'USER', subjectId: leaver, reason: 'DEACTIVATED', ...open },
      { subjectType: 'USER', subjectId: deleted, reason: 'DELETED', ...open },
      { subjectType: 'SCIM_TOKEN', subjectId: credentialId, reason: 'REVOKED', ...open },
    ]);
  });

  it('is of one tenant, whose others do not learn of it', async () => {
    const id = await addUser(world.acme, 'seen by acme alone');
    await set(id, false);
    expect((await records()).map(({ subjectId }) => subjectId)).toContain(id);
    expect(await records('initech')).toEqual([]);
    expect(await records('globex')).toEqual([]);
  });

  it('is shown to whoever may read the audit log, and to nobody else', async () => {
    const refused = await ask(world.acme.request(['users:read', 'users:write']), REVOCATIONS);
    expect(refused.errors?.[0]?.extensions?.['code']).toBe('FORBIDDEN');
  });

  it('is not written where the deactivation fails', async () => {
    const id = await addUser(world.acme, 'kept');
    const before = (await records()).length;
    const ctx = world.acme.request([]);
    const work = inTenant(ctx, async (tx) => {
      await tx.query('update users set active = false, epoch = epoch + 1 where id = $1', [uuidOf('usr', id)]);
      throw new Error('changed my mind');
    });
    await expect(work).rejects.toThrow('changed my mind');
    expect((await records()).length).toBe(before);
  });
});

describe('announced changes', () => {
  it('are counted in the order of their commits and without a gap, whoever changes her mind', async () => {
    const users = await Promise.all(
      Array.from({ length: 6 }, async (_, index) => uuidOf('usr', await addUser(world.acme, `counted ${index}`))),
    );
    const { heard, before, after } = await listening(async () => {
      await Promise.all(
        users.map(async (_, start) => {
          for (let round = 0; round < 10; round++) await change(users, start + round, round % 3 === 2);
        }),
      );
    });
    expect(heard).toEqual(Array.from({ length: after - before }, (_, index) => before + index + 1));
    expect(heard.length).toBeGreaterThan(users.length * 6);
  });

  it('cannot be counted back or over', async () => {
    const ctx = world.acme.request([]);
    for (const text of ['sequence = 0', 'sequence = sequence + 2', 'sequence = sequence']) {
      const work = inTenant(ctx, (tx) => tx.query(`update tenon.change_counter set ${text}`));
      await expect(work).rejects.toThrow('one by one');
    }
  });

  /** Two people in any order, so that transactions meet. */
  async function change(users: readonly string[], index: number, isUndone: boolean): Promise<void> {
    const ctx = world.acme.request([]);
    const ids = [index, index * 5 + 1]
      .map((number) => users[number % users.length] ?? '')
      .toSorted((one, other) => (one < other ? -1 : 1));
    const work = inTenant(ctx, async (tx) => {
      for (const id of ids) await tx.query('update users set epoch = epoch + 1 where id = $1', [id]);
      if (isUndone) throw new Error('changed my mind');
    });
    await work.catch((error: Error) => expect(error.message).toBe('changed my mind'));
  }

  async function listening(work: () => Promise<void>): Promise<{ heard: number[]; before: number; after: number }> {
    const client = new pg.Client({ connectionString: world.stores.url('eu-1') });
    const heard: number[] = [];
    client.on('notification', ({ payload = '' }) => heard.push(Number(payload.split(' ')[2])));
    await client.connect();
    try {
      await client.query('listen tenon_changes');
      const count = async () =>
        Number((await client.query('select sequence from tenon.change_counter')).rows[0]?.sequence);
      const before = await count();
      await work();
      return { before, after: await count(), heard };
    } finally {
      await client.end();
    }
  }
});

const CREATE_SCIM = 'mutation ($input: CreateScimTokenInput!) { createScimToken(input: $input) { credential { id } } }';
const REVOKE = 'mutation ($input: RevokeCredentialInput!) { revokeCredential(input: $input) { credential { id } } }';

interface Pair {
  readonly access_token?: string;
  readonly refresh_token?: string;
}

async function token(form: Record<string, string>): Promise<Pair> {
  const response = await world.fetch(null, '/sso/token', { method: 'POST', body: new URLSearchParams(form) });
  return (await response.json()) as Pair;
}

async function leftOf(userId: Id<'usr'>): Promise<Record<string, string> | undefined> {
  const hers = 'select id from credentials where user_id = $1';
  const [row] = await world.peek<Record<string, string>>(
    'eu-1',
    `select (select count(*) from refresh_tokens where session_id in (${hers})) as refresh,
            (select count(*) from authorization_codes where session_id in (${hers})) as codes,
            (select count(*) from pending_sign_ins where user_id = $1) as begun`,
    [uuidOf('usr', userId)],
  );
  return row;
}
