import { beforeAll, describe, expect, it } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { identity } from '../../../subgraphs/identity/index.ts';
import { anonymousContext, openSession } from '../../../subgraphs/identity/sessions/session.ts';
import { addUser, ask, codeOf, isAccepted, openIdentity, type IdentityPlatform } from './identity-platform.ts';

let world: IdentityPlatform;
let userId: Id<'usr'>;
beforeAll(async () => {
  world = await openIdentity();
  userId = (await addUser(world.acme, 'tess')) as Id<'usr'>;
});

async function signIn() {
  const origin = { requestId: mintId('req'), ip: '203.0.113.9', ua: 'browser/1' };
  const ctx = await anonymousContext(world.platform, world.acme.id, origin);
  const proof = { userId, method: 'sign_in_link', amr: ['mfa'], identityProvider: null, context: {} } as const;
  return inTenant(ctx, (tx) => openSession(tx, ctx, proof));
}

describe('the sessions of a person', () => {
  it('are listed for her and for administrators, with how she signed in', async () => {
    const opened = await signIn();
    const own = world.acme.request([], {
      actor: { type: 'user', id: userId, ip: null, ua: null },
      sessionId: opened.id,
    });
    const list = '{ id method amr ip userAgent current lastUsedAt }';
    const mine = (await ask(own, `{ viewer { sessions ${list} } }`)).data as { viewer: { sessions: { id: string }[] } };
    expect(mine.viewer.sessions[0]).toEqual({
      id: opened.id,
      method: 'sign_in_link',
      amr: ['mfa'],
      ip: '203.0.113.9',
      userAgent: 'browser/1',
      current: true,
      lastUsedAt: null,
    });
    const admin = world.acme.request(['users:read', 'users:write']);
    const hers = (await ask(admin, `query ($id: ID!) { user(id: $id) { sessions ${list} } }`, { id: userId })).data;
    expect((hers as { user: { sessions: object[] } }).user.sessions[0]).toMatchObject({
      id: opened.id,
      current: false,
    });
    const reader = await ask(
      world.acme.request(['users:read']),
      'query ($id: ID!) { user(id: $id) { sessions { id } } }',
      { id: userId },
    );
    expect(codeOf(reader)).toBe('FORBIDDEN');
  });

  it('end one by one, for her alone', async () => {
    const [here, there] = [await signIn(), await signIn()];
    const own = world.acme.request([], { actor: { type: 'user', id: userId, ip: null, ua: null }, sessionId: here.id });
    const other = world.acme.request([], { sessionId: mintId('ses') });
    const foreign = world.initech.request([], { sessionId: mintId('ses') });
    const mutation = 'mutation ($id: ID) { signOut(sessionId: $id) { signedOut } }';
    expect([
      codeOf(await ask(other, mutation, { id: there.id })),
      codeOf(await ask(foreign, mutation, { id: there.id })),
    ]).toEqual(['NOT_FOUND', 'NOT_FOUND']);
    expect(await isAccepted(world, there.token)).toBe(true);
    await ask(own, mutation, { id: there.id });
    expect([await isAccepted(world, there.token), await isAccepted(world, here.token)]).toEqual([false, true]);
    await ask(own, mutation, {});
    expect(await isAccepted(world, here.token)).toBe(false);
  });

  it('of another tenant look like nothing', async () => {
    const opened = await signIn();
    const answer = await ask(
      world.initech.request(['users:write']),
      'mutation ($id: ID!) { revokeSession(input: { sessionId: $id }) { revoked } }',
      { id: opened.id },
    );
    expect(codeOf(answer)).toBe('NOT_FOUND');
    expect(await isAccepted(world, opened.token)).toBe(true);
    const rows = await world.peek('eu-1', 'select 1 from sessions where id = $1', [uuidOf('ses', opened.id)]);
    expect(rows).toHaveLength(1);
  });

  it('are among the data about her, as they are shown', async () => {
    const opened = await signIn();
    const sets = await identity.personalData?.collect(world.acme.request([]), { userId, email: null });
    const rows = sets?.find(({ store }) => store === 'identity.sessions')?.rows ?? [];
    expect(rows.at(-1)).toMatchObject({
      id: opened.id,
      method: 'sign_in_link',
      ip: '203.0.113.9',
      userAgent: 'browser/1',
    });
  });
});
