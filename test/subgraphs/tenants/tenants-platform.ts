import { parse } from 'graphql';
import { afterAll } from 'vitest';
import { authenticate } from '#kit/credential.ts';
import { openDatabases, type Databases } from '#kit/database.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { executeSubgraph, type SubgraphResult } from '#kit/subgraph-execution.ts';
import type { AuditEvent } from '#schema/audit-event.ts';
import { readConfig } from '#schema/config.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { tenants } from '../../../subgraphs/tenants/index.ts';
import { systemOrigin } from '../../../subgraphs/tenants/operator.ts';
import { ensureOperatorTenant, type TenantInput } from '../../../subgraphs/tenants/provisioning.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type StoreName, type TestStores } from '../../support/databases.ts';
import { withClient } from '../../support/postgres.ts';
import { opened } from '../../support/outbox.ts';

/** The tenants subgraph over real stores of the calling test file's own, with a clock that stands still. */
export interface TenantsPlatform {
  readonly platform: Platform;
  readonly stores: TestStores;
  /** Moves the clock. */
  setNow(time: string): void;
  /** Returns a request of an operator, made from the key that the operators' tenant came with. */
  operator(): Promise<RequestContext>;
  /** Reads as superuser, whom no row-level security binds. */
  peek<Row extends object>(store: StoreName, text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Returns the events that a tenant has written, oldest first. */
  events(tenant: string, cell?: 'eu-1' | 'us-1'): Promise<AuditEvent[]>;
}

/** Opens it while the test file is collected; everything is closed when the file ends. */
export async function openTenants(): Promise<TenantsPlatform> {
  let now = new Date('2026-05-04T12:00:00Z');
  const stores = await makeStores();
  const databases = await open(stores);
  const platform: Platform = { config: readConfig({}), databases, clock: () => now, publicUrl: 'http://tenon.test' };
  const peek: TenantsPlatform['peek'] = (store, text, values = []) =>
    withClient(stores.url(store), async (client) => {
      await client.query('set search_path = app');
      return (await client.query(text, [...values])).rows;
    });
  let operatorKey: string | null = null;
  return {
    platform,
    stores,
    setNow: (time) => void (now = new Date(time)),
    operator: async () => {
      operatorKey ??= (await ensureOperatorTenant(platform)).apiKey;
      const origin = { requestId: mintId('req'), ip: '203.0.113.9', ua: 'operator/1' };
      return requestContext(platform, await authenticate(databases, operatorKey ?? '', { ...origin, now }));
    },
    peek,
    events: async (tenant, cell = 'eu-1') => {
      const sql = 'select event from outbox where tenant_id = $1 order by position';
      const rows = await peek<{ event: string }>(cell, sql, [uuidOf('tnt', tenant)]);
      return opened(
        databases,
        rows.map(({ event }) => JSON.parse(event) as AuditEvent),
      );
    },
  };
}

/** Opens the stores as another process does, with cells of the caller's choosing. */
export async function open(stores: TestStores, cells?: Databases['cells']): Promise<Databases> {
  const settings = stores.settingsFor('tenon_app', 'file:///nowhere');
  const databases = await openDatabases({
    ...settings,
    cells: cells ?? settings.cells,
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: tenants.entities,
    poolSize: 6,
  });
  afterAll(() => databases.close());
  return databases;
}

/** Who creates tenants in tests that no operator asks. */
export const ORIGIN = systemOrigin('test', 'req_test');

/** Returns what a tenant of this slug is made of. */
export function inputOf(slug: string, change: Partial<TenantInput> = {}): TenantInput {
  return {
    slug,
    name: `Name of ${slug}`,
    tier: 'GROWTH',
    region: 'eu',
    adminEmail: `ada@${slug}.example`,
    adminName: 'Ada',
    ...change,
  };
}

/** Returns a request of a user in the tenant of a context, with other rights or another state. */
export function requestOf(platform: Platform, context: TenantContext, change: Partial<TenantContext>): RequestContext {
  const actor = { type: 'user', id: mintId('usr'), ip: '203.0.113.5', ua: 'test' } as const;
  return requestContext(platform, { ...context, actor, requestId: mintId('req'), ...change });
}

/** Runs a GraphQL operation in a request of its own. */
export function ask(
  ctx: RequestContext,
  document: string,
  variables: Record<string, unknown> = {},
): Promise<SubgraphResult> {
  const request = requestContext(ctx.platform, { ...ctx.tenant, requestId: mintId('req') });
  return executeSubgraph(tenants, { document: parse(document), variables }, request);
}

/** Returns the code of the first error of an answer, or null where there is none. */
export function codeOf({ errors }: SubgraphResult): unknown {
  return errors?.[0]?.extensions?.['code'] ?? null;
}
