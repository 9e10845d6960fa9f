import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RequestContext } from '#kit/request-context.ts';
import { mintId } from '#schema/ids.ts';
import { BLOCK_SIZE } from '#schema/search-block.ts';
import { createSearchTurn } from '../../../compliance/search/turn.ts';
import { beginLog, type EventDraft, type WrittenEntry } from '../../support/audit-log.ts';
import { ask, codeOf, dataOf, openAudit } from './audit-platform.ts';

const PAGE = `query ($first: Int, $after: String, $last: Int, $before: String, $filter: AuditFilter) {
  auditEvents(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}`;

interface Page {
  readonly auditEvents: {
    readonly edges: readonly { readonly cursor: string; readonly node: { readonly id: string } }[];
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

const ACTORS = ['usr_ann', 'usr_bea', 'usr_cat'];
const ACTIONS = ['user.create', 'user.role.grant', 'user_group.create', 'document.share'];
const TEXTS = [
  'quarterly report',
  'Ärger über Maß',
  '監査ログ',
  'ada@example.com',
  'say "hi" 100%_',
  String.raw`C:\temp`,
  'ﬁne',
  '',
];
const DAY_MS = 86_400_000;

/** The n-th event of an epoch; what is rare occurs once in a thousand. */
function draft(epoch: number, seq: number): EventDraft {
  const pick = <T>(values: readonly T[], salt: number): T =>
    values[((seq * 7919 + salt * 104_729) >>> 3) % values.length] as T;
  return {
    action: seq % 1009 === 5 ? 'api_key.revoke' : pick(ACTIONS, 1),
    actor: seq % 997 === 3 ? { type: 'api_key', id: 'key_rare' } : { type: 'user', id: pick(ACTORS, 2) },
    resource: {
      type: seq % 2 === 0 ? 'document' : 'folder',
      id: `doc_${epoch}_${seq}`,
      name: seq % 3 === 0 ? 'Plan' : null,
    },
    context: { note: pick(TEXTS, 3), count: seq % 500 },
    outcome: seq % 331 === 0 ? 'denied' : 'success',
    // Times do not follow the order of the log to the day.
    ts: new Date(Date.UTC(2026, 0, epoch) + ((seq * 37) % 50) * DAY_MS + seq * 1000).toISOString(),
  };
}

const drafts = (epoch: number, from: number, count: number) =>
  Array.from({ length: count }, (_, index) => draft(epoch, from + index));

async function indexAll(): Promise<void> {
  const turn = createSearchTurn({ audit: worker, pauseMs: 0 });
  while ((await turn()) === 'worked');
}

type Filter = {
  readonly actorId?: string | string[];
  readonly action?: string | string[];
  readonly resourceType?: string;
  readonly resourceId?: string[];
  readonly outcome?: string[];
  readonly from?: string;
  readonly to?: string;
  readonly text?: string;
};

/** What a filter means, said in another way than the search says it. */
function fits({ event, text: entry }: WrittenEntry, filter: Filter): boolean {
  const isOneOf = (value: string, given: string | string[] | undefined) =>
    given === undefined || [given].flat().includes(value);
  const patterns = filter.action === undefined ? ['*'] : [filter.action].flat();
  const outcome = (JSON.parse(entry) as { outcome: string }).outcome.toUpperCase();
  return (
    isOneOf(event.actor.id ?? '', filter.actorId) &&
    patterns.some((p) => (p.endsWith('*') ? event.action.startsWith(p.slice(0, -1)) : event.action === p)) &&
    isOneOf(event.resource.type, filter.resourceType) &&
    isOneOf(event.resource.id, filter.resourceId) &&
    isOneOf(outcome, filter.outcome) &&
    (filter.from === undefined || event.ts >= filter.from) &&
    (filter.to === undefined || event.ts < filter.to) &&
    (filter.text === undefined || holds(event, filter.text))
  );
}

function holds(event: WrittenEntry['event'], text: string): boolean {
  const fold = (value: unknown) => String(value).normalize('NFKC').toLowerCase();
  const { actor, action, resource, context } = event;
  const values = [
    event.id,
    actor.type,
    actor.id,
    action,
    resource.type,
    resource.id,
    resource.name ?? '',
    event.request_id,
    ...Object.values(context),
  ];
  const single = String.raw`\p{scx=Han}\p{scx=Katakana}`;
  const word = String.raw`[\p{L}\p{N}\p{M}]`;
  const phrases = [...fold(text).matchAll(/"([^"]*)"|[^\s"]+/g)].map(([piece, quoted]) => (quoted ?? piece).trim());
  return phrases.every((phrase) => {
    const edge = (behind: string, ahead: string) => `(?:(?<!${behind})|(?!${ahead})|(?<=[${single}])|(?=[${single}]))`;
    const quoted = phrase.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
    const pattern = new RegExp(`${edge(word, word)}${quoted}${edge(word, word)}`, 'u');
    return values.some((value) => pattern.test(fold(value)));
  });
}

