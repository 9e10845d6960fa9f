import { describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import { beginLog, type EventDraft } from '../../support/audit-log.ts';
import { ask, codeOf, dataOf, openAudit, without } from './audit-platform.ts';

const PAGE = `query ($first: Int, $after: String, $filter: AuditFilter) {
  auditEvents(first: $first, after: $after, filter: $filter) { edges { cursor node { seq } } pageInfo { hasNextPage endCursor } }
}`;
const EVENT = `query ($id: ID!) { auditEvent(id: $id) {
  id seq ts action actionVersion outcome actor { type id ip ua user { __typename id } } resource { type id name } context sessionId requestId entry leafHash
} }`;
const REFERENCE = 'query ($of: [_Any!]!) { _entities(representations: $of) { ... on AuditEvent { id seq } } }';

type Page = {
  auditEvents: {
    edges: { cursor: string; node: { seq: number } }[];
    pageInfo: { hasNextPage: boolean; endCursor: string | null };
  };
};

const house = await openAudit();
const user = mintId('usr');
const EVENTS: readonly EventDraft[] = [
  {
    action: 'user.create',
    actor: { type: 'user', id: user, ip: '203.0.113.7', ua: 'browser' },
    resource: { type: 'user', id: mintId('usr'), name: 'Ada' },
    ts: '2026-01-01T00:00:00Z',
  },
  {
    action: 'document.share',
    actor: { type: 'user', id: user },
    resource: { type: 'document', id: 'doc-1' },
    context: { to: 'Ada@Example.com', note: 'say "hi" 100%_' },
    ts: '2026-01-02T00:00:00Z',
  },
  { action: 'gateway.deny', actor: { type: 'anonymous', id: null }, outcome: 'denied', ts: '2026-01-03T00:00:00Z' },
  {
    action: 'document.share',
    actor: { type: 'api_key', id: 'key-1' },
    resource: { type: 'document', id: 'doc-2' },
    outcome: 'failure',
    ts: '2026-01-04T00:00:00Z',
  },
];

const minute = (count: number) => new Date(Date.UTC(2026, 0, 1) + count * 60_000).toISOString();
const seqsOf = (page: Page) => page.auditEvents.edges.map(({ node }) => node.seq);

describe('the events of a tenant', () => {
  it('come newest first, page by page, neither repeated nor skipped while others are appended', async () => {
    const { ctx, log } = await house.addTenant('busy');
    await log.append(Array.from({ length: 25 }, () => ({})));
    const seen: number[] = [];
    let after: string | null = null;
    do {
      const page: Page = await dataOf<Page>(ask(ctx, PAGE, { first: 4, after }));
      seen.push(...seqsOf(page));
      after = page.auditEvents.pageInfo.hasNextPage ? page.auditEvents.pageInfo.endCursor : null;
      await log.append([{}, {}, {}]);
    } while (after !== null);
    expect(seen).toEqual(Array.from({ length: 25 }, (_, index) => 24 - index));
  });

  it('go on through the logs of earlier epochs', async () => {
    const { ctx, log } = await house.addTenant('moved');
    await log.append([{}, {}, {}]);
    await beginLog({ url: house.stores.url('eu-1 audit', 'tenon_worker'), tenant: ctx.tenant.tenant, epoch: 2 }).append(
      [{}, {}],
    );
    const first = await dataOf<Page>(ask(ctx, PAGE, { first: 3 }));
    const second = await dataOf<Page>(ask(ctx, PAGE, { first: 3, after: first.auditEvents.pageInfo.endCursor }));
    expect([seqsOf(first), seqsOf(second)]).toEqual([
      [1, 0, 2],
      [1, 0],
    ]);
    expect(second.auditEvents.pageInfo.hasNextPage).toBe(false);
  });

  it('are none for a tenant whose log is empty', async () => {
    const { ctx } = await house.addTenant('empty');
    expect(seqsOf(await dataOf<Page>(ask(ctx, PAGE)))).toEqual([]);
  });
});

describe('a filter', async () => {
  const { ctx, log } = await house.addTenant('acme');
  await log.append(EVENTS);

  it.each([
    [{ actorId: user }, [1, 0]],
    [{ action: 'document.share' }, [3, 1]],
    [{ resourceType: 'document', resourceId: 'doc-2' }, [3]],
    [{ outcome: 'DENIED' }, [2]],
    [{ from: '2026-01-02T00:00:00Z', to: '2026-01-04T00:00:00Z' }, [2, 1]],
    [{ text: 'ada@example' }, [1]],
    [{ text: 'say "hi" 100%_' }, [1]],
    [{ text: '100%-' }, []],
    [{ action: 'document.share', outcome: 'FAILURE', actorId: user }, []],
    [{ actorId: null }, [3, 2, 1, 0]],
    [{}, [3, 2, 1, 0]],
  ])('%j finds %j', async (filter, seqs) => {
    expect(seqsOf(await dataOf<Page>(ask(ctx, PAGE, { filter })))).toEqual(seqs);
  });

  it.each([
    [{ filter: { text: '' } }],
    [{ filter: { text: 'x'.repeat(201) } }],
    [{ filter: { action: 'a\u0000b' } }],
    [{ after: Buffer.from('1.').toString('base64url') }],
    [{ after: Buffer.from(`1.${'9'.repeat(30)}`).toString('base64url') }],
    [{ after: 'a b' }],
    [{ first: 101 }],
    [{ first: -1 }],
  ])('or page that is malformed is BAD_USER_INPUT: %j', async (variables) => {
    expect(await codeOf(ask(ctx, PAGE, variables))).toBe('BAD_USER_INPUT');
  });

  it('shows every part of an event', async () => {
    const [entry] = log.entries;
    const { auditEvent } = await dataOf<{ auditEvent: object }>(ask(ctx, EVENT, { id: entry?.event.id }));
    expect(auditEvent).toEqual({
      id: entry?.event.id,
      seq: 0,
      ts: '2026-01-01T00:00:00.000Z',
      action: 'user.create',
      actionVersion: 1,
      outcome: 'SUCCESS',
      actor: { type: 'USER', id: user, ip: '203.0.113.7', ua: 'browser', user: { __typename: 'User', id: user } },
      resource: entry?.event.resource,
      context: {},
      sessionId: null,
      requestId: 'req_0',
      entry: entry?.text,
      leafHash: entry?.leaf.toString('hex'),
    });
    const { auditEvent: anonymous } = await dataOf<{ auditEvent: object }>(
      ask(ctx, EVENT, { id: log.entries[2]?.event.id }),
    );
    expect(anonymous).toMatchObject({ actor: { type: 'ANONYMOUS', id: null, user: null } });
  });
});

describe('a window of time', () => {
  it('holds the same entries whether they are few or many, also where times do not follow the order of the log', async () => {
    const { ctx, log } = await house.addTenant('long');
    await log.append(Array.from({ length: 20_600 }, (_, index) => ({ ts: minute(index) })));
    await log.append([{ ts: minute(5) }, { ts: minute(30_000) }, { ts: minute(7) }]);
    const find = async (from: number, to: number) =>
      seqsOf(await dataOf<Page>(ask(ctx, PAGE, { first: 4, filter: { from: minute(from), to: minute(to) } })));
    expect(await find(4, 8)).toEqual([20_602, 20_600, 7, 6]);
    expect(await find(0, 20_500)).toEqual([20_602, 20_600, 20_499, 20_498]);
    expect(await find(6, 20_500)).toEqual([20_602, 20_499, 20_498, 20_497]);
    expect(await find(40_000, 50_000)).toEqual([]);
  });
});

describe('reading the log', () => {
  it('is recorded once a query, by the names of the filters and nothing else', async () => {
    const { ctx, log } = await house.addTenant('watched');
    const [entry] = await log.append([{}, {}]);
    await log.seal();
    const id = entry?.event.id;
    await ask(ctx, PAGE, { filter: { text: 'secret', actorId: 'usr_1', outcome: null } });
    await ask(ctx, '{ auditEvents { edges { node { proof { status } } } } }');
    await ask(ctx, EVENT, { id });
    await ask(ctx, REFERENCE, {
      of: [
        { __typename: 'AuditEvent', id },
        { __typename: 'AuditEvent', id: mintId('aud') },
      ],
    });
    await ask(ctx, '{ auditLog { size } }');
    await house.fetch(ctx, `/v1/audit/events/${id}/proof`);
    await house.fetch(ctx, '/v1/audit/checkpoint');
    const written = await house.written(ctx);
    expect(written.every(({ action, resource }) => action === 'audit.read' && resource.id === ctx.tenant.tenant)).toBe(
      true,
    );
    expect(written[0]?.actor).toMatchObject({ type: 'user', id: ctx.tenant.actor.id });
    expect(written.map(({ context }) => context)).toEqual([
      { door: 'search', filters: ['actor_id', 'text'] },
      { door: 'search', filters: [] },
      { door: 'event', filters: [] },
      { door: 'event', filters: [] },
      { door: 'proof', filters: [] },
    ]);
  });

  it('that cannot be recorded shows nothing', async () => {
    const { ctx, log } = await house.addTenant('blind');
    await log.append([{}]);
    const broken = { ...ctx, tenant: { ...ctx.tenant, requestId: 'x'.repeat(5000) } };
    const answer = await house.fetch(broken, '/v1/audit/events.ndjson');
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([500, 'AUDIT_EVENT_REFUSED']);
  });
});

describe('another tenant', () => {
  it('finds no event of this one, by search, id or reference', async () => {
    const { ctx: owner, log } = await house.addTenant('owner');
    await log.append([{ actor: { id: 'shared-name' } }]);
    const { ctx: stranger, log: own } = await house.addTenant('stranger');
    const [mine] = await own.append([{ actor: { id: 'shared-name' } }]);
    const id = log.entries[0]?.event.id;
    const found = await dataOf<{ auditEvents: { edges: { node: { id: string } }[] } }>(
      ask(stranger, '{ auditEvents(filter: { actorId: "shared-name" }) { edges { node { id } } } }'),
    );
    expect(found.auditEvents.edges.map(({ node }) => node.id)).toEqual([mine?.event.id]);
    expect(await dataOf(ask(stranger, EVENT, { id }))).toEqual({ auditEvent: null });
    const of = [id, mine?.event.id, 'nonsense'].map((each) => ({ __typename: 'AuditEvent', id: each }));
    expect(await dataOf(ask(stranger, REFERENCE, { of }))).toEqual({
      _entities: [null, { id: mine?.event.id, seq: 0 }, null],
    });
    expect(seqsOf(await dataOf<Page>(ask(owner, PAGE)))).toEqual([0]);
  });
});

describe('a right that is missing', () => {
  it('closes search, event and reference, and leaves no trace of a reading', async () => {
    const { ctx } = await house.addTenant('closed');
    const blind = without(ctx, 'audit:read');
    expect(await codeOf(ask(blind, PAGE))).toBe('FORBIDDEN');
    expect(await codeOf(ask(blind, EVENT, { id: mintId('aud') }))).toBe('FORBIDDEN');
    expect(await codeOf(ask(blind, REFERENCE, { of: [{ __typename: 'AuditEvent', id: mintId('aud') }] }))).toBe(
      'FORBIDDEN',
    );
    expect(await house.written(ctx)).toEqual([]);
  });
});
