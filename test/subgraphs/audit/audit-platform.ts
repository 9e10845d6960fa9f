import { parse } from 'graphql';
import { afterAll } from 'vitest';
import { openDatabases } from '#kit/database.ts';
import { listen, newHttpServer } from '#kit/http-server.ts';
import { mountRoutes } from '#kit/mount-routes.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { executeSubgraph, type SubgraphResult } from '#kit/subgraph-execution.ts';
import type { AuditEvent } from '#schema/audit-event.ts';
import { readConfig } from '#schema/config.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { isScope, SCOPES, type Scope } from '#schema/scopes.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { audit } from '../../../subgraphs/audit/index.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../../support/databases.ts';
import { beginLog, type WrittenLog } from '../../support/audit-log.ts';
import { withClient } from '../../support/postgres.ts';

/** The audit subgraph over real stores of the calling test file's own, with its REST doors on a port. */
export interface AuditPlatform {
  readonly platform: Platform;
  readonly stores: TestStores;
  /** Makes a tenant of the first cell with an empty log, and returns a request of hers with all rights. */
  addTenant(slug: string): Promise<{ ctx: RequestContext; log: WrittenLog }>;
  /** Sends a request to a REST door on behalf of a context. */
  fetch(ctx: RequestContext, path: string, init?: RequestInit): Promise<Response>;
  /** Reads or writes an audit or tenant database as superuser. */
  peek<Row extends object>(store: 'eu-1' | 'eu-1 audit', text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Returns the events that the tenant's requests have written, oldest first. */
  written(ctx: RequestContext): Promise<AuditEvent[]>;
}

const SCOPES_HEADER = 'x-test-context';

/** Opens it while the test file is collected; everything is closed when the file ends. */
export async function openAudit(): Promise<AuditPlatform> {
  const stores = await makeStores();
  const settings = stores.settingsFor('tenon_app', 'file:///nowhere');
  const databases = await openDatabases({
    ...settings,
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: audit.entities,
    poolSize: 8,
  });
  const config = readConfig({ PORT: '0' });
  const platform: Platform = {
    config,
    databases,
    clock: () => new Date('2026-05-04T12:00:00Z'),
    publicUrl: 'http://tenon.test',
  };
  const contexts = new Map<string, TenantContext>();
  const server = newHttpServer(platform);
  mountRoutes(server, audit.routes ?? [], {
    platform,
    contextOf: async (req) => {
      const context = contexts.get(String(req.headers[SCOPES_HEADER]));
      if (context === undefined) throw new Error('a test sends a context');
      return requestContext(platform, context);
    },
  });
  const url = await listen(server, config);
  afterAll(async () => {
    await server.close();
    await databases.close();
  });
  const peek: AuditPlatform['peek'] = (store, text, values = []) =>
    withClient(stores.url(store), async (client) => {
      await client.query('set search_path = app');
      return (await client.query(text, [...values])).rows;
    });
  return {
    platform,
    stores,
    peek,
    addTenant: async (slug) => {
      const tenant = mintId('tnt');
      const sql = `insert into tenants (tenant_id, slug, name, tier, region, cell, state) values ($1, $2, $2, 'GROWTH', 'eu', 'eu-1', 'active')`;
      await peek('eu-1', sql, [uuidOf('tnt', tenant), slug]);
      const log = beginLog({ url: stores.url('eu-1 audit', 'tenon_worker'), tenant });
      return { ctx: requestContext(platform, contextOf(tenant)), log };
    },
    fetch: (ctx, path, init = {}) => {
      const key = mintId('req');
      contexts.set(key, ctx.tenant);
      return fetch(`${url}${path}`, {
        ...init,
        headers: { ...(init.headers as Record<string, string>), [SCOPES_HEADER]: key },
      });
    },
    written: async ({ tenant: { tenant } }) => {
      const rows = await peek<{ event: string }>(
        'eu-1',
        'select event from outbox where tenant_id = $1 order by position',
        [uuidOf('tnt', tenant)],
      );
      return rows.map(({ event }) => JSON.parse(event) as AuditEvent);
    },
  };
}

/** Returns the same request without one right. */
export function without(ctx: RequestContext, scope: Scope): RequestContext {
  const scopes = Object.keys(SCOPES)
    .filter(isScope)
    .filter((held) => held !== scope);
  return requestContext(ctx.platform, { ...ctx.tenant, scopes });
}

/** Runs a GraphQL operation in a request of its own. */
export function ask(
  ctx: RequestContext,
  document: string,
  variables: Record<string, unknown> = {},
): Promise<SubgraphResult> {
  return executeSubgraph(
    audit,
    { document: parse(document), variables },
    requestContext(ctx.platform, { ...ctx.tenant, requestId: mintId('req') }),
  );
}

/** Returns the data of an answer, of the shape that the query asks for; an answer with errors throws them. */
export async function dataOf<T>(answer: Promise<SubgraphResult>): Promise<T> {
  const { data, errors } = await answer;
  if (errors !== undefined) throw new Error(JSON.stringify(errors));
  return data as T;
}

/** Returns the code of the first error of an answer, or null where there is none. */
export async function codeOf(answer: Promise<SubgraphResult>): Promise<unknown> {
  return (await answer).errors?.[0]?.extensions?.['code'] ?? null;
}

function contextOf(tenant: TenantContext['tenant']): TenantContext {
  return {
    tenant,
    tier: 'GROWTH',
    region: 'eu',
    cell: 'eu-1',
    state: 'active',
    actor: { type: 'user', id: mintId('usr'), ip: '203.0.113.5', ua: 'test' },
    scopes: Object.keys(SCOPES).filter(isScope),
    sessionId: mintId('ses'),
    epoch: 1,
    client: null,
    requestId: mintId('req'),
  };
}
