import type { Scope } from '#schema/scopes.ts';

/** A query or mutation of the identity subgraph, the right it needs, and its variables where all ids are of one tenant. */
export interface Operation {
  readonly name: string;
  readonly document: string;
  readonly scope: Scope;
  readonly variables: (ids: KnownIds) => Record<string, unknown>;
}

/** Ids of things in one tenant. */
export interface KnownIds {
  readonly user: string;
  readonly group: string;
  /** Of a role with the right `projects:read` alone. */
  readonly role: string;
  readonly credential: string;
}

const READ = 'users:read';
const WRITE = 'users:write';
const ISSUE = 'credentials:write';

function mutation(name: string, type: string, payload: string): string {
  return `mutation ($input: ${type}!) { ${name}(input: $input) { ${payload} } }`;
}

/** Every query that takes no id. */
export const LISTS: readonly Operation[] = [
  {
    name: 'users',
    document: '{ users(first: 100) { edges { node { id userName } } } }',
    scope: READ,
    variables: () => ({}),
  },
  {
    name: 'groups',
    document: '{ groups(first: 100) { edges { node { id displayName } } } }',
    scope: READ,
    variables: () => ({}),
  },
  { name: 'roles', document: '{ roles { id name } }', scope: READ, variables: () => ({}) },
  { name: 'machineCredentials', document: '{ machineCredentials { id name } }', scope: ISSUE, variables: () => ({}) },
];

/** Every query and mutation that takes an id. */
export const BY_ID: readonly Operation[] = [
  {
    name: 'user',
    document: 'query ($id: ID!) { user(id: $id) { userName } }',
    scope: READ,
    variables: ({ user }) => ({ id: user }),
  },
  {
    name: 'group',
    document: 'query ($id: ID!) { group(id: $id) { displayName } }',
    scope: READ,
    variables: ({ group }) => ({ id: group }),
  },
  {
    name: 'deactivateUser',
    document: mutation('deactivateUser', 'UserInput', 'user { id active }'),
    scope: WRITE,
    variables: ({ user }) => ({ input: { userId: user } }),
  },
  {
    name: 'reactivateUser',
    document: mutation('reactivateUser', 'UserInput', 'user { id active }'),
    scope: WRITE,
    variables: ({ user }) => ({ input: { userId: user } }),
  },
  {
    name: 'grantRole',
    document: mutation('grantRole', 'UserRoleInput', 'user { id }'),
    scope: WRITE,
    variables: ({ user, role }) => ({ input: { userId: user, roleId: role } }),
  },
  {
    name: 'revokeRole',
    document: mutation('revokeRole', 'UserRoleInput', 'user { id }'),
    scope: WRITE,
    variables: ({ user, role }) => ({ input: { userId: user, roleId: role } }),
  },
  {
    name: 'mapGroupToRole',
    document: mutation('mapGroupToRole', 'GroupRoleInput', 'group { id }'),
    scope: WRITE,
    variables: ({ group, role }) => ({ input: { groupId: group, roleId: role } }),
  },
  {
    name: 'createApiKey',
    document: mutation('createApiKey', 'CreateApiKeyInput', 'token credential { id purpose scopes }'),
    scope: ISSUE,
    variables: ({ user }) => ({ input: { name: 'key', client: 'partner', scopes: ['projects:read'], userId: user } }),
  },
  {
    name: 'createSignInLink',
    document: mutation('createSignInLink', 'UserInput', 'url'),
    scope: ISSUE,
    variables: ({ user }) => ({ input: { userId: user } }),
  },
  {
    name: 'revokeCredential',
    document: mutation('revokeCredential', 'RevokeCredentialInput', 'credential { id }'),
    scope: ISSUE,
    variables: ({ credential }) => ({ input: { credentialId: credential } }),
  },
  {
    name: 'resetFactors',
    document: mutation('resetFactors', 'UserInput', 'user { id }'),
    scope: WRITE,
    variables: ({ user }) => ({ input: { userId: user } }),
  },
  {
    name: 'unlockSignIn',
    document: mutation('unlockSignIn', 'UserInput', 'user { id }'),
    scope: WRITE,
    variables: ({ user }) => ({ input: { userId: user } }),
  },
];

/** Every mutation that makes something new, and what is asked and said of the tenant as a whole. */
export const CREATIONS: readonly Operation[] = [
  {
    name: 'createUser',
    document: mutation('createUser', 'CreateUserInput', 'user { id userName active }'),
    scope: WRITE,
    variables: () => ({ input: { userName: 'made by hand', displayName: 'Made', email: 'made@acme.example' } }),
  },
  {
    name: 'createRole',
    document: mutation('createRole', 'CreateRoleInput', 'role { id name scopes builtIn }'),
    scope: WRITE,
    variables: () => ({ input: { name: 'reader', scopes: ['projects:read'] } }),
  },
  {
    name: 'createScimToken',
    document: mutation('createScimToken', 'CreateScimTokenInput', 'token credential { id purpose scopes }'),
    scope: ISSUE,
    variables: () => ({ input: { name: 'Okta' } }),
  },
  {
    name: 'signInPolicy',
    document: '{ signInPolicy { localMethods requireSecondFactor } }',
    scope: 'identity:read',
    variables: () => ({}),
  },
  {
    name: 'changeSignInPolicy',
    document: mutation('changeSignInPolicy', 'ChangeSignInPolicyInput', 'signInPolicy { requireSecondFactor }'),
    scope: 'identity:write',
    variables: () => ({ input: { localMethods: ['PASSKEY', 'SIGN_IN_LINK'], requireSecondFactor: false } }),
  },
];

/** Returns the operation of a name. */
export function operation(name: string): Operation {
  const found = [...LISTS, ...BY_ID, ...CREATIONS].find((known) => known.name === name);
  if (found === undefined) throw new Error(`there is no operation ${name}`);
  return found;
}
