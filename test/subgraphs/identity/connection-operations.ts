import type { Scope } from '#schema/scopes.ts';

/** Ids of things in one tenant. */
export interface ConnectionIds {
  readonly user: string;
  readonly role: string;
  readonly connection: string;
  readonly emailDomain: string;
}

/** A query or mutation about connections and e-mail domains, and its variables where all ids are of one tenant. */
export interface ConnectionOperation {
  readonly name: string;
  readonly document: string;
  readonly scope: Scope;
  readonly variables: (ids: ConnectionIds) => Record<string, unknown>;
}

const READ = 'identity:read';
const WRITE = 'identity:write';

function mutation(
  name: string,
  type: string,
  { payload, input }: { readonly payload: string; readonly input: (ids: ConnectionIds) => object },
): ConnectionOperation {
  const document = `mutation ($input: ${type}!) { ${name}(input: $input) { ${payload} } }`;
  return { name, document, scope: WRITE, variables: (ids) => ({ input: input(ids) }) };
}

function query(name: string, fields: string): ConnectionOperation {
  return { name, document: `{ ${name} { ${fields} } }`, scope: READ, variables: () => ({}) };
}

/** Every query that takes no id. */
export const CONNECTION_LISTS: readonly ConnectionOperation[] = [
  query('identityConnections', 'id name oidc { issuer }'),
  query('emailDomains', 'id domain record { value }'),
  query('breakGlassUsers', 'userId namedBy'),
];

let made = 0;

/** Every mutation that makes something of nothing. */
export const CONNECTION_CREATIONS: readonly ConnectionOperation[] = [
  mutation('createOidcConnection', 'CreateOidcConnectionInput', {
    payload: 'connection { id }',
    input: () => ({ name: `Made ${(made += 1)}`, issuer: 'https://login.example', clientId: 'x' }),
  }),
  mutation('addEmailDomain', 'AddEmailDomainInput', {
    payload: 'emailDomain { id }',
    input: () => ({ domain: `made-${(made += 1)}.example` }),
  }),
];

const onConnection = (name: string, payload = 'connection { id state }') =>
  mutation(name, 'IdentityConnectionInput', { payload, input: ({ connection }) => ({ connectionId: connection }) });

/** Every query and mutation that takes an id, in an order in which all of them can be done. */
export const CONNECTION_BY_ID: readonly ConnectionOperation[] = [
  {
    name: 'identityConnection',
    document: 'query ($id: ID!) { identityConnection(id: $id) { name } }',
    scope: READ,
    variables: ({ connection }) => ({ id: connection }),
  },
  mutation('updateOidcConnection', 'UpdateOidcConnectionInput', {
    payload: 'connection { id }',
    input: ({ connection }) => ({ connectionId: connection, jit: true }),
  }),
  onConnection('testIdentityConnection', 'ok'),
  mutation('verifyEmailDomain', 'EmailDomainInput', {
    payload: 'recordFound',
    input: ({ emailDomain }) => ({ emailDomainId: emailDomain }),
  }),
  mutation('updateEmailDomain', 'UpdateEmailDomainInput', {
    payload: 'emailDomain { id }',
    input: ({ emailDomain, connection }) => ({ emailDomainId: emailDomain, connectionId: connection }),
  }),
  mutation('addBreakGlassUser', 'UserInput', {
    payload: 'breakGlassUsers { userId }',
    input: ({ user }) => ({ userId: user }),
  }),
  mutation('removeBreakGlassUser', 'UserInput', {
    payload: 'breakGlassUsers { userId }',
    input: ({ user }) => ({ userId: user }),
  }),
  mutation('removeIdentityLink', 'RemoveIdentityLinkInput', {
    payload: 'userId',
    input: ({ user, connection }) => ({ userId: user, connectionId: connection }),
  }),
  mutation('removeEmailDomain', 'EmailDomainInput', {
    payload: 'removedEmailDomainId',
    input: ({ emailDomain }) => ({ emailDomainId: emailDomain }),
  }),
  onConnection('disableIdentityConnection'),
  onConnection('deleteIdentityConnection', 'deletedConnectionId'),
];

/** It takes every right that anybody holds beside its own; tested by itself. */
export const ACTIVATION = onConnection('activateIdentityConnection');
