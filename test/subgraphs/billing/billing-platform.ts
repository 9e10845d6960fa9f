import Fastify from 'fastify';
import type { AddressInfo } from 'node:net';
import { parse } from 'graphql';
import { afterAll } from 'vitest';
import { openDatabases, type Databases } from '#kit/database.ts';
import { mountRoutes } from '#kit/mount-routes.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { executeSubgraph, type SubgraphResult } from '#kit/subgraph-execution.ts';
import { readConfig } from '#schema/config.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import type { TenantContext, TenantState } from '#schema/tenant-context.ts';
import { billing } from '../../../subgraphs/billing/index.ts';
import { recordUsage, type UsageReceipt } from '../../../subgraphs/billing/usage.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../../support/databases.ts';
import { withClient } from '../../support/postgres.ts';

/** The billing subgraph over real stores of the calling test file's own, with a clock that stands still. */
export interface BillingPlatform {
  readonly platform: Platform;
  readonly stores: TestStores;
  /** Moves the clock. */
  setNow(time: string): void;
  /** Makes a tenant of the first cell and returns a context with all rights in it. */
  addTenant(slug: string, tier: TenantContext['tier'], state?: TenantState): Promise<RequestContext>;
  /** Opens the REST doors for whoever the context says, and returns their address. */
  serve(ctx: RequestContext): Promise<string>;
  /** Returns the usage events of a tenant under a key. */
  stored(ctx: RequestContext, idempotency: string): Promise<{ value: string }[]>;
  /** Reads as superuser, whom no row-level security binds. */
  peek<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** Opens it; everything is closed when the test file ends. */
export async function openBilling(): Promise<BillingPlatform> {
  let now = new Date('2026-05-04T12:00:00Z');
  const stores = await makeStores();
  const databases = await openBillingDatabases(stores);
  const platform: Platform = { config: readConfig({}), databases, clock: () => now, publicUrl: 'http://localhost' };
  const peek: BillingPlatform['peek'] = (text, values = []) =>
    withClient(stores.url('eu-1'), async (client) => {
      await client.query('set search_path = app');
      return (await client.query(text, [...values])).rows;
    });
  return {
    platform,
    stores,
    setNow: (time) => void (now = new Date(time)),
    addTenant: async (slug, tier, state = 'active') => {
      const tenant = mintId('tnt');
      await addTenantRows(stores, { uuid: uuidOf('tnt', tenant), slug, tier, state });
      return requestContext(platform, { ...contextOf(tenant, tier), state });
    },
    serve: (ctx) => serve(platform, ctx),
    stored: (ctx, idempotency) =>
      peek('select * from usage_events where tenant_id = $1 and idempotency = $2', [
        uuidOf('tnt', ctx.tenant.tenant),
        idempotency,
      ]),
    peek,
  };
}

/** Returns a request of the same tenant with other rights, tier or state, as the next request would have them. */
export function nextRequest(ctx: RequestContext, change: Partial<TenantContext> = {}): RequestContext {
  return requestContext(ctx.platform, { ...ctx.tenant, requestId: mintId('req'), ...change });
}

/** Runs a GraphQL operation in a request of its own. */
export function ask(
  ctx: RequestContext,
  document: string,
  variables: Record<string, unknown> = {},
): Promise<SubgraphResult> {
  return executeSubgraph(billing, { document: parse(document), variables }, nextRequest(ctx));
}

/** Returns the event of the deck under a key, as the wire has it. */
export function usage(idempotency: string, change: Record<string, unknown> = {}): Record<string, unknown> {
  return { metric: 'tokens_used', value: 1284, timestamp: '2026-05-04T10:33:21Z', idempotency, ...change };
}

/** Reports usage in a request of its own. */
export function record(ctx: RequestContext, items: readonly unknown[]): Promise<UsageReceipt> {
  return recordUsage(nextRequest(ctx), { items, nameOf });
}

function nameOf(index: number, field?: string): string {
  return `events[${index}]${field === undefined ? '' : `.${field}`}`;
}

async function openBillingDatabases(stores: TestStores): Promise<Databases> {
  const databases = await openDatabases({
    ...stores.settingsFor('tenon_app', 'file:///nowhere'),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: billing.entities,
    poolSize: 6,
  });
  afterAll(() => databases.close());
  return databases;
}

async function addTenantRows(
  stores: TestStores,
  row: { uuid: string; slug: string; tier: string; state: string },
): Promise<void> {
  const values = [row.uuid, row.slug, row.tier, row.state];
  await withClient(stores.url('directory'), (client) =>
    client.query(
      `insert into app.tenants (id, slug, region, cell, tier, state) values ($1, $2, 'eu', 'eu-1', $3, $4)`,
      values,
    ),
  );
  await withClient(stores.url('eu-1'), (client) =>
    client.query(
      `insert into app.tenants (tenant_id, slug, name, tier, region, cell, state) values ($1, $2, $2, $3, 'eu', 'eu-1', $4)`,
      values,
    ),
  );
}

function contextOf(tenant: TenantContext['tenant'], tier: TenantContext['tier']): TenantContext {
  return {
    tenant,
    tier,
    region: 'eu',
    cell: 'eu-1',
    state: 'active',
    actor: { type: 'user', id: mintId('usr'), ip: '203.0.113.5', ua: 'test' },
    scopes: Object.keys(SCOPES) as Scope[],
    sessionId: mintId('ses'),
    epoch: 1,
    client: null,
    requestId: mintId('req'),
  };
}

async function serve(platform: Platform, ctx: RequestContext): Promise<string> {
  const server = Fastify();
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body));
  mountRoutes(server, billing.routes ?? [], { platform, contextOf: async () => nextRequest(ctx) });
  await server.listen({ port: 0, host: '127.0.0.1' });
  afterAll(() => server.close());
  return `http://127.0.0.1:${(server.server.address() as AddressInfo).port}`;
}
