import { beforeAll, describe, expect, it } from 'vitest';
import type { PersonalDataSet } from '#kit/personal-data.ts';
import { canonicalJson } from '#schema/canonical-json.ts';
import { mintId } from '#schema/ids.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import { identity } from '../../../subgraphs/identity/index.ts';
import {
  addGroup,
  addUser,
  ask,
  ENTERPRISE_URN,
  openIdentity,
  patch,
  type IdentityPlatform,
} from './identity-platform.ts';
import { operation } from './operations.ts';

let world: IdentityPlatform;
let userId: string;
const ALL = Object.keys(SCOPES) as Scope[];
const tokens: string[] = [];

beforeAll(async () => {
  world = await openIdentity();
  userId = await addUser(world.acme, 'grace', {
    displayName: 'Grace Hopper',
    emails: [{ value: 'grace@acme.example', primary: true }],
    [ENTERPRISE_URN]: { department: 'Compilers' },
  });
  await addUser(world.acme, 'other', { displayName: 'Somebody Else' });
  await addGroup(world.acme, 'Engineers', [userId]);
  const { data } = await ask(world.acme.request(ALL), '{ roles { id name } }');
  const member = (data as { roles: { id: string; name: string }[] }).roles.find(({ name }) => name === 'member');
  await ask(world.acme.request(ALL), operation('grantRole').document, { input: { userId, roleId: member?.id } });
  tokens.push(
    await world.acme.issue({ kind: 'session', userId }),
    await world.acme.issue({ kind: 'api_key', userId, name: 'her key', scopes: ['projects:read'] }),
  );
});

const collect = async (tenant: 'acme' | 'initech', id: string): Promise<Record<string, PersonalDataSet['rows']>> => {
  const sets = await identity.personalData?.collect(world[tenant].request(ALL), { userId: id, email: null });
  return Object.fromEntries((sets ?? []).map(({ store, rows }) => [store, rows]));
};

describe('what identity holds of a person', () => {
  it('is her account with every attribute, her groups, roles, sessions and keys, and no secret', async () => {
    const stores = await collect('acme', userId);
    expect(stores).toMatchObject({
      'identity.users': [
        {
          id: userId,
          userName: 'grace',
          displayName: 'Grace Hopper',
          email: 'grace@acme.example',
          active: true,
          attributes: { [ENTERPRISE_URN]: { department: 'Compilers' } },
        },
      ],
      'identity.groupMemberships': [{ group: expect.stringMatching(/^grp_/), displayName: 'Engineers' }],
      'identity.roleGrants': [{ role: expect.stringMatching(/^rol_/), name: 'member' }],
      'identity.sessions': [{ id: expect.stringMatching(/^ses_/), purpose: 'session', revokedAt: null }],
      'identity.credentials': [
        { id: expect.stringMatching(/^key_/), purpose: 'api_key', name: 'her key', scopes: ['projects:read'] },
      ],
    });
    const text = canonicalJson(stores);
    for (const token of tokens) expect(text).not.toContain(token.slice(-43));
    expect(text).not.toMatch(/hash|Somebody Else/);
  });

  it('is there after her deactivation too, with the end of what she had', async () => {
    await world.acme.scim('PATCH', `/Users/${userId}`, patch({ op: 'replace', path: 'active', value: false }));
    const stores = await collect('acme', userId);
    expect(stores).toMatchObject({
      'identity.users': [{ active: false }],
      'identity.sessions': [{ revokedAt: expect.stringMatching(/Z$/) }],
    });
  });

  it.each([
    ['an unknown id', 'acme', () => mintId('usr')],
    ["another tenant's id", 'initech', () => userId],
    ['a text that is no id', 'acme', () => 'nobody'],
  ] as [string, 'acme' | 'initech', () => string][])('is nothing for %s', async (_name, tenant, id) => {
    const stores = await collect(tenant, id());
    expect(Object.keys(stores)).toEqual(Object.keys(await collect('acme', userId)));
    expect(Object.values(stores).flat()).toEqual([]);
  });
});