/** Reads page after page until there is no more and returns the ids in the order in which they came. */
async function walk(
  ctx: RequestContext,
  filter: Filter,
  options: { size: number; backwards?: boolean; most?: number },
) {
  const ids: string[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < 400; page++) {
    const place: object = options.backwards
      ? { last: options.size, before: cursor }
      : { first: options.size, after: cursor };
    const { auditEvents } = await dataOf<Page>(ask(ctx, PAGE, { ...place, filter }));
    const found = auditEvents.edges.map(({ node }) => node.id);
    ids.push(...(options.backwards ? found.toReversed() : found));
    const { hasNextPage, hasPreviousPage, startCursor, endCursor } = auditEvents.pageInfo;
    if (!(options.backwards ? hasPreviousPage : hasNextPage) || ids.length >= (options.most ?? Infinity)) return ids;
    cursor = options.backwards ? startCursor : endCursor;
    expect(cursor).not.toBeNull();
  }
  throw new Error('a walk through the log does not end');
}

describe('a search of a log of three epochs, in blocks and behind them', () => {
  let ctx: RequestContext;
  const log: WrittenEntry[] = [];
  beforeAll(async () => {
    ({ ctx } = await house.addTenant('long'));
    for (const [epoch, size] of [
      [1, BLOCK_SIZE + 700],
      [2, 300],
      [3, 2 * BLOCK_SIZE + 900],
    ] as const) {
      const part = beginLog({ url: house.stores.url('eu-1 audit', 'tenon_worker'), tenant: ctx.tenant.tenant, epoch });
      log.push(...(await part.append(drafts(epoch, 0, size))));
    }
    await indexAll();
    log.reverse();
    const [{ count } = { count: 0 }] = await house.peek<{ count: number }>(
      'eu-1 audit',
      'select count(*)::integer as count from log_search_blocks',
    );
    expect(count).toBe(5);
  }, 120_000);

  const whole = fc.record({
    actorId: fc.oneof(fc.constantFrom(...ACTORS, 'key_rare', 'nobody'), fc.constant(['key_rare', 'usr_ann'])),
    action: fc.oneof(
      fc.constantFrom(...ACTIONS, 'api_key.revoke', 'user.*', 'user.role.*', 'api_key.*', 'use.*'),
      fc.constant(['api_key.revoke', 'user_group.*']),
    ),
    resourceType: fc.constantFrom('document', 'folder', 'file'),
    resourceId: fc.constant(['doc_1_4100', 'doc_2_7', 'doc_3_8000', 'doc_3_9000']),
    outcome: fc.constantFrom(['DENIED'], ['SUCCESS'], ['FAILURE', 'DENIED']),
    from: fc.integer({ min: -2, max: 60 }).map((day) => new Date(Date.UTC(2026, 0, 1) + day * DAY_MS).toISOString()),
    to: fc.integer({ min: -2, max: 60 }).map((day) => new Date(Date.UTC(2026, 0, 1) + day * DAY_MS).toISOString()),
    text: fc.constantFrom(
      'report',
      'QUARTERLY report',
      '"quarterly report"',
      '"report quarterly"',
      'rep',
      'ärger',
      'MASS',
      'maß',
      '査',
      '監ロ',
      'ada@example',
      'fine',
      '100%_',
      '100%-',
      'temp',
      String.raw`c:\temp`,
      'doc_3_5',
      'doc_1_77',
      'plan doc_3_6000',
      'user',
      'user.create',
      'document ada',
      '17',
    ),
  });
  const NAMES = ['actorId', 'action', 'resourceType', 'resourceId', 'outcome', 'from', 'to', 'text'] as const;
  /** Few fields at a time, or hardly anything would fit. */
  const filters: fc.Arbitrary<Filter> = fc
    .tuple(whole, fc.subarray([...NAMES], { minLength: 1, maxLength: 3 }))
    .map(([filter, names]) => Object.fromEntries(names.map((name) => [name, filter[name]])));

  it('finds what fits and nothing else, in order, whatever the filter, the page and the direction', async () => {
    await fc.assert(
      fc.asyncProperty(filters, fc.constantFrom(3, 20, 100), fc.boolean(), async (filter, size, backwards) => {
        const expected = log.filter((entry) => fits(entry, filter)).map(({ event }) => event.id);
        const most = size * 6;
        const found = await walk(ctx, filter, { size, backwards, most });
        expect(found).toEqual((backwards ? expected.toReversed() : expected).slice(0, found.length));
        expect(found.length).toBeGreaterThanOrEqual(Math.min(most, expected.length));
      }),
      { numRuns: 40, endOnFailure: true },
    );
  }, 300_000);

  it('finds the entries at the edges of runs, blocks and epochs, by field and by text', async () => {
    const last = 2 * BLOCK_SIZE + 899;
    const edges = [
      0,
      63,
      64,
      BLOCK_SIZE - 65,
      BLOCK_SIZE - 64,
      BLOCK_SIZE - 1,
      BLOCK_SIZE,
      2 * BLOCK_SIZE - 1,
      2 * BLOCK_SIZE,
      last,
    ];
    for (const seq of edges) {
      const expected = log.filter(({ event }) => event.resource.id === `doc_3_${seq}`).map(({ event }) => event.id);
      expect(expected).toHaveLength(1);
      expect(await walk(ctx, { resourceId: [`doc_3_${seq}`] }, { size: 2 }), String(seq)).toEqual(expected);
      expect(await walk(ctx, { text: `doc_3_${seq}` }, { size: 2, backwards: true }), String(seq)).toEqual(expected);
    }
    const ends = log.filter(({ event }) => ['doc_1_4795', 'doc_2_0', 'doc_2_299'].includes(event.resource.id));
    expect(await walk(ctx, { resourceId: ['doc_1_4795', 'doc_2_0', 'doc_2_299'] }, { size: 2 })).toEqual(
      ends.map(({ event }) => event.id),
    );
    expect(ends).toHaveLength(3);
  }, 60_000);

  it('goes on from the cursor of every entry, both ways', async () => {
    const filter = { actorId: 'key_rare' };
    const ids = log.filter((entry) => fits(entry, filter)).map(({ event }) => event.id);
    const { auditEvents } = await dataOf<Page>(ask(ctx, PAGE, { first: 100, filter }));
    expect(auditEvents.edges.map(({ node }) => node.id)).toEqual(ids);
    for (const [place, { cursor }] of auditEvents.edges.entries()) {
      const after = await dataOf<Page>(ask(ctx, PAGE, { first: 2, after: cursor, filter }));
      expect(after.auditEvents.edges.map(({ node }) => node.id)).toEqual(ids.slice(place + 1, place + 3));
      expect(after.auditEvents.pageInfo).toMatchObject({ hasPreviousPage: true, hasNextPage: place + 3 < ids.length });
      const before = await dataOf<Page>(ask(ctx, PAGE, { last: 2, before: cursor, filter }));
      expect(before.auditEvents.edges.map(({ node }) => node.id)).toEqual(ids.slice(Math.max(0, place - 2), place));
      expect(before.auditEvents.pageInfo).toMatchObject({ hasPreviousPage: place > 2, hasNextPage: true });
    }
  }, 60_000);
});

