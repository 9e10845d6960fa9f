import { Ctx, Mutation, Query, Resolver } from 'type-graphql';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { inTenant, openDatabases, type Databases } from '#kit/database.ts';
import { defineSubgraph } from '#kit/define-subgraph.ts';
import { contextHeaders, requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import type { Abortable } from '#kit/request-ending.ts';
import { serveSubgraph, type RunningSubgraph } from '#kit/subgraph-server.ts';
import { readConfig } from '#schema/config.ts';
import type { SubgraphLink } from '../../../gateway/execution/subgraph-link.ts';
import type { TenantCall } from '../../../gateway/links/exchange.ts';
import { localTransport } from '../../../gateway/links/local-link.ts';
import { remoteTransport, type RemoteTransport } from '../../../gateway/links/remote-link.ts';
import { RequestWatch } from '../../../gateway/links/request-signal.ts';
import { newResilientLinks } from '../../../gateway/links/resilience.ts';
import { everything, scopeOf, seedTenant, type TestTenant } from '../../isolation/two-tenants.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../../support/databases.ts';
import { untilRunning } from '../../support/statements.ts';
import { requestOf } from './a-call.ts';

/** A subgraph whose statements last until someone ends them. */
@Resolver()
class SlowResolver {
  @Query(() => String)
  async sleep(@Ctx() ctx: RequestContext): Promise<string> {
    await inTenant(ctx, (tx) => tx.query('select pg_sleep(30)'));
    return 'slept';
  }

  @Query(() => String)
  async name(@Ctx() ctx: RequestContext): Promise<string> {
    const [row] = await inTenant(ctx, (tx) => tx.query<{ name: string }>('select name from projects'));
    return row?.name ?? '';
  }

  @Mutation(() => String)
  async add(@Ctx() ctx: RequestContext): Promise<string> {
    await inTenant(ctx, async (tx) => {
      await tx.query(`insert into projects (id, name) values (gen_random_uuid(), 'added')`);
      await tx.query('select pg_sleep(30)');
    });
    return 'added';
  }
}

const slow = defineSubgraph({ name: 'slow', resolvers: [SlowResolver], entities: [], references: {} });
let stores: TestStores;
let databases: Databases;
let platform: Platform;
let tenant: TestTenant;
let server: RunningSubgraph;
let remote: RemoteTransport<TenantCall>;
const links: Partial<Record<'local' | 'remote', SubgraphLink<TenantCall>>> = {};

beforeAll(async () => {
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  stores = await makeStores();
  databases = await openDatabases({
    ...stores.settingsFor('tenon_app', 'file:///nowhere'),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: [],
    poolSize: 1,
  });
  platform = { config: readConfig({ PORT: '0' }), databases, clock: () => new Date(), publicUrl: 'http://tenon.test' };
  tenant = await seedTenant(stores, 'acme');
  server = await serveSubgraph(slow, platform);
  remote = remoteTransport({ subgraph: 'slow', url: `${server.url}/graphql` });
  links.local = newResilientLinks().link('slow', localTransport(slow));
  links.remote = newResilientLinks().link('slow', remote);
});

afterAll(async () => {
  await remote.close();
  await server.close();
  await databases.close();
  vi.restoreAllMocks();
});

const callOf = (signal?: Abortable): TenantCall => ({
  request: requestContext(platform, scopeOf(databases, tenant.id).tenant, signal),
});
const NAME = requestOf('{ name }');
const active = () =>
  everything(
    stores,
    `select from pg_stat_activity where usename = 'tenon_app' and state = 'active' and query ~ 'pg_sleep'`,
  );
/** One side of an exchange: who waits, and may go away. */
function newCaller() {
  let onGone: (() => void) | null = null;
  return {
    watch: (listener: (() => void) | null) => {
      onGone = listener;
    },
    leave: () => onGone?.(),
  };
}
const TIMED_OUT = { errors: [expect.objectContaining({ extensions: { code: 'GATEWAY_TIMEOUT' } })] };

describe.each(['local', 'remote'] as const)('a caller of a %s subgraph', (mode) => {
  it('who goes away ends the statement in the database', async () => {
    const caller = newCaller();
    const request = new RequestWatch(caller, 60_000);
    const sent = links[mode]?.send(requestOf('{ sleep }'), callOf(request.signal));
    await untilRunning(stores, 'pg_sleep');
    caller.leave();
    expect(await sent).toEqual(TIMED_OUT);
    await vi.waitFor(async () => expect(await active()).toEqual([]), { interval: 5, timeout: 5_000 });
    // The only connection is free again.
    expect(await links[mode]?.send(NAME, callOf())).toEqual({ data: { name: 'acme' } });
  });

  it('whose time is up leaves nothing of a change that was under way', async () => {
    const request = new RequestWatch(newCaller(), 200);
    const sent = await links[mode]?.send(requestOf('mutation { add }'), callOf(request.signal));
    expect(sent).toEqual(TIMED_OUT);
    await vi.waitFor(async () => expect(await active()).toEqual([]), { interval: 5, timeout: 5_000 });
    expect(await links[mode]?.send(NAME, callOf())).toEqual({ data: { name: 'acme' } });
    expect(await everything(stores, `select from app.projects where name = 'added'`)).toEqual([]);
  });

  it('who has her answer ends nothing when she goes', async () => {
    const caller = newCaller();
    const request = new RequestWatch(caller, 60_000);
    expect(await links[mode]?.send(NAME, callOf(request.signal))).toEqual({ data: { name: 'acme' } });
    request.end();
    caller.leave();
    expect(request.signal.aborted).toBe(false);
  });
});

describe('a call that takes longer than its tier may', () => {
  it.each(['local', 'remote'] as const)('is ended in a %s subgraph, down to the statement', async (mode) => {
    const brief = { timeoutMs: 200, deadlineMs: 60_000 };
    const times = { FREE: brief, GROWTH: brief, ENTERPRISE: brief, ENTERPRISE_PLUS: brief };
    const transport = mode === 'local' ? localTransport(slow) : remote;
    const link = newResilientLinks({ times }).link('slow', transport);
    expect(await link.send(requestOf('{ sleep }'), callOf())).toEqual(TIMED_OUT);
    await vi.waitFor(async () => expect(await active()).toEqual([]), { interval: 5, timeout: 5_000 });
  });
});

describe('a subgraph of its own process', () => {
  it('ends the statement of a client whose connection closes', async () => {
    const client = new AbortController();
    const headers = { 'content-type': 'application/json', ...contextHeaders(callOf().request.tenant, CONTEXT_KEYS) };
    const answer = fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ query: '{ sleep }' }),
      signal: client.signal,
    });
    await untilRunning(stores, 'pg_sleep');
    client.abort();
    await expect(answer).rejects.toThrow();
    await vi.waitFor(async () => expect(await active()).toEqual([]), { interval: 5, timeout: 5_000 });
  });
});
