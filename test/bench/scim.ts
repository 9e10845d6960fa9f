import { Pool } from 'undici';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { makeDemoTenants, type DemoTenant } from '#subgraphs';
import type { Bar, Benchmark, BenchmarkOptions, Case, Findings, Latencies } from './benchmark.ts';
import { openLoad } from './load.ts';
import { compare, type Target } from './measure.ts';
import { sendAtRate, type ScimCall } from './scim-rate.ts';
import { walkUsers } from './scim-walk.ts';
import { startServer, type ServerProcess } from './server-process.ts';
import { openStores, type BenchStores } from './stores.ts';
import { CELL_DATABASE, liftBudgets } from './tenants.ts';

/** What provisioning costs in a large tenant, and whether it stays that way beside other load. */
export const scim: Benchmark = {
  name: 'scim',
  asks: 'does a change of one member cost the same in any group, a walk lose nobody, and 25 requests a second go through?',
  run,
};

const LARGE = 100_000;
const SMALL = 10;
const WALKED = 20_000;
const DELETED = 50;
const LIMIT_MS = 20;
/** Requests of one tenant a second, as the gallery of Microsoft Entra asks for, and for how long. */
const RATE = { perSecond: 25, seconds: 20 } as const;
/** Connections that ask the graph meanwhile. */
const GRAPHQL_CONNECTIONS = 4;
const QUERY = '{ users(first: 20) { edges { node { id displayName } } } }';

/** Where requests go. */
interface World {
  readonly stores: BenchStores;
  readonly server: ServerProcess;
  readonly pool: Pool;
  /** Has the groups. */
  readonly large: DemoTenant;
  /** Has the users that are walked. */
  readonly walked: DemoTenant;
}

async function run(options: BenchmarkOptions): Promise<Findings> {
  const stores = await openStores();
  try {
    options.say(`making ${LARGE + SMALL + WALKED} users`);
    const [large, , walked] = await makeDemoTenants(stores.platform);
    if (large === undefined || walked === undefined) throw new Error('there are three demo tenants');
    await liftBudgets(stores);
    const groups = await fill(stores, { large, walked });
    const env = { TENON_HOME: stores.home, PORT: '0' };
    // As the README has it for a gateway under load.
    const server = await startServer('./platform-server.ts', env, ['--max-semi-space-size=32']);
    const pool = new Pool(server.url, { connections: 64, pipelining: 1 });
    try {
      const world = { stores, server, pool, large, walked };
      const members = await measureMembers(world, groups, options);
      const latencies = [...(await walk(world, options)), ...(await sustain(world, groups, options))];
      return { cases: [members], latencies, bar: barOf(members) };
    } finally {
      await pool.close();
      await server.close();
    }
  } finally {
    await stores.close();
  }
}

interface Groups {
  readonly large: Id<'grp'>;
  readonly small: Id<'grp'>;
  /** Somebody who is in none of them. */
  readonly user: Id<'usr'>;
}

async function fill(stores: BenchStores, { large, walked }: Pick<World, 'large' | 'walked'>): Promise<Groups> {
  const groups: Groups = { large: mintId('grp'), small: mintId('grp'), user: mintId('usr') };
  const tenant = uuidOf('tnt', large.id);
  const group = (id: Id<'grp'>, size: number) => `
    insert into app.groups (tenant_id, id, display_name) values ('${tenant}', '${uuidOf('grp', id)}', 'Group of ${size}');
    insert into app.group_members (tenant_id, group_id, user_id)
      select tenant_id, '${uuidOf('grp', id)}', id from app.users
       where tenant_id = '${tenant}' and user_name like 'bench-%' order by id limit ${size};`;
  const users = (id: string, count: number) => `
    insert into app.users (tenant_id, id, user_name, display_name)
      select '${id}', gen_random_uuid(), 'bench-' || n, 'Bench ' || n from generate_series(1, ${count}) n;`;
  await stores.asSuperuser(
    CELL_DATABASE,
    `${users(tenant, LARGE)} ${group(groups.large, LARGE)} ${group(groups.small, SMALL)} ${users(uuidOf('tnt', walked.id), WALKED)}
     insert into app.users (tenant_id, id, user_name) values ('${tenant}', '${uuidOf('usr', groups.user)}', 'the one member');
     analyze;`,
  );
  return groups;
}

