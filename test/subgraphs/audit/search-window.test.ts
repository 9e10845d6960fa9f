import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf } from '#schema/ids.ts';
import { BLOCK_SIZE, RUN_SIZE, SPAN_SIZE } from '#schema/search-block.ts';
import { createSearchTurn } from '../../../compliance/search/turn.ts';
import { beginLog } from '../../support/audit-log.ts';
import { ask, dataOf, openAudit } from './audit-platform.ts';

const PAGE = `query ($first: Int, $after: String, $last: Int, $before: String, $filter: AuditFilter) {
  auditEvents(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    edges { node { seq } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}`;

interface Page {
  readonly auditEvents: {
    readonly edges: readonly { readonly node: { readonly seq: number } }[];
    readonly pageInfo: {
      readonly hasNextPage: boolean;
      readonly hasPreviousPage: boolean;
      readonly startCursor: string | null;
      readonly endCursor: string | null;
    };
  };
}

const house = await openAudit();
const worker = new pg.Pool({ connectionString: house.stores.url('eu-1 audit', 'tenon_worker'), max: 2 });
afterAll(() => worker.end());

const FIRST_MS = Date.UTC(2026, 0, 1);
const MINUTE_MS = 60_000;
/** Long before all the rest. */
const STRAY_MS = Date.UTC(2020, 0, 1);
/** A span, three blocks behind it, and what no block holds yet. */
const INDEXED = SPAN_SIZE + 3 * BLOCK_SIZE;
const SIZE = INDEXED + 700;

/** Neighbours change places, some entries belong anywhere, and one of each of twelve blocks is of another year. */
function timeAt(seq: number): number {
  const block = Math.floor(seq / BLOCK_SIZE);
  if (block >= 20 && block < 32 && seq % BLOCK_SIZE === 77) return STRAY_MS + seq * 1000;
  const minute = seq % 4999 === 7 ? (seq * 7919) % SIZE : seq + ((seq * 37) % 50);
  return FIRST_MS + minute * MINUTE_MS + (seq % 1000);
}

const TIMES = Array.from({ length: SIZE }, (_, seq) => timeAt(seq));

interface Window {
  readonly from?: number;
  readonly to?: number;
}

/** The numbers of the entries of a window, newest first. */
function expectedIn({ from = -Infinity, to = Infinity }: Window): number[] {
  return TIMES.flatMap((time, seq) => (time >= from && time < to ? [seq] : [])).toReversed();
}

function filterOf({ from, to }: Window) {
  const text = (time: number | undefined) => (time === undefined ? null : new Date(time).toISOString());
  return { from: text(from), to: text(to) };
}

/** Reads up to so many pages of 100 and returns the numbers in the order in which they came. */
async function walk(ctx: RequestContext, window: Window, { pages = 5, backwards = false } = {}): Promise<number[]> {
  const seqs: number[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < pages; page++) {
    const place: object = backwards ? { last: 100, before: cursor } : { first: 100, after: cursor };
    const { auditEvents } = await dataOf<Page>(ask(ctx, PAGE, { ...place, filter: filterOf(window) }));
    const found = auditEvents.edges.map(({ node }) => node.seq);
    seqs.push(...(backwards ? found.toReversed() : found));
    const { hasNextPage, hasPreviousPage, startCursor, endCursor } = auditEvents.pageInfo;
    if (!(backwards ? hasPreviousPage : hasNextPage)) return seqs;
    cursor = backwards ? startCursor : endCursor;
  }
  return seqs;
}

/** Copies the second entry of a log to the places from one on, each with a time of its own. */
async function append(ctx: RequestContext, first: number, times: readonly number[]): Promise<void> {
  const tenant = uuidOf('tnt', ctx.tenant.tenant);
  const texts = times.map((time) => new Date(time).toISOString());
  await house.peek(
    'eu-1 audit',
    `insert into log_entries
       (tenant_id, epoch, seq, event_id, leaf, entry, ts, action, outcome, actor_type, actor_id, resource_type, resource_id)
     select tenant_id, epoch, place, gen_random_uuid(), leaf,
            regexp_replace(replace(entry, '"seq":1,', format('"seq":%s,', place)), '"ts":"[^"]*"', format('"ts":"%s"', time)),
            time::timestamptz, action, outcome, actor_type, actor_id, resource_type, resource_id
       from log_entries, unnest($2::text[]) with ordinality as t (time, number), lateral (select $3 + number - 1) as at (place)
      where tenant_id = $1 and seq = 1`,
    [tenant, texts, first],
  );
  await house.peek('eu-1 audit', 'update log_heads set size = $2 where tenant_id = $1', [tenant, first + times.length]);
}

