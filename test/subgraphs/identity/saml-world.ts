import { inflateRawSync } from 'node:zlib';
import { BUILT_IN_ROLES } from '#schema/scopes.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { activateConnection } from '../../../subgraphs/identity/connections/service.ts';
import type { CreateSamlConnectionInput } from '../../../subgraphs/identity/saml/inputs.ts';
import { createSamlConnection } from '../../../subgraphs/identity/saml/service.ts';
import { shownSettings } from '../../../subgraphs/identity/saml/shown-settings.ts';
import { withClient } from '../../support/postgres.ts';
import { addUser, openIdentity, type IdentityPlatform, type TestTenant } from './identity-platform.ts';
import { newIdp, type IdpChange, type Said, type TestIdp } from './saml-identity-provider.ts';

/** A connection over SAML of a tenant, and a browser that signs in over it. */
export interface SamlConnection {
  readonly tenant: TestTenant;
  readonly id: Id<'con'>;
  readonly idp: TestIdp;
  readonly entityId: string;
  readonly acsUrl: string;
  /** Our certificate, for which assertions are encrypted. */
  readonly certificate: string;
  /** Starts a sign-in; the browser keeps the cookie. */
  begin(query?: string): Promise<Begun>;
  /** Returns what a right response to the request says; without a request, one that nobody asked for. */
  said(begun: Begun | null, change?: Partial<Said>): Said;
  /** Posts a document as a browser would. */
  post(begun: Begun | null, document: string): Promise<Answer>;
  /** Posts a text as SAMLResponse. */
  postRaw(begun: Begun | null, message: string): Promise<Answer>;
}

/** A sign-in that was started. */
export interface Begun {
  readonly requestId: string;
  readonly cookie: string;
  readonly location: URL;
  /** The XML of the request. */
  readonly request: string;
}

/** What the browser was answered. */
export interface Answer {
  readonly status: number;
  readonly body: { readonly token?: string; readonly code?: string; readonly user?: { readonly id: string } };
}

/** The parts of the platform that sign-in over SAML needs; acme has proven its domain and knows bob. */
export interface SamlWorld extends IdentityPlatform {
  readonly bob: Id<'usr'>;
  connect(tenant: TestTenant, idp: TestIdp, input?: Partial<CreateSamlConnectionInput>): Promise<SamlConnection>;
  prove(tenant: TestTenant, domain: string): Promise<void>;
}

/** Who signs in in these tests. */
export const BOB = 'bob@acme.example';

let serial = 0;

/** Opens it; everything is closed when the test file ends. */
export async function openSamlWorld(): Promise<SamlWorld> {
  const world = await openIdentity();
  const prove: SamlWorld['prove'] = async (tenant, domain) => {
    await withClient(world.stores.url('directory'), (client) =>
      client.query('insert into app.email_domains (domain, tenant_id) values ($1, $2)', [
        domain,
        uuidOf('tnt', tenant.id),
      ]),
    );
  };
  await prove(world.acme, 'acme.example');
  const bob = await addUser(world.acme, BOB);
  return {
    ...world,
    bob: bob as Id<'usr'>,
    prove,
    connect: (tenant, idp, input) => connect(world, tenant, { idp, ...input }),
  };
}

/** Returns a request of somebody who holds every right of an administrator. */
export function adminOf(tenant: TestTenant): ReturnType<TestTenant['request']> {
  return tenant.request(BUILT_IN_ROLES.admin);
}

/**
 * Returns why the sign-in that was tried last was refused, as the audit log has it: the rule of SAML, or the reason; null
 * where it was not, or where something else was written since it began.
 */
export async function lastRefusal(tenant: TestTenant): Promise<string | null> {
  const event = (await tenant.events()).at(-1);
  const { reason, rule } = (event?.action === 'sign_in.refuse' ? event.context : {}) as {
    reason?: string;
    rule?: string;
  };
  return rule ?? reason ?? null;
}

async function connect(
  world: IdentityPlatform,
  tenant: TestTenant,
  { idp, ...input }: { idp: TestIdp } & Partial<CreateSamlConnectionInput>,
): Promise<SamlConnection> {
  const ctx = adminOf(tenant);
  const made = await createSamlConnection(ctx, {
    name: `idp ${(serial += 1)}`,
    entityId: idp.entityId,
    ssoUrl: 'https://idp.example/sso',
    certificates: [idp.certificate],
    ...input,
  });
  await activateConnection(ctx, made.id);
  const { entityId, acsUrl, certificates } = shownSettings(ctx, made).serviceProvider;
  const base = `/sso/saml/${tenant.id}/${made.id}`;
  const postRaw: SamlConnection['postRaw'] = async (begun, message) => {
    const response = await world.fetch(null, `${base}/acs`, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        ...(begun === null ? {} : { cookie: begun.cookie }),
      },
      body: new URLSearchParams({ SAMLResponse: message, RelayState: 'x' }).toString(),
    });
    return { status: response.status, body: (await response.json()) as Answer['body'] };
  };
  return {
    tenant,
    id: made.id,
    idp,
    entityId,
    acsUrl,
    certificate: certificates[0] ?? '',
    begin: async (query = '') => begunOf(await world.fetch(null, `${base}/start${query}`, { redirect: 'manual' })),
    said: (begun, change = {}) => ({
      issuer: idp.entityId,
      responseIssuer: idp.entityId,
      audience: entityId,
      recipient: acsUrl,
      destination: acsUrl,
      inResponseTo: begun?.requestId ?? null,
      now: world.platform.clock(),
      responseId: `_r${(serial += 1)}`,
      assertionId: `_a${(serial += 1)}`,
      nameId: BOB,
      nameIdFormat: 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',
      attributes: { email: [BOB], displayName: ['Bob'] },
      ...change,
    }),
    post: (begun, document) => postRaw(begun, Buffer.from(document).toString('base64')),
    postRaw,
  };
}

function begunOf(response: Response): Begun {
  const location = new URL(response.headers.get('location') ?? '');
  const request = inflateRawSync(Buffer.from(location.searchParams.get('SAMLRequest') ?? '', 'base64')).toString();
  return {
    requestId: / ID="([^"]+)"/.exec(request)?.[1] ?? '',
    cookie: (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '',
    location,
    request,
  };
}

/** Makes an identity provider at the time of the world. */
export function idpOf(world: IdentityPlatform, change?: IdpChange): TestIdp {
  return newIdp(world.platform.clock(), change);
}
