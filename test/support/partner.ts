import { apolloManifest, OPERATION_MUTATIONS } from '../subgraphs/tenants/operations-fixture.ts';
import type { GraphqlAnswer, House } from './house.ts';

type TenantName = 'acme' | 'globex' | 'initech';

/** Documents that a client of a tenant may run from now on; `more` is added to each entry of the manifest. */
export interface Approved {
  readonly client: string;
  readonly bodies: readonly string[];
  readonly more?: object;
}

/** Registers and approves operations for a client as the tenant's administrator. */
export async function letRun(house: House, tenant: TenantName, { client, bodies, more = {} }: Approved): Promise<void> {
  const { admin } = house[tenant];
  const manifest = apolloManifest(bodies, more);
  const registered = whole(
    await house.graphql(admin, OPERATION_MUTATIONS.registerOperations, { input: { client, manifest } }),
  ) as { registerOperations: { manifestFingerprint: string } };
  const input = { manifest: registered.registerOperations.manifestFingerprint };
  whole(await house.graphql(admin, OPERATION_MUTATIONS.approveOperations, { input }));
}

const CREATE_KEY = 'mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { token } }';

/** Issues an API key for a client of a tenant. */
export async function partnerKey(
  house: House,
  tenant: TenantName,
  { client, scopes }: { readonly client: string; readonly scopes: readonly string[] },
): Promise<string> {
  const input = { name: client, client, scopes };
  const data = whole(await house.graphql(house[tenant].admin, CREATE_KEY, { input }));
  return (data as { createApiKey: { token: string } }).createApiKey.token;
}

function whole({ data, errors }: GraphqlAnswer): unknown {
  if (errors !== undefined) throw new Error(`refused: ${JSON.stringify(errors)}`);
  return data;
}