async function indexAll(): Promise<void> {
  const turn = createSearchTurn({ audit: worker, pauseMs: 0 });
  while ((await turn()) === 'worked');
}

describe('a window of a log whose times do not follow its order', () => {
  let ctx: RequestContext;
  beforeAll(async () => {
    const tenant = await house.addTenant('long');
    ctx = tenant.ctx;
    await tenant.log.append([0, 1].map((seq) => ({ ts: new Date(timeAt(seq)).toISOString() })));
    await append(ctx, 2, TIMES.slice(2, INDEXED));
    await indexAll();
    await append(ctx, INDEXED, TIMES.slice(INDEXED));
  }, 180_000);

  const windows: fc.Arbitrary<Window> = fc
    .record({
      minute: fc.oneof(fc.integer({ min: -100, max: SIZE + 100 }), fc.integer({ min: INDEXED - 300, max: SIZE })),
      minutes: fc.constantFrom(0, 1, 30, 400, 20_000, SPAN_SIZE),
      sides: fc.constantFrom('both', 'both', 'from', 'to'),
    })
    .map(({ minute, minutes, sides }) => {
      const [from, to] = [FIRST_MS + minute * MINUTE_MS, FIRST_MS + (minute + minutes) * MINUTE_MS];
      return { ...(sides === 'to' ? {} : { from }), ...(sides === 'from' ? {} : { to }) };
    });

  it('holds the entries of its time and no others, in order, from both ends', async () => {
    await fc.assert(
      fc.asyncProperty(windows, fc.boolean(), async (window, backwards) => {
        const expected = expectedIn(window);
        const found = await walk(ctx, window, { backwards });
        expect(found).toEqual((backwards ? expected.toReversed() : expected).slice(0, found.length));
        expect(found.length).toBeGreaterThanOrEqual(Math.min(400, expected.length));
      }),
      { numRuns: 60, endOnFailure: true },
    );
  }, 180_000);

  it.each([
    ['the log', 0],
    ['the log', SIZE - 1],
    ['a run', RUN_SIZE - 1],
    ['a run', RUN_SIZE],
    ['a block', BLOCK_SIZE - 1],
    ['a block', BLOCK_SIZE],
    ['a span', SPAN_SIZE - 1],
    ['a span', SPAN_SIZE],
    ['what is indexed', INDEXED - 1],
    ['what is indexed', INDEXED],
  ])('begins with its first millisecond and ends before its last, at an end of %s: entry %i', async (_, seq) => {
    const time = timeAt(seq);
    const [at, before] = [
      { from: time, to: time + 1 },
      { from: time - 1, to: time },
    ];
    expect(expectedIn(at)).toContain(seq);
    expect(await walk(ctx, at)).toEqual(expectedIn(at));
    expect(await walk(ctx, before)).toEqual(expectedIn(before));
  });

  it('is read whole by one request where a few of its entries lie in each of many blocks', async () => {
    const window = { from: STRAY_MS, to: Date.UTC(2021, 0, 1) };
    expect(expectedIn(window)).toHaveLength(12);
    expect(await walk(ctx, window, { pages: 1 })).toEqual(expectedIn(window));
  });

  it('finds what is appended for a time long past as soon as it stands in the log', async () => {
    await append(ctx, SIZE, [STRAY_MS - 1, STRAY_MS]);
    expect(await walk(ctx, { to: STRAY_MS + 1 })).toEqual([SIZE + 1, SIZE]);
  });
});

describe('a window of a log that another epoch follows', () => {
  it('finds what its last, unfinished block holds', async () => {
    const { ctx, log } = await house.addTenant('moved');
    const ts = (minute: number) => new Date(FIRST_MS + minute * MINUTE_MS).toISOString();
    await log.append(Array.from({ length: RUN_SIZE + 5 }, (_, minute) => ({ ts: ts(minute) })));
    const url = house.stores.url('eu-1 audit', 'tenon_worker');
    await beginLog({ url, tenant: ctx.tenant.tenant, epoch: 2 }).append([{ ts: ts(RUN_SIZE + 3) }]);
    await indexAll();
    const window = { from: FIRST_MS + (RUN_SIZE + 2) * MINUTE_MS, to: FIRST_MS + (RUN_SIZE + 4) * MINUTE_MS };
    expect(await walk(ctx, window)).toEqual([0, RUN_SIZE + 3, RUN_SIZE + 2]);
  });
});
