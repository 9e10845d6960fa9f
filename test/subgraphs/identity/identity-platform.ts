import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'graphql';
import { afterAll, expect } from 'vitest';
import { authenticate, issueCredential, type NewCredential } from '#kit/credential.ts';
import { inTenant, openDatabases, type Databases } from '#kit/database.ts';
import { listen, newHttpServer } from '#kit/http-server.ts';
import { mountRoutes } from '#kit/mount-routes.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { executeSubgraph, type SubgraphResult } from '#kit/subgraph-execution.ts';
import type { AuditEvent } from '#schema/audit-event.ts';
import { readConfig } from '#schema/config.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import type { Scope } from '#schema/scopes.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { identity } from '../../../subgraphs/identity/index.ts';
import { tenants } from '../../../subgraphs/tenants/index.ts';
import { systemOrigin } from '../../../subgraphs/tenants/operator.ts';
import { provisionTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../../support/databases.ts';
import { withClient } from '../../support/postgres.ts';
import { opened } from '../../support/outbox.ts';

/** The identity subgraph behind its REST doors and its graph, over real stores of the calling test file's own. */
export interface IdentityPlatform {
  readonly platform: Platform;
  readonly url: string;
  readonly stores: TestStores;
  /** Of cell eu-1. */
  readonly acme: TestTenant;
  /** Of the same cell. */
  readonly initech: TestTenant;
  /** Of cell us-1. */
  readonly globex: TestTenant;
  /** Moves the clock. */
  setNow(time: Date): void;
  /** Sends any request, with a bearer token or none. */
  fetch(token: string | null, path: string, init?: RequestInit): Promise<Response>;
  /** Reads and writes as superuser, whom no row-level security binds. */
  peek<Row extends object>(cell: 'eu-1' | 'us-1', text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** A tenant with a SCIM token of her identity provider. */
export interface TestTenant {
  readonly id: Id<'tnt'>;
  readonly cell: 'eu-1' | 'us-1';
  readonly adminId: Id<'usr'>;
  /** The one-time link of her first administrator. */
  readonly adminSignInUrl: string;
  readonly scimToken: string;
  /** Returns a request of a user with these rights. */
  request(scopes: readonly Scope[], change?: Partial<TenantContext>): RequestContext;
  /** Issues a credential and returns its token. */
  issue(credential: Pick<NewCredential, 'kind' | 'userId'> & Partial<NewCredential>): Promise<string>;
  /** Sends a SCIM request with the tenant's token. */
  readonly scim: ScimRequest;
  /** Returns the same with another token, with none, or with headers of a certain client. */
  scimAs(sender: ScimSender): ScimRequest;
  /** Returns the audit events that she has written, oldest first. */
  events(): Promise<AuditEvent[]>;
}

/** Sends a SCIM request; a body that is no text goes as JSON. */
export type ScimRequest = (method: string, path: string, body?: unknown) => Promise<ScimAnswer>;

/** Who sends a SCIM request; what is left out is the tenant's own. */
interface ScimSender {
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A SCIM answer as a client sees it. */
export interface ScimAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The body as it came; empty where there was none. */
  readonly text: string;
  /** The body as JSON; without a member where there was none. */
  readonly body: ScimBody;
}

/** What bodies hold: a resource, a list or an error. A test reads what the body in question has. */
export interface ScimBody {
  readonly schemas: string[];
  readonly id: string;
  readonly externalId: string;
  readonly userName: string;
  readonly displayName: string;
  readonly name: { readonly givenName: string; readonly familyName: string };
  readonly active: boolean;
  readonly emails: readonly ScimElement[];
  readonly phoneNumbers: readonly ScimElement[];
  readonly groups: readonly ScimElement[];
  readonly members: readonly ScimElement[];
  readonly meta: {
    readonly resourceType: string;
    readonly created: string;
    readonly lastModified: string;
    readonly location: string;
    readonly version: string;
  };
  readonly totalResults: number;
  readonly startIndex: number;
  readonly itemsPerPage: number;
  readonly nextCursor?: string;
  readonly previousCursor?: string;
  readonly Resources: readonly ScimBody[];
  readonly status: string;
  readonly scimType: string;
  readonly detail: string;
  readonly [name: string]: unknown;
}

interface ScimElement {
  readonly value: string;
  readonly display: string;
  readonly type: string;
  readonly primary: boolean;
}

/** Opens it; everything is closed when the test file ends. */
export async function openIdentity(): Promise<IdentityPlatform> {
  let now = new Date();
  const stores = await makeStores();
  const home = mkdtempSync(join(tmpdir(), 'tenon-identity-'));
  const databases = await openStores(stores);
  const platform: Platform = {
    config: readConfig({ PORT: '0', TENON_HOME: home }),
    databases,
    clock: () => now,
    publicUrl: 'http://tenon.test',
  };
  const server = newHttpServer(platform);
  mountRoutes(server, identity.routes ?? [], {
    platform,
    contextOf: async (req, origin) => {
      const token = req.headers.authorization?.replace(/^Bearer /, '') ?? '';
      return requestContext(platform, await authenticate(databases, token, { ...origin, now }));
    },
  });
  const url = await listen(server, platform.config);
  afterAll(async () => {
    await server.close();
    rmSync(home, { recursive: true, force: true });
  });
  const send: IdentityPlatform['fetch'] = (token, path, init = {}) =>
    fetch(`${url}${path}`, {
      ...init,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(init.headers as Record<string, string>),
      },
    });
  const peek: IdentityPlatform['peek'] = (cell, text, values = []) =>
    withClient(stores.url(cell), async (client) => {
      await client.query('set search_path = app');
      return (await client.query(text, [...values])).rows;
    });
  const make = (slug: string, region: 'eu' | 'us') => makeTenant({ platform, send, peek }, slug, region);
  const [acme, initech, globex] = [await make('acme', 'eu'), await make('initech', 'eu'), await make('globex', 'us')];
  return { platform, url, stores, acme, initech, globex, setNow: (time) => void (now = time), fetch: send, peek };
}

async function openStores(stores: TestStores): Promise<Databases> {
  const databases = await openDatabases({
    ...stores.settingsFor('tenon_app', 'file:///nowhere'),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: [...identity.entities, ...tenants.entities],
    poolSize: 6,
  });
  afterAll(() => databases.close());
  return databases;
}

interface Surroundings {
  readonly platform: Platform;
  readonly send: IdentityPlatform['fetch'];
  readonly peek: IdentityPlatform['peek'];
}

async function makeTenant(
  { platform, send, peek }: Surroundings,
  slug: string,
  region: 'eu' | 'us',
): Promise<TestTenant> {
  const made = await provisionTenant(
    platform,
    { slug, name: slug, tier: 'GROWTH', region, adminEmail: `ada@${slug}.example`, adminName: 'Ada', state: 'active' },
    systemOrigin('test', mintId('req')),
  );
  const { context } = made;
  const cell = `${region}-1` as const;
  const issue: TestTenant['issue'] = async (credential) => {
    const expiresAt = new Date(platform.clock().getTime() + 3_600_000);
    const client = credential.kind === 'api_key' ? 'partner' : null;
    return inTenant({ tenant: context, databases: platform.databases }, async (tx) => {
      const { token } = await issueCredential(tx, context.tenant, { name: 'test', expiresAt, client, ...credential });
      return token;
    });
  };
  const scimToken = await issue({ kind: 'scim_token', userId: null, scopes: ['scim'] });
  return {
    id: context.tenant,
    cell,
    adminId: made.adminUserId,
    adminSignInUrl: made.adminSignInUrl,
    scimToken,
    issue,
    request: (scopes, change = {}) =>
      requestContext(platform, requestOf(made.context, { actorId: made.adminUserId, scopes, change })),
    scim: scimOver(send, { token: scimToken }),
    scimAs: (sender) => scimOver(send, { token: scimToken, ...sender }),
    events: async () => {
      const rows = await peek<{ event: string }>(
        cell,
        'select event from outbox where tenant_id = $1 order by position',
        [uuidOf('tnt', context.tenant)],
      );
      return opened(
        platform.databases,
        rows.map(({ event }) => JSON.parse(event) as AuditEvent),
      );
    },
  };
}

function scimOver(send: IdentityPlatform['fetch'], { token = null, headers = {} }: ScimSender): ScimRequest {
  return async (method, path, body) => {
    const own = {
      accept: 'application/scim+json',
      ...(body !== undefined && { 'content-type': 'application/scim+json' }),
    };
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const init = { method, headers: { ...own, ...headers }, ...(body !== undefined && { body: text }) };
    return answerOf(await send(token, `/scim/v2${path}`, init));
  };
}

function requestOf(
  context: TenantContext,
  as: { actorId: string; scopes: readonly Scope[]; change: Partial<TenantContext> },
): TenantContext {
  const actor = { type: 'user', id: as.actorId, ip: '203.0.113.5', ua: 'test' } as const;
  return { ...context, actor, scopes: as.scopes, sessionId: mintId('ses'), requestId: mintId('req'), ...as.change };
}

async function answerOf(response: Response): Promise<ScimAnswer> {
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: JSON.parse(text === '' ? '{}' : text) as ScimBody,
  };
}

/** Runs a GraphQL operation in a request of its own. */
export function ask(
  ctx: RequestContext,
  document: string,
  variables: Record<string, unknown> = {},
): Promise<SubgraphResult> {
  const request = requestContext(ctx.platform, { ...ctx.tenant, requestId: mintId('req') });
  return executeSubgraph(identity, { document: parse(document), variables }, request);
}

/** Returns the code of the first error of an answer, or null where there is none. */
export function codeOf({ errors }: SubgraphResult): unknown {
  return errors?.[0]?.extensions?.['code'] ?? null;
}

/** Tells whether a token opens anything at this moment. */
export async function isAccepted({ platform }: IdentityPlatform, token: string): Promise<boolean> {
  const origin = { requestId: mintId('req'), ip: null, ua: null };
  try {
    await authenticate(platform.databases, token, { ...origin, now: platform.clock() });
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: 'UNAUTHENTICATED' });
    return false;
  }
}

