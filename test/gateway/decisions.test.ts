import { describe, expect, it } from 'vitest';
import type { AuditEvent } from '#schema/audit-event.ts';
import { codesOf, type HttpAnswer, post, twice } from '../support/graphql-http.ts';
import { openHouse } from '../support/house.ts';
import { openOperator } from '../support/operator.ts';
import { outboxEvents } from '../support/outbox.ts';

let nowMs = Date.now();
const house = await openHouse({ clock: () => new Date(nowMs) });
const operate = await openOperator(house);

type TenantName = 'acme' | 'globex' | 'initech';

/** The gateway's decisions in a tenant's log, the oldest first. */
async function decisionsOf(tenant: TenantName): Promise<AuditEvent[]> {
  const events = await outboxEvents(house, tenant);
  return events.filter(({ resource }) => resource.type === 'gateway');
}

/** Returns what an answer added to the tenant's log. */
async function recordedBy(tenant: TenantName, send: () => Promise<HttpAnswer>) {
  const before = (await decisionsOf(tenant)).length;
  const answer = await send();
  return { answer, events: (await decisionsOf(tenant)).slice(before) };
}

const query = (text: string, variables: object = {}) => ({ query: text, variables });
const CREATE = 'mutation { createProject(input: { name: "x" }) { project { id } } }';
const many = (count: number, part: (index: number) => string) =>
  Array.from({ length: count }, (_, i) => part(i)).join(' ');

interface Refused {
  readonly by: 'admin' | 'member' | 'partner' | 'scim';
  readonly body: unknown;
  readonly code: string;
  readonly action: string;
}

const refused: readonly Refused[] = [
  {
    by: 'partner',
    body: query('{ tenant { slug } }'),
    code: 'PERSISTED_QUERY_ID_REQUIRED',
    action: 'operation.refuse',
  },
  {
    by: 'partner',
    body: { documentId: 'a'.repeat(64) },
    code: 'PERSISTED_QUERY_NOT_IN_LIST',
    action: 'operation.refuse',
  },
  {
    by: 'admin',
    body: query('{ projects(first: 100) { edges { node { documents(first: 100) { edges { node { id } } } } } } }'),
    code: 'COST_ESTIMATED_TOO_EXPENSIVE',
    action: 'operation.refuse',
  },
  {
    by: 'scim',
    body: query('{ __schema { types { name } } }'),
    code: 'INTROSPECTION_DISABLED',
    action: 'operation.refuse',
  },
  {
    by: 'admin',
    body: query(`${'{ a '.repeat(20)}${'} '.repeat(20)}`),
    code: 'MAX_DEPTH_LIMIT',
    action: 'operation.refuse',
  },
  {
    by: 'admin',
    body: query(`{ tenant { ${many(60, (index) => `a${index}: slug`)} } }`),
    code: 'MAX_ALIASES_LIMIT',
    action: 'operation.refuse',
  },
  {
    by: 'admin',
    body: query(`{ ${many(30, (index) => `a${index}: tenant { slug }`)} }`),
    code: 'MAX_ROOT_FIELDS_LIMIT',
    action: 'operation.refuse',
  },
  {
    by: 'admin',
    body: query(`{ tenant { slug ${many(60, () => '@skip(if: false)')} } }`),
    code: 'MAX_DIRECTIVES_LIMIT',
    action: 'operation.refuse',
  },
  {
    by: 'admin',
    body: query(`{ tenant { ${many(11_000, () => 'slug')} } }`),
    code: 'MAX_TOKENS_LIMIT',
    action: 'operation.refuse',
  },
  {
    by: 'admin',
    body: Array.from({ length: 11 }, () => query('{ tenant { slug } }')),
    code: 'BATCH_LIMIT_EXCEEDED',
    action: 'operation.refuse',
  },
  {
    by: 'member',
    body: query('{ tenant { slug } auditEvent(id: "aud_00000000000000000000000000") { id } }'),
    code: 'FORBIDDEN',
    action: 'request.deny',
  },
];

