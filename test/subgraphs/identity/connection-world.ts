import { expect } from 'vitest';
import { uuidOf } from '#schema/ids.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import { withClient } from '../../support/postgres.ts';
import { ask, type IdentityPlatform, type TestTenant } from './identity-platform.ts';

/** Every right there is. */
export const ALL = Object.keys(SCOPES) as Scope[];

/** A connection as the graph shows it. */
export interface ShownConnection {
  readonly id: string;
  readonly state: string;
  readonly version: number;
  readonly oidc: {
    readonly redirectUri: string;
    readonly initiateLoginUri: string;
    readonly backchannelLogoutUri: string;
    readonly hasClientSecret: boolean;
  };
}

export const CONNECTION = `id name kind state version jit defaultRoleId groupsAttribute
  oidc { issuer clientId hasClientSecret scopes idTokenAlg tokenAuth emailClaim emailVerifiedClaim nameClaim
    authorizationParameters { name value } redirectUri initiateLoginUri backchannelLogoutUri }`;

/** Runs a mutation as an administrator of the tenant and returns its payload; an error fails the test. */
export async function mutate<T>(
  tenant: TestTenant,
  name: string,
  type: string,
  input: object,
  payload: string,
): Promise<T> {
  const answer = await ask(
    tenant.request(ALL),
    `mutation ($input: ${type}!) { ${name}(input: $input) { ${payload} } }`,
    {
      input,
    },
  );
  expect(answer.errors).toBeUndefined();
  return (answer.data as Record<string, T>)[name] as T;
}

/** Makes a draft of a connection. */
export async function makeConnection(tenant: TestTenant, input: object): Promise<ShownConnection> {
  const made = await mutate<{ connection: ShownConnection }>(
    tenant,
    'createOidcConnection',
    'CreateOidcConnectionInput',
    input,
    `connection { ${CONNECTION} }`,
  );
  return made.connection;
}

/** Activates a connection. */
export async function activate(tenant: TestTenant, connectionId: string): Promise<void> {
  await mutate(
    tenant,
    'activateIdentityConnection',
    'IdentityConnectionInput',
    { connectionId },
    'connection { state }',
  );
}

/** Makes the tenant the one that has proven a domain. */
export async function ownDomain(world: IdentityPlatform, tenant: TestTenant, domain: string): Promise<void> {
  await withClient(world.stores.url('directory'), (client) =>
    client.query('insert into app.email_domains (domain, tenant_id) values ($1, $2)', [
      domain,
      uuidOf('tnt', tenant.id),
    ]),
  );
}

/** Returns the reasons of the tenant's refused sign-ins, oldest first. */
export async function refusals(tenant: TestTenant): Promise<unknown[]> {
  return (await tenant.events())
    .filter(({ action }) => action === 'sign_in.refuse')
    .map(({ context }) => context['reason']);
}
