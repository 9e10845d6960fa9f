import { beforeAll, describe, expect, test } from 'vitest';
import { inTenant } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { TenonError } from '#schema/errors.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { billing } from '../../../subgraphs/billing/index.ts';
import type { UsageReceipt } from '../../../subgraphs/billing/usage.ts';
import { nextRequest, openBilling, record, usage, type BillingPlatform } from './billing-platform.ts';

let house: BillingPlatform;
let acme: RequestContext;
let globex: RequestContext;

beforeAll(async () => {
  house = await openBilling();
  acme = await house.addTenant('acme', 'ENTERPRISE');
  globex = await house.addTenant('globex', 'GROWTH');
});

describe('recordUsage', () => {
  test('stores the event of the deck as it was reported', async () => {
    const user = mintId('usr');
    const event = usage('deck', {
      event_id: mintId('evt'),
      tenant_id: acme.tenant.tenant,
      user_id: user,
      metadata: { model: 'gpt-5', feature: 'chat' },
    });
    expect(await record(acme, [event])).toMatchObject({ accepted: 1, duplicates: 0 });
    const [row] = await house.stored(acme, 'deck');
    expect(row).toMatchObject({
      id: uuidOf('evt', String(event['event_id'])),
      user_id: uuidOf('usr', user),
      metric: 'tokens_used',
      value: '1284',
      ts: new Date('2026-05-04T10:33:21Z'),
      metadata: { model: 'gpt-5', feature: 'chat' },
    });
  });

  test('counts the same event under the same key once', async () => {
    expect(await record(acme, [usage('again')])).toMatchObject({ accepted: 1, duplicates: 0 });
    expect(await record(acme, [usage('again', { value: '1284.0' })])).toMatchObject({ accepted: 0, duplicates: 1 });
    expect(await record(acme, [usage('again'), usage('new'), usage('new')])).toMatchObject({
      accepted: 1,
      duplicates: 2,
    });
    expect(await house.stored(acme, 'again')).toHaveLength(1);
  });

  test('refuses another event under the same key, and stores nothing of the request', async () => {
    await record(acme, [usage('taken')]);
    const before = await outboxSize(acme);
    const error = await refusal(record(acme, [usage('innocent'), usage('taken', { value: 1285 })]));
    expect(error.code).toBe('IDEMPOTENCY_CONFLICT');
    expect(error.hint).toBe('It is events[1].idempotency.');
    expect(await house.stored(acme, 'innocent')).toHaveLength(0);
    expect((await house.stored(acme, 'taken')).map((row) => row.value)).toEqual(['1284']);
    expect(await outboxSize(acme)).toBe(before);
  });

  test('refuses two events under one key within a request', async () => {
    const error = await refusal(record(acme, [usage('twofold'), usage('twofold', { value: 1 })]));
    expect(error).toMatchObject({ code: 'IDEMPOTENCY_CONFLICT', hint: 'It is events[1].idempotency.' });
    expect(await house.stored(acme, 'twofold')).toHaveLength(0);
  });

  test('refuses an event id that is taken by another key', async () => {
    const id = mintId('evt');
    await record(acme, [usage('first-id', { event_id: id })]);
    const error = await refusal(record(acme, [usage('second-id', { event_id: id })]));
    expect(error).toMatchObject({ code: 'UNIQUENESS', hint: 'events[0].event_id is the id of another event.' });
    expect(await house.stored(acme, 'second-id')).toHaveLength(0);
  });

  test('stores one row when requests with the same key meet', async () => {
    const receipts = await Promise.all(Array.from({ length: 6 }, () => record(acme, [usage('race')])));
    expect(sum(receipts, 'accepted')).toBe(1);
    expect(sum(receipts, 'duplicates')).toBe(5);
    expect(await house.stored(acme, 'race')).toHaveLength(1);
  });

  test('lets one of two different events win when they meet under one key', async () => {
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map((value) => record(acme, [usage('duel', { value })])));
    const won = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    const lost = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(won).toHaveLength(1);
    expect(lost.map((outcome) => (outcome.reason as TenonError).code)).toEqual(
      Array.from({ length: 3 }, () => 'IDEMPOTENCY_CONFLICT'),
    );
    expect(await house.stored(acme, 'duel')).toHaveLength(1);
  });

  test('does not deadlock when batches share keys in opposite orders', async () => {
    const keys = Array.from({ length: 300 }, (_, index) => `shared-${index}`);
    const batches = [keys, keys.toReversed(), keys, keys.toReversed()].map((order) =>
      record(
        acme,
        order.map((key) => usage(key)),
      ),
    );
    const receipts = await Promise.all(batches);
    expect(sum(receipts, 'accepted')).toBe(300);
    expect(sum(receipts, 'duplicates')).toBe(900);
  });

  test('writes one audit event a request, with counts and without what was counted', async () => {
    const receipt = await record(acme, [
      usage('audited-1'),
      usage('audited-2', { metric: 'seats', value: 3 }),
      usage('audited-1'),
    ]);
    const [row] = await house.peek<{ event: string }>('select event from outbox where id = $1', [
      uuidOf('aud', receipt.auditEventId),
    ]);
    expect(JSON.parse(row?.event ?? '')).toMatchObject({
      id: receipt.auditEventId,
      tenant_id: acme.tenant.tenant,
      action: 'usage.record',
      resource: { type: 'tenant', id: acme.tenant.tenant, name: null },
      context: { accepted: 2, duplicates: 1, metrics: ['seats', 'tokens_used'] },
    });
  });

  test('keeps the keys of two tenants apart', async () => {
    await record(acme, [usage('mine')]);
    expect(await record(globex, [usage('mine', { value: 7 })])).toMatchObject({ accepted: 1 });
    expect((await house.stored(acme, 'mine')).map((row) => row.value)).toEqual(['1284']);
    expect((await house.stored(globex, 'mine')).map((row) => row.value)).toEqual(['7']);
  });

  test('stores no event of another tenant', async () => {
    const error = await refusal(record(acme, [usage('foreign', { tenant_id: globex.tenant.tenant })]));
    expect(error).toMatchObject({
      code: 'BAD_USER_INPUT',
      hint: 'events[0].tenant_id is not the tenant of this credential.',
    });
  });

  test.each(['update usage_events set value = 0', 'delete from usage_events', 'truncate usage_events'])(
    'is append-only for the application: %s',
    async (statement) => {
      await record(acme, [usage('kept')]);
      await expect(inTenant(acme, (tx) => tx.query(statement))).rejects.toThrow(
        'permission denied for table usage_events',
      );
    },
  );

  test('takes a thousand events at once', async () => {
    const events = Array.from({ length: 1000 }, (_, index) =>
      usage(`bulk-${index}`, { value: `0.00000000000${index % 10}` }),
    );
    expect(await record(acme, events)).toMatchObject({ accepted: 1000, duplicates: 0 });
  });
});

