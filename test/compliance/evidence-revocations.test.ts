import { expect, test } from 'vitest';
import type { Change } from '#kit/change-feed.ts';
import { inTenant } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { acknowledgeRevocations } from '../../gateway/revocation/acknowledgement.ts';
import { deactivateUser } from '../../subgraphs/identity/service.ts';
import { withClient } from '../support/postgres.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { jsonIn, openEvidenceHouse, rowsIn, WINDOW } from './evidence-fixture.ts';

const house = await openEvidenceHouse();
const { acme, initech } = house;
const CRITERIA = ['CC6.2', 'CC6.3'];

const heard = await leave('heard@acme.example');
await gatewayHears(heard.revocation);
const unheard = await leave('unheard@acme.example');
const forgotten = await leave('forgotten@acme.example');
await asOwner(`update app.revocations set gateways = 2, revoked_at = revoked_at - interval '1 minute'
  where id = '${uuidOf('rvk', forgotten.revocation)}'`);
// Times from 1 to 200 ms, in no order; one gateway of three did not confirm the last of them.
const TIMES = Array.from({ length: 200 }, (_, index) => ((index * 77) % 200) + 1);
for (const [index, latencyMs] of TIMES.entries()) await recordEnforced(latencyMs, index === TIMES.length - 1 ? 1 : 0);
await house.seal();
const [real, figures] = [await house.build({ tenant: acme }), await house.build({ tenant: initech })];

test('an end of access that a gateway confirmed stands in the population with its time, as the log has it', () => {
  const rows = rowsIn<{ resource_id: string; latency_ms: number; revoked_at: string }>(real, 'revocations');
  expect(rows).toEqual([
    expect.objectContaining({ resource_id: heard.user, reason: 'deactivated', gateways: 0, unconfirmed: 0 }),
  ]);
  const [row] = rows;
  expect(row?.latency_ms).toBeGreaterThanOrEqual(0);
  const max = row?.latency_ms;
  for (const criterion of CRITERIA) {
    expect(jsonIn(real, `controls/${criterion}/control.json`).facts).toMatchObject({
      revocations_enforced: 1,
      revocation_latency_ms: { p50: max, p95: max, p99: max, max },
      revocations_slowest: [{ subject: heard.user, reason: 'deactivated', latency_ms: max }],
      revocations_unconfirmed: 0,
      revocations_open: 2,
    });
  }
});

test('an end that nobody confirmed is listed, and an exception where gateways were there to hear of it', () => {
  const rows = rowsIn<{ revocation: string }>(real, 'revocations-open');
  expect(rows.map(({ revocation }) => revocation)).toEqual([unheard.revocation, forgotten.revocation].toSorted());
  expect(rows).toContainEqual(
    expect.objectContaining({ subject: unheard.user, reason: 'deactivated', gateways: 0, difference: null }),
  );
  const exceptions = real.files.get('controls/CC6.3/exceptions.csv') ?? '';
  expect(exceptions).toContain(
    `${forgotten.revocation},,no entry tells when the 2 gateways that were there refused it`,
  );
  expect(exceptions).not.toContain(unheard.revocation);
});

test('percentiles are by nearest rank, and the ten slowest are named by their entries', () => {
  const rows = rowsIn<{ seq: number; latency_ms: number }>(figures, 'revocations');
  expect(rows.map((row) => row.latency_ms)).toEqual(TIMES);
  for (const criterion of CRITERIA) {
    const facts = jsonIn(figures, `controls/${criterion}/control.json`).facts as {
      revocations_slowest: { seq: number; event: string; latency_ms: number }[];
    };
    expect(facts).toMatchObject({
      revocations_enforced: 200,
      revocation_latency_ms: { p50: 100, p95: 190, p99: 198, max: 200 },
      revocations_unconfirmed: 1,
      revocations_open: 0,
    });
    const slowest = facts.revocations_slowest;
    expect(slowest.map((one) => one.latency_ms)).toEqual([200, 199, 198, 197, 196, 195, 194, 193, 192, 191]);
    expect(slowest.map(({ seq }) => seq)).toEqual(
      slowest.map((one) => rows.find((row) => row.latency_ms === one.latency_ms)?.seq),
    );
    expect(slowest.every(({ event }) => event.startsWith('aud_'))).toBe(true);
  }
});

test('an end that one of the gateways did not confirm is an exception with its entry', () => {
  const last = rowsIn<{ seq: number; resource_id: string }>(figures, 'revocations').at(-1);
  expect(figures.files.get('controls/CC6.3/exceptions.csv')).toContain(
    `${last?.resource_id},${last?.seq},1 of 3 gateways had not confirmed in time that they refuse it`,
  );
});

test('an end outside of the window counts for nothing', async () => {
  const past = await house.build({ tenant: acme, window: { from: WINDOW.from, to: new Date('2020-02-01') } });
  expect(jsonIn(past, 'controls/CC6.3/control.json').facts).toMatchObject({
    revocations_enforced: 0,
    revocation_latency_ms: { p50: null, p95: null, p99: null, max: null },
    revocations_slowest: [],
    revocations_open: 0,
  });
});

test('the verifier finds the pack whole and unchanged, and the same log gives the same bytes', async () => {
  for (const [tenant, pack] of [[acme, real] as const, [initech, figures] as const]) {
    const report = await verifyTarget(pack.save(), { keys: [TEST_SIGNING_KEY.verifierKey] });
    expect([report.integrity.verdict, report.completeness.verdict]).toEqual(['pass', 'pass']);
    expect(jsonIn(pack, 'populations/revocations.completeness.json')).toMatchObject({ completeness: 'pass' });
    expect((await house.build({ tenant })).sha256).toBe(pack.sha256);
  }
});

async function leave(userName: string): Promise<{ user: Id<'usr'>; revocation: Id<'rvk'> }> {
  const user = await house.addPerson(acme, userName);
  const ctx = await house.contextOf(acme);
  await deactivateUser(ctx, user);
  const [row] = await inTenant(ctx, (tx) =>
    tx.query<{ id: string }>('select id from revocations where subject_id = $1', [uuidOf('usr', user)]),
  );
  if (row === undefined) throw new Error('the database records every deactivation');
  return { user, revocation: idOf('rvk', row.id) };
}

/** What a gateway does on its way from the news to the record, with the news handed to it. */
async function gatewayHears(revocation: Id<'rvk'>): Promise<void> {
  const listeners: ((change: Change) => void)[] = [];
  const stop = acknowledgeRevocations(house.platform, {
    subscribe: (listener) => {
      listeners.push(listener);
      return () => undefined;
    },
  });
  for (const tell of listeners)
    tell({ cell: 'eu-1', tenant: acme, topic: 'revocations', revocation: uuidOf('rvk', revocation) });
  await stop();
}

async function recordEnforced(latencyMs: number, unconfirmed: number): Promise<void> {
  const ctx = await house.contextOf(initech);
  const context = {
    reason: 'revoked',
    revoked_at: new Date().toISOString(),
    latency_ms: latencyMs,
    sequence: latencyMs,
  };
  await inTenant(ctx, (tx) =>
    appendAudit(tx, ctx, {
      action: 'access.revocation_enforced',
      resource: { type: 'api_key', id: `key_${String(latencyMs).padStart(26, '0')}`, name: null },
      context: { ...context, gateways: 3, unconfirmed },
    }),
  );
}

async function asOwner(sql: string): Promise<void> {
  await withClient(house.stores.url('eu-1'), (client) => client.query(sql));
}