describe('a decision of the gateway', () => {
  it.each(refused)('$code is one event in the tenant’s log', async ({ by, body, code, action }) => {
    nowMs += 11_000;
    const { answer, events } = await recordedBy('acme', () => post(house, house.acme[by], { body }));
    expect(codesOf(answer.body)).toEqual([code]);
    expect(events).toEqual([
      expect.objectContaining({
        action,
        tenant_id: house.acme.id,
        resource: { type: 'gateway', id: 'graphql', name: null },
        context: { code, suppressed: 0, ...(by === 'partner' ? { client: 'partner-app' } : {}) },
        request_id: answer.headers.get('x-request-id'),
      }),
    ]);
    // The next ones within ten seconds are counted, and the one after that tells how many there were.
    const soon = await recordedBy('acme', async () => {
      await post(house, house.acme[by], { body });
      return post(house, house.acme[by], { body });
    });
    expect([codesOf(soon.answer.body), soon.events]).toEqual([[code], []]);
    nowMs += 11_000;
    const later = await recordedBy('acme', () => post(house, house.acme[by], { body }));
    expect(later.events.map(({ context }) => context)).toEqual([expect.objectContaining({ code, suppressed: 2 })]);
  });

  it('is recorded by itself for each tenant and each caller of hers', async () => {
    nowMs += 11_000;
    const body = query('{ mine: auditEvent(id: "aud_00000000000000000000000000") { id } }');
    await twice(async () => {
      for (const token of [house.acme.member, house.acme.scim, house.globex.member]) await post(house, token, { body });
    });
    const [acme, globex] = [await decisionsOf('acme'), await decisionsOf('globex')];
    const denied = (events: AuditEvent[]) =>
      events.filter(({ action, ts }) => action === 'request.deny' && ts === new Date(nowMs).toISOString());
    expect(new Set(denied(acme).map(({ actor }) => actor.id)).size).toBe(2);
    expect([denied(acme).length, denied(globex).length]).toEqual([2, 1]);
  });

  it('is none where the document or a value in it is wrong', async () => {
    for (const body of [
      query('{ oops }'),
      query('{ tenant {'),
      query('query ($first: Int!) { projects(first: $first) { edges { cursor } } }'),
      { documentId: 'b'.repeat(64) },
      query('mutation { createProject(input: { name: "" }) { project { id } } }'),
    ]) {
      const { answer, events } = await recordedBy('globex', () => post(house, house.globex.admin, { body }));
      expect(codesOf(answer.body)).toHaveLength(1);
      expect(events).toEqual([]);
    }
  });
});

describe('the log of a tenant', () => {
  it('shows that she was read-only when she wanted to write, once the first time and once as a known operation', async () => {
    await operate('ChangeTenantState', { tenantId: house.initech.id, to: 'CANCELLED' });
    await twice(async () => {
      nowMs += 11_000;
      const { answer, events } = await recordedBy('initech', () =>
        post(house, house.initech.member, { body: query(CREATE) }),
      );
      expect(codesOf(answer.body)).toEqual(['TENANT_READ_ONLY']);
      expect(events).toEqual([
        expect.objectContaining({ action: 'request.deny', context: { code: 'TENANT_READ_ONLY', suppressed: 0 } }),
      ]);
    });
    await operate('ChangeTenantState', { tenantId: house.initech.id, to: 'ACTIVE' });
  });

  it('shows the change of her limits, who was throttled by them from the next request on, and how often', async () => {
    const rate = { capacity: 2, restorePerSecond: 0.01 };
    await operate('SetTenantLimits', { tenantId: house.globex.id, user: { requests: rate } });
    const changed = (await outboxEvents(house, 'globex')).filter(({ action }) => action === 'limits.change');
    expect(changed).toEqual([
      expect.objectContaining({
        tenant_id: house.globex.id,
        context: expect.objectContaining({ after: { user: { requests: { capacity: 2, restore_per_second: 0.01 } } } }),
      }),
    ]);
    nowMs += 11_000;
    const send = () => post(house, house.globex.auditor, { body: query('{ tenant { slug } }') });
    const { answer, events } = await recordedBy('globex', async () => {
      const answers = [await send(), await send(), await send(), await send()];
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 429, 429]);
      expect(answers[3]?.body.errors?.[0]?.extensions).toMatchObject({
        problem: { status: 429, 'violated-policies': ['user-requests'] },
      });
      return send();
    });
    expect(codesOf(answer.body)).toEqual(['THROTTLED']);
    expect(events.map(({ action, context }) => ({ action, context }))).toEqual([
      { action: 'request.throttle', context: { code: 'THROTTLED', suppressed: 0 } },
    ]);
    nowMs += 11_000;
    const later = await recordedBy('globex', send);
    expect(later.events.map(({ context }) => context)).toEqual([{ code: 'THROTTLED', suppressed: 2 }]);
  });
});