describe('the personal data of billing', () => {
  test('are the usage events that name the person', async () => {
    const user = mintId('usr');
    const event = usage('personal', {
      event_id: mintId('evt'),
      user_id: user,
      value: '0.50',
      metadata: { model: 'gpt-5' },
    });
    await record(acme, [event, usage('of-nobody'), usage('of-another', { user_id: mintId('usr') })]);
    expect(await billing.personalData?.collect(nextRequest(acme), { userId: user, email: null })).toEqual([
      {
        store: 'billing.usageEvents',
        rows: [
          {
            id: event['event_id'],
            metric: 'tokens_used',
            value: '0.5',
            timestamp: '2026-05-04T10:33:21.000Z',
            metadata: { model: 'gpt-5' },
            receivedAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
          },
        ],
      },
    ]);
  });

  test('are none of another tenant', async () => {
    const user = mintId('usr');
    await record(globex, [usage('elsewhere', { user_id: user })]);
    expect(await billing.personalData?.collect(nextRequest(acme), { userId: user, email: null })).toEqual([
      { store: 'billing.usageEvents', rows: [] },
    ]);
  });
});

async function refusal(work: Promise<unknown>): Promise<TenonError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof TenonError) return error;
  throw new Error('it was not refused');
}

async function outboxSize(ctx: RequestContext): Promise<number> {
  const rows = await house.peek('select from outbox where tenant_id = $1', [uuidOf('tnt', ctx.tenant.tenant)]);
  return rows.length;
}

function sum(receipts: readonly UsageReceipt[], name: 'accepted' | 'duplicates'): number {
  return receipts.reduce((total, receipt) => total + receipt[name], 0);
}
