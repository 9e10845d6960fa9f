import { expect } from 'vitest';
import { requestLogSettled } from '../../../subgraphs/identity/scim/request-log.ts';
import type { Scope } from '#schema/scopes.ts';
import { ask, USER_URN, type ScimRequest, type TestTenant } from './identity-platform.ts';

/** The rights of an administrator who connects an identity provider. */
export const ADMIN: readonly Scope[] = [
  'identity:read',
  'identity:write',
  'credentials:write',
  'users:read',
  'users:write',
];

/** A connection of a tenant, and requests with a token of it. */
export interface TestConnection {
  readonly id: string;
  readonly tokenId: string;
  readonly token: string;
  readonly scim: ScimRequest;
}

/** A request as the log of its connection shows it. */
export interface LoggedRequest {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly resourceId: string | null;
  readonly status: number;
  readonly scimType: string | null;
  readonly reason: string | null;
  readonly durationMs: number;
  readonly actions: readonly string[];
  readonly changedAttributes: readonly string[];
  readonly rewrites: readonly { readonly name: string }[];
  readonly requestId: string;
  readonly tokenId: string;
}

/** An operation of the graph. */
export const ISSUE =
  'mutation ($input: CreateScimTokenInput!) { createScimToken(input: $input) { token credential { id } } }';
/** An operation of the graph. */
export const ROTATE =
  'mutation ($input: RotateScimTokenInput!) { rotateScimToken(input: $input) { token credential { id } } }';
/** An operation of the graph. */
export const REVOKE =
  'mutation ($input: RevokeCredentialInput!) { revokeCredential(input: $input) { credential { id } } }';
/** An operation of the graph. */
export const UPDATE = `mutation ($input: UpdateScimConnectionInput!) {
  updateScimConnection(input: $input) { connection { id name profile state manages } } }`;
/** An operation of the graph. */
export const DELETE =
  'mutation ($input: DeleteScimConnectionInput!) { deleteScimConnection(input: $input) { deletedConnectionId } }';
/** An operation of the graph. */
export const SHOW =
  'query ($id: ID!) { scimConnection(id: $id) { id name profile isDefault tokens { id lastUsedAt expiresAt } } }';
/** An operation of the graph. */
export const LIST = '{ scimConnections { id name profile isDefault } }';
/** An operation of the graph. */
export const UPDATE_USER = `mutation ($input: UpdateUserInput!) {
  updateUser(input: $input) { user { id userName displayName email attributeOwners { attributes writer connectionId } } } }`;
/** An operation of the graph. */
export const END = 'mutation ($input: UserInput!) { deactivateUser(input: $input) { user { active } } }';
/** An operation of the graph. */
export const RESTORE = 'mutation ($input: UserInput!) { reactivateUser(input: $input) { user { active } } }';
/** An operation of the graph. */
export const HISTORY = `query ($id: ID!) { user(id: $id) { accessHistory { action connectionId enforcedAt request { rewrites { name } } } } }`;
/** An operation of the graph. */
export const PREVIEW = `query ($group: ID!, $role: ID!) { previewGroupRole(groupId: $group, roleId: $role) {
  isMapped memberCount gainingCount gaining { user { id } scopes } losingCount losing { user { id } scopes } } }`;
/** An operation of the graph. */
export const MAP = 'mutation ($input: GroupRoleInput!) { mapGroupToRole(input: $input) { group { id } } }';
/** An operation of the graph. */
export const UNMAP = 'mutation ($input: GroupRoleInput!) { unmapGroupFromRole(input: $input) { group { id } } }';
/** An operation of the graph. */
export const ROLE = 'mutation ($input: CreateRoleInput!) { createRole(input: $input) { role { id } } }';

const CREATE = `mutation ($input: CreateScimConnectionInput!) {
  createScimConnection(input: $input) { connection { id } } }`;
const REQUESTS = `query ($id: ID!, $first: Int!, $filter: ScimRequestFilter!) {
  scimConnection(id: $id) { requests(first: $first, filter: $filter) { edges { node {
    id method path resourceId status scimType reason durationMs actions changedAttributes rewrites { name } requestId tokenId } } } } }`;

/** Runs an operation as an administrator and returns its data; an error fails the test. */
export async function run(
  tenant: TestTenant,
  document: string,
  variables: Record<string, unknown> = {},
): Promise<Record<string, unknown>> {
  const { data, errors } = await ask(tenant.request(ADMIN), document, variables);
  expect(errors?.map(({ message }) => message)).toBeUndefined();
  return data as Record<string, unknown>;
}

/** Makes a connection with a token. */
export async function connect(
  tenant: TestTenant,
  input: { readonly profile: string; readonly name?: string; readonly manages?: readonly string[] },
): Promise<TestConnection> {
  const { profile, name = profile, manages } = input;
  const groups = manages && { manages: manages.map((group) => group.toUpperCase()) };
  const made = await run(tenant, CREATE, { input: { name, profile: profile.toUpperCase(), ...groups } });
  const { connection } = made['createScimConnection'] as { connection: { id: string } };
  const { token, credential } = await issueToken(tenant, connection.id);
  return { id: connection.id, token, tokenId: credential.id, scim: tenant.scimAs({ token }) };
}

/** Issues one more token of a connection. */
export async function issueToken(
  tenant: TestTenant,
  connectionId: string,
): Promise<{ token: string; credential: { id: string } }> {
  const issued = await run(tenant, ISSUE, { input: { name: 'token', connectionId } });
  return issued['createScimToken'] as { token: string; credential: { id: string } };
}

/** Returns what the log of a connection holds, newest first. */
export async function logOf(tenant: TestTenant, connectionId: string, filter: object = {}): Promise<LoggedRequest[]> {
  await requestLogSettled();
  const data = await run(tenant, REQUESTS, { id: connectionId, first: 100, filter });
  const { requests } = data['scimConnection'] as { requests: { edges: readonly { node: LoggedRequest }[] } };
  return requests.edges.map(({ node }) => node);
}

/** Makes a person who has an address at work and one at home. */
export async function addPerson({ scim }: TestConnection, userName: string): Promise<string> {
  const emails = [
    { value: 'old@acme.example', type: 'work', primary: true },
    { value: 'home@acme.example', type: 'home' },
  ];
  const { status, body } = await scim('POST', '/Users', { schemas: [USER_URN], userName, displayName: 'Lee', emails });
  expect(status).toBe(201);
  return body.id;
}
