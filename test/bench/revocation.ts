import { setTimeout as pause } from 'node:timers/promises';
import { issueCredential, systemContext } from '#kit/credential.ts';
import { inTenant, type TenantScope } from '#kit/database.ts';
import { idOf, type Id } from '#schema/ids.ts';
import { makeDemoTenants, type DemoTenant } from '#subgraphs';
import type { Bar, Benchmark, BenchmarkOptions, Findings, Latencies } from './benchmark.ts';
import { openLoad, type Load } from './load.ts';
import { startServer, type ServerProcess } from './server-process.ts';
import { openStores, type BenchStores } from './stores.ts';
import { CELL_DATABASE, liftBudgets } from './tenants.ts';

/**
 * From the commit of a deactivation, by the clock of the database, to the refusal of the person's session on the last of
 * four gateways; beside it the time from the moment at which the identity provider asked for it.
 */
export const revocation: Benchmark = {
  name: 'revocation',
  asks: 'how long does a session work on, on any of four gateways, after its person was deactivated over SCIM?',
  run,
};

const GATEWAYS = 4;
const PER_ROUND = 30;
/** Time between an answer and the next request with the session, on every gateway. */
const BEAT_MS = 5;
/** Requests that a gateway has answered by then, so that it remembers the session. */
const WARM = 3;
const P99_LIMIT_MS = 250;
const MOST_LIMIT_MS = 1_000;
const GIVEN_UP_MS = 10_000;
const HOUR_MS = 3_600_000;
const BODY = JSON.stringify({ query: '{ tenant { id } }' });

/** What is done to the news of changes just before a deactivation. */
const CONDITIONS = [
  { name: 'all is well', before: '', once: '' },
  {
    name: 'the notifier is killed',
    before: `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tenon changes'`,
    once: '',
  },
  {
    // Counted, as in every transaction, but sent to nobody.
    name: 'all news is lost',
    before: '',
    once: `do $$ begin execute replace(pg_get_functiondef('tenon.announce(text, uuid, text)'::regprocedure),
             'perform pg_notify(', 'perform concat('); end $$`,
  },
] as const;

type Condition = (typeof CONDITIONS)[number];

/** The platform under test: the gateways, and who is put out and let in again. */
interface World {
  readonly stores: BenchStores;
  readonly gateways: readonly Load[];
  readonly urls: readonly string[];
  readonly acme: DemoTenant;
  readonly scope: TenantScope;
  readonly user: Id<'usr'>;
}

async function run({ rounds, say }: BenchmarkOptions): Promise<Findings> {
  const stores = await openStores();
  const servers: ServerProcess[] = [];
  try {
    const [acme] = await makeDemoTenants(stores.platform);
    if (acme === undefined) throw new Error('there are demo tenants');
    await liftBudgets(stores);
    for (let number = 0; number < GATEWAYS; number++)
      servers.push(await startServer('./platform-server.ts', { TENON_HOME: stores.home, PORT: '0' }));
    const urls = servers.map(({ url }) => url);
    const gateways = urls.map((url) => openLoad(url, 1));
    const world = { stores, urls, gateways, acme, ...(await findMia(stores, acme)) };
    const latencies: Latencies[] = [];
    for (const condition of CONDITIONS) {
      latencies.push(...(await measure(world, condition, rounds * PER_ROUND)));
      say(`${condition.name}: measured`);
    }
    await Promise.all(gateways.map((load) => load.close()));
    return { cases: [], latencies, bar: barOf(latencies) };
  } finally {
    await Promise.all(servers.map((server) => server.close()));
    await stores.close();
  }
}

async function findMia(stores: BenchStores, { id }: DemoTenant): Promise<Pick<World, 'scope' | 'user'>> {
  const { databases } = stores.platform;
  const purpose = { name: 'bench', requestId: 'req_bench' };
  const scope = { databases, tenant: await systemContext(databases, idOfTenant(id), purpose) };
  const [row] = await inTenant(scope, (tx) =>
    tx.query<{ id: string }>(`select id from users where user_name like 'mia@%'`),
  );
  return { scope, user: idOf('usr', row?.id ?? '') };
}