describe('pages while others append', () => {
  it('neither repeat nor skip an entry, also where a block is finished between two of them', async () => {
    const { ctx, log } = await house.addTenant('busy');
    const old = await log.append(drafts(1, 0, BLOCK_SIZE - 50));
    const expected = old.filter((entry) => fits(entry, { actorId: 'usr_ann', text: 'report' }));
    const seen: string[] = [];
    let after: string | null = null;
    for (let page = 0; page === 0 || after !== null; page++) {
      const filter = { actorId: 'usr_ann', text: 'report' };
      const { auditEvents }: Page = await dataOf<Page>(ask(ctx, PAGE, { first: 60, after, filter }));
      seen.push(...auditEvents.edges.map(({ node }) => node.id));
      after = auditEvents.pageInfo.hasNextPage ? auditEvents.pageInfo.endCursor : null;
      await log.append(drafts(1, log.entries.length, 40));
      await indexAll();
    }
    expect(seen).toEqual(expected.map(({ event }) => event.id).toReversed());
    expect(expected.length).toBeGreaterThan(120);
  }, 60_000);
});

describe('a search that one request cannot finish', () => {
  it('stops with a cursor from which the next goes on, until it has found all', async () => {
    const { ctx, log } = await house.addTenant('wide');
    // Both words stand in every entry, and side by side in the first alone.
    const size = 30_000;
    await log.append([
      { context: { note: 'amber violet' } },
      ...Array.from({ length: size }, (_, index) => ({ context: { note: `amber ${index} violet` } })),
    ]);
    await indexAll();
    const filter = { text: '"amber violet"' };
    const first = await dataOf<Page>(ask(ctx, PAGE, { filter }));
    expect(first.auditEvents).toMatchObject({ edges: [], pageInfo: { hasNextPage: true } });
    expect(await walk(ctx, filter, { size: 20 })).toEqual([log.entries[0]?.event.id]);
    const backwards = await dataOf<Page>(ask(ctx, PAGE, { last: 5, filter }));
    expect(backwards.auditEvents).toMatchObject({ edges: [{}], pageInfo: { hasPreviousPage: true } });
    expect(await walk(ctx, filter, { size: 5, backwards: true })).toEqual([log.entries[0]?.event.id]);
    const ndjson = await house.fetch(ctx, '/v1/audit/events.ndjson?text=%22amber+violet%22');
    expect((await ndjson.text()).trim().split('\n')).toHaveLength(1);
  }, 120_000);
});

