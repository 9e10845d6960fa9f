import { describe, expect, it } from 'vitest';
import { ConnectionKind, ConnectionState, IdentityConnection } from '../../../subgraphs/identity/connections/model.ts';
import { assertedPerson, isIncomplete, type Claims } from '../../../subgraphs/identity/oidc/claims.ts';
import { checkOidcSettings, type OidcSettings } from '../../../subgraphs/identity/oidc/settings.ts';

const connection = (groupsAttribute: string | null) =>
  Object.assign(new IdentityConnection(), {
    kind: ConnectionKind.OIDC,
    state: ConnectionState.ACTIVE,
    groupsAttribute,
  });
const settings = (change: Partial<OidcSettings> = {}) =>
  checkOidcSettings({ issuer: 'https://login.example', clientId: 'x', ...change });
const personOf = (idToken: Claims, change: Partial<OidcSettings> = {}, groups: string | null = null) =>
  assertedPerson(connection(groups), settings(change), { idToken: { sub: 's', ...idToken }, userinfo: null });

describe('the claims of a person', () => {
  it.each([
    [{ email_verified: true }, true],
    [{ email_verified: 'true' }, true],
    [{ email_verified: 1 }, true],
    [{ email_verified: '1' }, true],
    [{ email_verified: false }, false],
    [{ email_verified: 'false' }, false],
    [{ email_verified: 'yes' }, false],
    [{ email_verified: {} }, false],
    [{}, false],
  ])('%j say that an address is verified: %s', (claims, verified) => {
    expect(personOf({ email: 'a@b.example', ...claims }).emailVerified).toBe(verified);
  });

  it('are found by the names that are set, with dots in them or as a path', () => {
    const namespaced = 'https://acme.example/groups';
    expect(personOf({ [namespaced]: ['A'] }, {}, namespaced).groups).toEqual(['A']);
    expect(personOf({ realm_access: { roles: ['B'] } }, {}, 'realm_access.roles').groups).toEqual(['B']);
    const entra = personOf({ email: 'a@b.example', xms_edov: true }, { emailVerifiedClaim: 'xms_edov' });
    expect([entra.email, entra.emailVerified]).toEqual(['a@b.example', true]);
    expect(personOf({ upn: 'a@b.example' }, { emailClaim: 'upn' }).email).toBe('a@b.example');
    for (const name of ['__proto__', 'constructor.name', '__proto__.constructor', 'sub.length'])
      expect(personOf({}, {}, name).groups).toBeNull();
  });

  it.each([
    [
      ['A', 'B'],
      ['A', 'B'],
    ],
    [
      ['A', 7, null, 'B'],
      ['A', 'B'],
    ],
    ['A', ['A']],
    [{ admin: { org: 'x' }, user: {} }, ['admin', 'user']],
    [[], []],
    [undefined, null],
    [7, null],
    [null, null],
  ])('say of groups with %j: %j', (claim, groups) => {
    expect(personOf({ groups: claim }, {}, 'groups').groups).toEqual(groups);
  });

  it('are asked for where the ID token has not all of them, and only then', () => {
    const all = { email: 'a@b.example', email_verified: true, name: 'A' };
    expect(isIncomplete(connection(null), settings(), all)).toBe(false);
    expect(isIncomplete(connection('groups'), settings(), all)).toBe(true);
    for (const name of Object.keys(all))
      expect(isIncomplete(connection(null), settings(), { ...all, [name]: undefined })).toBe(true);
  });
});