async function measure(world: World, { name, before, once }: Condition, count: number): Promise<Latencies[]> {
  const asSuperuser = (sql: string) => (sql === '' ? undefined : world.stores.asSuperuser(CELL_DATABASE, sql));
  await asSuperuser(once);
  const [sinceCommit, sinceRequest]: [number[], number[]] = [[], []];
  for (let index = 0; index < count; index++) {
    const token = await signIn(world);
    const probes = world.gateways.map((load) => probe(load, token));
    await Promise.all(probes.map(({ warm }) => warm));
    await asSuperuser(before);
    const askedMs = nowMs();
    const through = world.urls[index % world.urls.length] ?? '';
    await setActive(world, through, false);
    const refusedMs = Math.max(...(await Promise.all(probes.map(({ refused }) => refused))));
    sinceCommit.push(refusedMs - (await lastCommitMs(world)));
    sinceRequest.push(refusedMs - askedMs);
    await setActive(world, through, true);
  }
  return [latenciesOf(name, sinceCommit), latenciesOf(`${name}${SINCE_REQUEST}`, sinceRequest)];
}

const SINCE_REQUEST = ', since the request';

function latenciesOf(name: string, found: readonly number[]): Latencies {
  const sorted = found.toSorted((one, other) => one - other);
  const at = (part: number) => sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN;
  return { name, count: sorted.length, p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99), mostMs: at(1) };
}

/** The clock of this machine, which is the database's too, to the microsecond. */
function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

/** The last moment before the commit, as the revocation's own record has it. */
async function lastCommitMs({ scope }: World): Promise<number> {
  const [row] = await inTenant(scope, (tx) =>
    tx.query<{ ms: string }>('select extract(epoch from max(revoked_at)) * 1000 as ms from revocations'),
  );
  return Number(row?.ms);
}

/** Asks again and again with a session until it is refused; an answer that was asked for afterwards fails the run. */
function probe(load: Load, token: string): { warm: Promise<void>; refused: Promise<number> } {
  const asked = async () => (await load.send({ headers: { authorization: `Bearer ${token}` }, body: BODY })).status;
  const warm = (async () => {
    for (let answered = 0; answered < WARM; answered++) requireStatus(await asked(), 200);
  })();
  const untilRefused = async () => {
    await warm;
    const givenUpMs = performance.now() + GIVEN_UP_MS;
    for (let status = 200; status !== 401; status = await asked()) {
      requireStatus(status, 200);
      if (performance.now() > givenUpMs) throw new Error('the session is never refused');
      await pause(BEAT_MS);
    }
    const refusedMs = nowMs();
    requireStatus(await asked(), 401);
    return refusedMs;
  };
  return { warm, refused: untilRefused() };
}

function requireStatus(found: number, wanted: number): void {
  if (found !== wanted) throw new Error(`a gateway answered ${found}, not ${wanted}`);
}

async function signIn({ scope, user }: World): Promise<string> {
  const expiresAt = new Date(Date.now() + HOUR_MS);
  return inTenant(scope, async (tx) => {
    const wanted = { kind: 'session', userId: user, name: 'bench', expiresAt } as const;
    return (await issueCredential(tx, scope.tenant.tenant, wanted)).token;
  });
}

/** As an identity provider does it. */
async function setActive({ acme, user }: World, url: string, value: boolean): Promise<void> {
  const answer = await fetch(`${url}/scim/v2/Users/${user}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/scim+json', authorization: `Bearer ${acme.scim}` },
    body: JSON.stringify({
      schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
      Operations: [{ op: 'replace', path: 'active', value }],
    }),
  });
  if (answer.status !== 200) throw new Error(`SCIM answered ${answer.status}: ${await answer.text()}`);
}

/** Both promises in one figure: how near the worst condition comes to its limits. */
function barOf(latencies: readonly Latencies[]): Bar {
  const judged = latencies.filter(({ name }) => !name.endsWith(SINCE_REQUEST));
  const found = Math.max(...judged.flatMap(({ p99Ms, mostMs }) => [p99Ms / P99_LIMIT_MS, mostMs / MOST_LIMIT_MS]));
  return {
    promise: `p99 over ${P99_LIMIT_MS} ms, or the longest over ${MOST_LIMIT_MS} ms, whichever is worse`,
    limit: 1,
    found,
    held: found <= 1,
  };
}

function idOfTenant(id: string): Id<'tnt'> {
  return id as Id<'tnt'>;
}
