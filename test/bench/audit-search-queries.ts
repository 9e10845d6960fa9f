import { systemContext } from '#kit/credential.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { mintId, type Id } from '#schema/ids.ts';
import type { AuditEventArgs } from '../../subgraphs/audit/inputs.ts';
import { listEvents } from '../../subgraphs/audit/service.ts';
import { FIRST_MS, PEOPLE, personId, requestIdAt, STEP_MS, word } from './audit-search-log.ts';
import type { Latencies } from './benchmark.ts';

/** Searches of one kind in a round. */
const REPEATS = 4;

/** A search by name; the number makes each run ask for something else. */
interface Search {
  readonly name: string;
  readonly args: (number: number, events: number) => AuditEventArgs;
  /** How many it must find at least, so that no search is quick because it finds nothing. */
  readonly finds: number;
}

const SEARCHES: readonly Search[] = [
  { name: 'newest page', finds: 20, args: () => ({}) },
  { name: 'deep page', finds: 100, args: (n, events) => ({ first: 100, after: place(at(n, events)) }) },
  { name: 'deep page backwards', finds: 100, args: (n, events) => ({ last: 100, before: place(at(n, events)) }) },
  { name: 'frequent actor', finds: 20, args: (n) => ({ filter: { actorId: [personId('usr', n % 20)] } }) },
  { name: 'seldom actor', finds: 20, args: (n) => ({ filter: { actorId: [personId('usr', PEOPLE - 1 - (n % 50))] } }) },
  { name: 'unknown actor', finds: 0, args: (n) => ({ filter: { actorId: [personId('usr', PEOPLE + n)] } }) },
  { name: 'frequent action', finds: 20, args: () => ({ filter: { action: ['document.read'] } }) },
  { name: 'rare action', finds: 1, args: () => ({ filter: { action: ['identity_connection.disable'] } }) },
  { name: 'actions by prefix', finds: 20, args: () => ({ filter: { action: ['user.*', 'api_key.*'] } }) },
  { name: 'rare actions by prefix', finds: 1, args: () => ({ filter: { action: ['identity_connection.*'] } }) },
  { name: 'one resource', finds: 1, args: (n) => ({ filter: { resourceId: [personId('doc', 500 + (n % 1_500))] } }) },
  { name: 'outcome', finds: 20, args: () => ({ filter: { outcome: ['denied', 'failure'] } }) },
  {
    name: 'actor and action',
    finds: 0,
    args: (n) => ({ filter: { actorId: [personId('usr', n % 900)], action: ['user.deactivate', 'api_key.create'] } }),
  },
  {
    name: '20 actors, 5 actions',
    finds: 20,
    args: (n) => ({
      filter: {
        actorId: Array.from({ length: 20 }, (_, index) => personId('usr', (n * 31 + index * 97) % PEOPLE)),
        action: ['user.*', 'api_key.*', 'project.*', 'evidence.*', 'session.*'],
      },
    }),
  },
  {
    name: 'actor deep in the log',
    finds: 20,
    args: (n, events) => ({ after: place(at(n, events)), filter: { actorId: [personId('usr', n % 200)] } }),
  },
  {
    name: 'narrow window',
    finds: 20,
    args: (n, events) => ({ filter: { from: time(at(n, events)), to: time(at(n, events) + 500) } }),
  },
  {
    name: 'actor in a window',
    finds: 1,
    args: (n, events) => ({
      filter: { actorId: [personId('usr', n % 50)], from: time(at(n, events)), to: time(at(n, events) + 15_000) },
    }),
  },
  { name: 'text: one request', finds: 1, args: (n, events) => ({ filter: { text: requestIdAt(at(n, events)) } }) },
  { name: 'text: rare word', finds: 1, args: () => ({ filter: { text: 'Zanzibar' } }) },
  { name: 'text: word of notes', finds: 0, args: (n) => ({ filter: { text: word(n * 7919) } }) },
  { name: 'text: frequent word', finds: 20, args: () => ({ filter: { text: 'saml' } }) },
  { name: 'text: two frequent words, never together', finds: 0, args: () => ({ filter: { text: 'saml quantity' } }) },
  { name: 'text: frequent, never in one entry', finds: 0, args: () => ({ filter: { text: 'saml permission view' } }) },
  { name: 'text: phrase', finds: 20, args: () => ({ filter: { text: 'document.share' } }) },
  { name: 'text: no such word', finds: 0, args: (n) => ({ filter: { text: `nowhere${n}` } }) },
  { name: 'text: no such word, not ASCII', finds: 0, args: (n) => ({ filter: { text: `nirgendwö${n}` } }) },
];

/** The log that is searched. */
export interface SearchedLog {
  readonly platform: Platform;
  readonly tenant: Id<'tnt'>;
  readonly events: number;
}

/**
 * Measures every kind of search through the service of the subgraph, the record of the reading in it. Every kind comes round
 * once before any comes again, so that none finds its own pages warm alone.
 */
export async function measureSearches({ platform, tenant, events }: SearchedLog, rounds: number): Promise<Latencies[]> {
  const times = SEARCHES.map((): number[] => []);
  const tenantContext = await systemContext(platform.databases, tenant, { name: 'bench', requestId: mintId('req') });
  for (let turn = 0; turn < rounds * REPEATS; turn++) {
    for (const [index, search] of SEARCHES.entries()) {
      const ctx = requestContext(platform, tenantContext);
      const started = performance.now();
      const found = await searchOnce(ctx, search.args(turn * 2_654_435 + index, events));
      times[index]?.push(performance.now() - started);
      if (found < search.finds && events >= 1_000_000) throw new Error(`"${search.name}" found ${found}`);
    }
  }
  return SEARCHES.map(({ name }, index) => summary(name, times[index] ?? []));
}

async function searchOnce(ctx: RequestContext, args: AuditEventArgs): Promise<number> {
  const { edges, pageInfo } = await listEvents(ctx, args);
  // A request that stops half-way has answered in time; it counts as it is.
  return pageInfo.hasNextPage ? Number.MAX_SAFE_INTEGER : edges.length;
}

function summary(name: string, times: readonly number[]): Latencies {
  const sorted = times.toSorted((a, b) => a - b);
  const quantile = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return {
    name,
    count: sorted.length,
    p50Ms: quantile(0.5),
    p95Ms: quantile(0.95),
    p99Ms: quantile(0.99),
    mostMs: sorted.at(-1) ?? Number.NaN,
  };
}

/** Somewhere in the older half of the log. */
function at(number: number, events: number): number {
  return 1_000 + ((number * 40_503) % Math.max(1, Math.floor(events / 2)));
}

function place(seq: number): string {
  return Buffer.from(`1.${seq}`).toString('base64url');
}

function time(seq: number): Date {
  return new Date(FIRST_MS + seq * STEP_MS);
}