export const USER_URN = 'urn:ietf:params:scim:schemas:core:2.0:User';
export const ENTERPRISE_URN = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User';
export const GROUP_URN = 'urn:ietf:params:scim:schemas:core:2.0:Group';
export const PATCH_URN = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';
export const ERROR_URN = 'urn:ietf:params:scim:api:messages:2.0:Error';
export const LIST_URN = 'urn:ietf:params:scim:api:messages:2.0:ListResponse';

/** Returns a PATCH body. */
export function patch(...operations: object[]): object {
  return { schemas: [PATCH_URN], Operations: operations };
}

/** Creates a user and returns her id. */
export async function addUser(tenant: TestTenant, userName: string, more: object = {}): Promise<string> {
  const { status, body } = await tenant.scim('POST', '/Users', { schemas: [USER_URN], userName, ...more });
  expect(status).toBe(201);
  return body.id;
}

/** Creates a group and returns its id. */
export async function addGroup(
  tenant: TestTenant,
  displayName: string,
  memberIds: readonly string[] = [],
): Promise<string> {
  const members = memberIds.map((value) => ({ value }));
  const { status, body } = await tenant.scim('POST', '/Groups', { schemas: [GROUP_URN], displayName, members });
  expect(status).toBe(201);
  return body.id;
}