/** Adds somebody and removes her again, by turns; each is one PATCH. */
async function measureMembers(
  { stores, server, pool, large }: World,
  groups: Groups,
  options: BenchmarkOptions,
): Promise<Case> {
  const name = 'one member is added or removed by PATCH';
  options.say(`measuring: ${name}`);
  const send = callsOf(pool, large.scim);
  const value = [{ value: groups.user }];
  const sizes = [
    { size: LARGE, id: groups.large },
    { size: SMALL, id: groups.small },
  ];
  const targets = sizes.map(({ size, id }): Target => {
    let turn = 0;
    return {
      name: `${size} members`,
      run: async (count) => {
        const latenciesMs: number[] = [];
        for (let index = 0; index < count; index++) {
          const started = performance.now();
          await send({
            method: 'PATCH',
            path: `/Groups/${id}`,
            body: patch({ op: turn++ % 2 === 0 ? 'add' : 'remove', path: 'members', value }),
          });
          latenciesMs.push(performance.now() - started);
        }
        return latenciesMs;
      },
      cpu: async () => ({ processMs: await server.cpuMs(), databaseMs: stores.databaseCpuMs() }),
    };
  });
  return { name, targets: await compare(targets, { rounds: options.rounds, operations: 100 }) };
}

/** Walks all users while some are deleted that it has met; by cursors, and by an index for comparison. */
async function walk({ pool, walked }: World, options: BenchmarkOptions): Promise<Latencies[]> {
  const found: Latencies[] = [];
  for (const by of ['cursor', 'index'] as const) {
    options.say(`walking ${WALKED} users by ${by} while ${DELETED} of them go`);
    const { lost, repeated, seen, latenciesMs } = await walkUsers(callsOf(pool, walked.scim), {
      by,
      deletions: DELETED,
    });
    options.say(`by ${by}: ${seen} seen, ${lost} live users lost, ${repeated} met twice`);
    if (by === 'cursor' && lost + repeated > 0) throw new Error('a walk by cursors lost or repeated somebody');
    found.push(latenciesOf(`a page of 200 by ${by}, ${lost} of ${WALKED} lost`, latenciesMs));
  }
  return found;
}

/** The requests of one tenant at fixed times, whether the answer before has come or not; alone, and beside the graph. */
async function sustain(world: World, groups: Groups, options: BenchmarkOptions): Promise<Latencies[]> {
  const send = callsOf(world.pool, world.large.scim);
  const mix = mixOf(groups);
  options.say(`sending ${RATE.perSecond} requests a second for ${RATE.seconds} s`);
  await sendAtRate(send, mix, { ...RATE, seconds: 3 });
  const alone = await sendAtRate(send, mix, RATE);
  options.say('the same beside GraphQL');
  const load = openLoad(world.server.url, GRAPHQL_CONNECTIONS);
  const requests = [
    { headers: { authorization: `Bearer ${world.walked.admin}` }, body: JSON.stringify({ query: QUERY }) },
  ];
  const ended = new AbortController();
  let answered = 0;
  const graph = (async () => {
    while (!ended.signal.aborted) answered += (await load.run(requests, 100)).length;
  })();
  const beside = await sendAtRate(send, mix, RATE).finally(() => ended.abort());
  await graph;
  await load.close();
  options.say(`${Math.round(answered / RATE.seconds)} GraphQL requests a second were answered meanwhile`);
  return [
    latenciesOf(`${RATE.perSecond} SCIM requests a second, alone`, alone),
    latenciesOf(`${RATE.perSecond} SCIM requests a second, beside GraphQL`, beside),
  ];
}

/** What an identity provider sends most: a lookup, a change of a user, a change of a member, a group without its members. */
function mixOf(groups: Groups): (index: number) => ScimCall {
  const value = [{ value: groups.user }];
  return (index) => {
    const filter = encodeURIComponent(`userName eq "bench-${1 + ((index * 7919) % LARGE)}"`);
    const calls: ScimCall[] = [
      { method: 'GET', path: `/Users?filter=${filter}` },
      {
        method: 'PATCH',
        path: `/Users/${groups.user}`,
        body: patch({ op: 'Replace', path: 'title', value: `Title ${index}` }),
      },
      {
        method: 'PATCH',
        path: `/Groups/${groups.large}`,
        body: patch({ op: index % 8 < 4 ? 'Add' : 'Remove', path: 'members', value }),
      },
      { method: 'GET', path: `/Groups/${groups.large}?excludedAttributes=members` },
    ];
    return calls[index % calls.length] ?? { method: 'GET', path: '/ServiceProviderConfig' };
  };
}

function callsOf(pool: Pool, token: string): (call: ScimCall) => Promise<string> {
  return async ({ method, path, body }) => {
    const response = await pool.request({
      method,
      path: `/scim/v2${path}`,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/scim+json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.body.text();
    if (response.statusCode >= 300)
      throw new Error(`a measured request failed (${response.statusCode}): ${text.slice(0, 500)}`);
    return text;
  };
}

function patch(operation: object): object {
  return { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: [operation] };
}

function latenciesOf(name: string, latenciesMs: readonly number[]): Latencies {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { name, count: sorted.length, p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99), mostMs: at(1) };
}

function barOf({ targets }: Case): Bar {
  const found = targets[0]?.p99Ms ?? Number.NaN;
  return {
    promise: `p99 in ms of a PATCH of one member in a group of ${LARGE}`,
    limit: LIMIT_MS,
    found,
    held: found <= LIMIT_MS,
  };
}
