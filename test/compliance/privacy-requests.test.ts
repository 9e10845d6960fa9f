import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { createDeadlineTurn } from '../../compliance/privacy/deadline-turn.ts';
import { evidenceTurn } from '../../compliance/evidence/turn.ts';
import { downloadEvidence } from '../../subgraphs/audit/evidence.ts';
import { eraseSubject } from '../../subgraphs/audit/personal-erasure.ts';
import { monthsAfter } from '../../subgraphs/audit/privacy-deadline.ts';
import {
  extendRequest,
  findRequest,
  listRequests,
  requestSubjectAccess,
} from '../../subgraphs/audit/privacy-requests.ts';
import { openEvidenceHouse, type EvidenceHouse } from './evidence-fixture.ts';
import { erasureTurn } from './privacy-world.ts';

const DAY_MS = 86_400_000;
let house: EvidenceHouse;
let admin: RequestContext;
let other: RequestContext;
let person: Id<'usr'>;
let pools: { readonly tenants: pg.Pool; readonly audit: pg.Pool };

beforeAll(async () => {
  house = await openEvidenceHouse();
  admin = await house.contextOf(house.acme);
  other = await house.contextOf(house.initech);
  person = await house.addPerson(house.acme, 'ina.asking@example.com');
  const open = (store: 'eu-1' | 'eu-1 audit') =>
    new pg.Pool({ connectionString: house.stores.url(store, 'tenon_worker'), max: 2 });
  pools = { tenants: open('eu-1'), audit: open('eu-1 audit') };
  for (const pool of Object.values(pools)) pool.on('error', () => undefined);
});
afterAll(async () => {
  await Promise.all([pools.tenants.end(), pools.audit.end()]);
});

describe('the time to answer a request', () => {
  it('ends on the same day of the month, or on its last, and never later', () => {
    expect(monthsAfter(new Date('2026-01-31T10:00:00Z'), 1)).toEqual(new Date('2026-02-28T10:00:00Z'));
    expect(monthsAfter(new Date('2026-11-30T23:59:59Z'), 3)).toEqual(new Date('2027-02-28T23:59:59Z'));
    const dates = fc.date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true });
    fc.assert(
      fc.property(dates, fc.integer({ min: 1, max: 3 }), (from, months) => {
        const end = monthsAfter(from, months);
        const passed = (end.getUTCFullYear() - from.getUTCFullYear()) * 12 + end.getUTCMonth() - from.getUTCMonth();
        expect(passed).toBe(months);
        expect(end.getUTCDate()).toBeLessThanOrEqual(from.getUTCDate());
        expect(end.getTime() % DAY_MS).toBe(from.getTime() % DAY_MS);
      }),
    );
  });
});

describe('a request for access', () => {
  it('is due in a month, and answered when somebody has fetched the pack', async () => {
    const receivedAt = new Date(Date.now() - 3 * DAY_MS);
    const request = await requestSubjectAccess(admin, { userId: person, receivedAt, reference: 'DSR-1' });
    expect(request).toMatchObject({
      state: 'open',
      kind: 'access',
      subject: { id: person },
      dueAt: monthsAfter(receivedAt, 1),
    });
    await house.seal();
    await evidenceTurn({ ...house.builder, cells: ['eu-1', 'us-1'] })();
    expect((await findRequest(admin, request.id))?.state).toBe('open');
    await downloadEvidence(admin, request.packId ?? '');
    expect(await findRequest(admin, request.id)).toMatchObject({ state: 'answered', answeredAt: expect.any(Date) });
  });

  it('is extended once, before it is due, and by two months at most', async () => {
    const receivedAt = new Date(Date.now() - 3 * DAY_MS);
    const { id } = await requestSubjectAccess(admin, { userId: person, receivedAt });
    const extended = await extendRequest(admin, { id, months: 2, reason: 'a great many requests' });
    expect(extended).toMatchObject({ dueAt: monthsAfter(receivedAt, 3), extensionReason: 'a great many requests' });
    const again = extendRequest(admin, { id, months: 1, reason: 'more' });
    await expect(again).rejects.toMatchObject({ code: 'CONFLICT' });
    const late = await requestSubjectAccess(admin, { userId: person, receivedAt: new Date(Date.now() - 40 * DAY_MS) });
    expect(late.state).toBe('overdue');
    await expect(extendRequest(admin, { id: late.id, months: 1, reason: 'x' })).rejects.toMatchObject({
      code: 'CONFLICT',
    });
  });

  it('did not come from the future, or from before last year', async () => {
    for (const receivedAt of [new Date(Date.now() + DAY_MS), new Date('2020-01-01'), new Date(Number.NaN)])
      await expect(requestSubjectAccess(admin, { userId: person, receivedAt })).rejects.toMatchObject({
        code: 'BAD_USER_INPUT',
      });
  });

  it('is nothing to another tenant', async () => {
    const [first] = (await listRequests(admin, { first: 1 })).edges;
    const id = first?.node.id ?? '';
    expect(await findRequest(other, id)).toBeNull();
    expect((await listRequests(other, { first: 10 })).edges).toEqual([]);
    await expect(extendRequest(other, { id, months: 1, reason: 'x' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('a request for erasure', () => {
  it('is entered with the erasure, and answered when nothing of her is left', async () => {
    const gone = await house.addPerson(house.acme, 'ivo.leaving@example.com');
    const receivedAt = new Date(Date.now() - 5 * DAY_MS);
    const { id } = await eraseSubject(admin, { userId: gone, basis: 'objection', request: 'DSR-2', receivedAt });
    const find = async () =>
      (await listRequests(admin, { first: 50 })).edges.find(({ node }) => node.erasureId === id)?.node;
    expect(await find()).toMatchObject({ kind: 'erasure', state: 'open', reference: 'DSR-2', receivedAt });
    await house.seal();
    await erasureTurn(house)();
    expect((await find())?.state).toBe('answered');
  });
});

describe('a request that is overdue', () => {
  it('shows an alarm at the log of its tenant alone, until it is answered', async () => {
    const turn = createDeadlineTurn({ ...pools, clock: () => new Date(), intervalMs: 0 });
    const alarmed = async () => {
      const { rows } = await pools.audit.query<{ tenant: string }>(
        `select tenant_id as tenant from log_alarms where kind = 'privacy'`,
      );
      return rows.map(({ tenant }) => tenant);
    };
    expect((await listRequests(admin, { first: 50, state: 'overdue' })).edges.length).toBeGreaterThan(0);
    await turn();
    expect(await alarmed()).toEqual([uuidOf('tnt', house.acme)]);
    await pools.tenants.query('update privacy_requests set answered_at = now() where answered_at is null');
    await turn();
    expect(await alarmed()).toEqual([]);
  });
});