describe('text that is meant to hurt', async () => {
  const { ctx, log } = await house.addTenant('hostile');
  const words = (count: number, name: string) =>
    Array.from({ length: count }, (_, index) => `${name}${index}`).join(' ');
  const [huge] = await log.append([
    { context: { note: words(600, 'w'), more: words(600, 'x') } },
    { context: { note: '\u202e\uffff\u{10ffff} e\u0301 \u0130stanbul 𝒳' } },
    {},
  ]);

  it('is found in an entry that has more words than the index takes', async () => {
    await log.append(Array.from({ length: BLOCK_SIZE }, () => ({})));
    await indexAll();
    expect(await walk(ctx, { text: 'w599 x3' }, { size: 5 })).toEqual([huge?.event.id]);
  });

  it.each(['\u202e\uffff\u{10ffff}', 'é', 'e\u0301', 'İSTANBUL', 'x', '𝒳'])(
    'is found as it stands: %j',
    async (piece) => {
      const text = /\p{L}/u.test(piece) ? piece : `${piece} é`;
      expect(await walk(ctx, { text }, { size: 5 })).toEqual([log.entries[1]?.event.id]);
    },
  );

  it.each([
    [{ text: words(21, 'a') }],
    [{ text: '""' }],
    [{ text: '%_%' }],
    [{ text: 'a\u0000' }],
    [{ text: 'a'.repeat(201) }],
    [{ actorId: [] }],
    [{ actorId: Array.from({ length: 51 }, (_, index) => `a${index}`) }],
    [{ actorId: ['a\u0000'] }],
    [{ action: ['user.%'] }],
    [{ action: ['*'] }],
    [{ resourceId: [''] }],
  ])('is refused: %j', async (filter) => {
    expect(await codeOf(ask(ctx, PAGE, { filter }))).toBe('BAD_USER_INPUT');
  });

  it.each([
    [{ first: 1, last: 1 }],
    [{ first: 1, before: 'MS4x' }],
    [{ last: 1, after: 'MS4x' }],
    [{ last: 101 }],
    [{ before: 'MS4x!' }],
    [{ before: 'x'.repeat(5000) }],
  ])('asks for no page: %j', async (page) => {
    expect(await codeOf(ask(ctx, PAGE, page))).toBe('BAD_USER_INPUT');
  });

  it('of the longest kind ends', async () => {
    expect(await walk(ctx, { text: '漢'.repeat(20) }, { size: 5 })).toEqual([]);
    expect(await walk(ctx, { text: `"${'\\'.repeat(150)} a"` }, { size: 5 })).toEqual([]);
    expect(await walk(ctx, { actorId: Array.from({ length: 50 }, () => mintId('usr')) }, { size: 5 })).toEqual([]);
  });
});
