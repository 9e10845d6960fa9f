import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { canonicalJson } from '#schema/canonical-json.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { outboxOf, type Outbox } from '../../compliance/outbox-reader.ts';
import { createSequencer, type SequencingTurn } from '../../compliance/sequencer.ts';
import { anEvent } from './an-event.ts';
import { openTestCell, type TestCell } from './cell.ts';
import { entriesInDatabase } from './stored-log.ts';

let cell: TestCell;
let tenant: Id<'tnt'>;

beforeAll(async () => {
  cell = await openTestCell();
});

beforeEach(async () => {
  await cell.superuserOfTenants.query('truncate app.outbox, app.sequenced_events');
  tenant = await cell.addTenant();
});

const clock = () => new Date('2026-05-01T10:00:00Z');

function sequencer({
  outbox = outboxOf(cell.tenants),
  batchSize = 1000,
}: { outbox?: Outbox; batchSize?: number } = {}): () => Promise<SequencingTurn> {
  return createSequencer({ outbox, audit: cell.audit, clock, batchSize });
}

/** Takes turns until no more than `left` events wait: other databases of the server have transactions of their own. */
async function drain(turn = sequencer(), { left = 0 } = {}): Promise<void> {
  do await turn();
  while ((await waiting()).length > left);
}

async function eventIds(of: Id<'tnt'> = tenant): Promise<string[]> {
  return (await entriesInDatabase(cell.superuserOfAudit, of)).map(({ event }) => event.id);
}

async function waiting(): Promise<string[]> {
  const { rows } = await cell.tenants.query<{ id: string }>('select id from outbox order by position');
  return rows.map(({ id }) => id);
}

describe('sequencing', () => {
  test('numbers the events of a tenant in the order of writing and empties the outbox', async () => {
    const events = Array.from({ length: 600 }, () => anEvent(tenant));
    await cell.write(tenant, events);
    await drain(sequencer({ batchSize: 250 }));
    expect(await eventIds()).toEqual(events.map(({ id }) => id));
    expect(await waiting()).toEqual([]);
  });

  test('keeps the bytes that the writer wrote, personal names and escapes included', async () => {
    const event = anEvent(tenant, { name: 'Zoë – "Q3"\\ \u0001 \u{1f600}' });
    await cell.write(tenant, [event]);
    await drain();
    const { rows } = await cell.audit.query<{ entry: string }>('select entry from log_entries where event_id = $1', [
      uuidOf('aud', event.id),
    ]);
    expect(
      rows[0]?.entry.startsWith(`{"action_version":1,"event":${canonicalJson(event)},"outcome":"success","prev":`),
    ).toBe(true);
  });

  test('keeps the logs of interleaved tenants apart, each without a gap', async () => {
    const tenants = [tenant, await cell.addTenant(), await cell.addTenant()];
    const written = new Map(tenants.map((each) => [each, [] as string[]]));
    for (let round = 0; round < 20; round++) {
      for (const each of tenants) {
        const event = anEvent(each);
        await cell.write(each, [event]);
        written.get(each)?.push(event.id);
      }
    }
    await drain(sequencer({ batchSize: 7 }));
    for (const each of tenants) expect(await eventIds(each)).toEqual(written.get(each));
  });

  test('takes an event of an anonymous actor', async () => {
    const event = { ...anEvent(tenant), actor: { type: 'anonymous' as const, id: null, ip: null, ua: null } };
    await cell.write(tenant, [event]);
    await drain();
    expect(await eventIds()).toEqual([event.id]);
  });
});

describe('a transaction that commits late', () => {
  test('is not skipped, though later positions were there before', async () => {
    const late = await cell.begin(tenant);
    const first = anEvent(tenant);
    await late.write(first);
    const second = anEvent(tenant);
    await cell.write(tenant, [second]);
    const turn = sequencer();
    expect((await turn()).taken).toBe(0);
    expect((await turn()).oldest).not.toBeNull();
    await late.commit();
    await drain(turn);
    expect(await eventIds()).toEqual([first.id, second.id]);
  });

  test('keeps its place behind what was ready before it began', async () => {
    const before = anEvent(tenant);
    await cell.write(tenant, [before]);
    const late = await cell.begin(tenant);
    const inside = anEvent(tenant);
    await late.write(inside);
    await drain();
    expect(await eventIds()).toEqual([before.id]);
    await late.commit();
    await drain();
    expect(await eventIds()).toEqual([before.id, inside.id]);
  });

  test('leaves no gap where it is rolled back', async () => {
    const late = await cell.begin(tenant);
    await late.write(anEvent(tenant));
    const kept = anEvent(tenant);
    await cell.write(tenant, [kept]);
    await late.rollback();
    await drain();
    expect(await eventIds()).toEqual([kept.id]);
  });
});

describe('a row of another server', () => {
  test('is taken, though its transaction lies in the future of this one', async () => {
    const event = anEvent(tenant);
    await cell.write(tenant, [event]);
    await cell.superuserOfTenants.query(`update app.outbox set transaction_id = '999999999999'`);
    await drain();
    expect(await eventIds()).toEqual([event.id]);
  });
});

describe('a crash between the two databases', () => {
  test('doubles and renumbers nothing when the batch is taken again', async () => {
    const events = Array.from({ length: 10 }, () => anEvent(tenant));
    await cell.write(tenant, events.slice(0, 6));
    const outbox = outboxOf(cell.tenants);
    const crashing: Outbox = {
      ...outbox,
      remove: (rows) => (rows.length > 0 ? Promise.reject(new Error('killed')) : outbox.remove(rows)),
    };
    await expect(drain(sequencer({ outbox: crashing }))).rejects.toThrow('killed');
    const before = await entriesInDatabase(cell.superuserOfAudit, tenant);
    expect(before).toHaveLength(6);
    expect(await waiting()).toHaveLength(6);
    await cell.write(tenant, events.slice(6));
    await drain();
    const after = await entriesInDatabase(cell.superuserOfAudit, tenant);
    expect(after.slice(0, 6)).toEqual(before);
    expect(after.map(({ event }) => event.id)).toEqual(events.map(({ id }) => id));
    expect(await waiting()).toEqual([]);
  });
});

describe('two sequencers at once', () => {
  test('put every event into its log once', async () => {
    const tenants = [tenant, await cell.addTenant()];
    const events = tenants.map((each) => Array.from({ length: 300 }, () => anEvent(each)));
    for (const [index, each] of tenants.entries()) {
      for (let at = 0; at < 300; at += 30) await cell.write(each, events[index]?.slice(at, at + 30) ?? []);
    }
    const failures: unknown[] = [];
    const watched =
      (turn = sequencer({ batchSize: 50 })) =>
      async () => {
        const result = await turn();
        failures.push(...result.failures);
        return result;
      };
    await Promise.all(Array.from({ length: 4 }, () => drain(watched())));
    expect(failures).toEqual([]);
    for (const [index, each] of tenants.entries())
      expect(await eventIds(each)).toEqual(events[index]?.map(({ id }) => id));
  });
});

describe('an event that no log can take', () => {
  test.each([
    ['is no JSON', () => 'no JSON'],
    ['is not canonical', (event: object) => JSON.stringify(event, null, 1)],
    ['has not the shape of an event', () => '{"id":"x"}'],
    ['names another tenant', (event: object) => canonicalJson({ ...event, tenant_id: mintId('tnt') })],
    ['names another id than its row', (event: object) => canonicalJson({ ...event, id: mintId('aud') })],
    ['is dated in the year 0', (event: object) => canonicalJson({ ...event, ts: '0000-01-01T00:00:00Z' })],
  ])('because it %s stays in the outbox, shows an alarm, and holds up nobody', async (_, textOf) => {
    const poison = anEvent(tenant);
    const id = uuidOf('aud', poison.id);
    const [before, after] = [anEvent(tenant), anEvent(tenant)];
    const other = await cell.addTenant();
    const foreign = anEvent(other);
    await cell.write(tenant, [before]);
    await cell.writeRaw(tenant, { id, event: textOf(poison) });
    await cell.write(tenant, [after]);
    await cell.write(other, [foreign]);
    await drain(sequencer({ batchSize: 1 }), { left: 1 });
    expect(await eventIds()).toEqual([before.id, after.id]);
    expect(await eventIds(other)).toEqual([foreign.id]);
    expect(await waiting()).toContain(id);
    expect(await headOf(tenant)).toMatchObject({
      alarm: 'An event cannot enter the log; it waits in the outbox of the cell.',
      alarm_since: clock(),
    });
    expect(await headOf(other)).toMatchObject({ alarm: null });
    const refusal = await cell.audit.query('select reason from log_refusals where tenant_id = $1 and event_id = $2', [
      uuidOf('tnt', tenant),
      id,
    ]);
    expect(refusal.rowCount).toBe(1);
  });

  test('enters it once a newer worker can read it, and is no longer recorded as refused', async () => {
    const event = anEvent(tenant);
    const id = uuidOf('aud', event.id);
    await cell.writeRaw(tenant, { id, event: 'not yet' });
    const refusals = async () =>
      (await cell.audit.query('select from log_refusals where event_id = $1', [id])).rowCount;
    const turn = sequencer();
    // A transaction of another test on the same server holds the sequencer back for a while.
    do await turn();
    while ((await refusals()) === 0);
    expect(await refusals()).toBe(1);
    await cell.superuserOfTenants.query('update app.outbox set event = $2 where id = $1', [id, canonicalJson(event)]);
    await drain();
    expect(await eventIds()).toEqual([event.id]);
    expect(await refusals()).toBe(0);
  });

  test('because its id stands in the log with another event is not dropped', async () => {
    const event = anEvent(tenant);
    await cell.write(tenant, [event]);
    await drain();
    await cell.writeRaw(tenant, {
      id: uuidOf('aud', event.id),
      event: canonicalJson({ ...event, action: 'document.delete' }),
    });
    const turn = sequencer();
    while ((await turn()).refused.length === 0);
    expect(await eventIds()).toEqual([event.id]);
    expect(await waiting()).toContain(uuidOf('aud', event.id));
  });
});

describe('a log that cannot go on', () => {
  test('keeps its events in the outbox, shows an alarm, and holds up no other', async () => {
    const other = await cell.addTenant();
    await cell.write(tenant, [anEvent(tenant)]);
    await drain();
    await cell.superuserOfAudit.query(`update app.log_heads set frontier = '["00"]' where tenant_id = $1`, [
      uuidOf('tnt', tenant),
    ]);
    await cell.write(tenant, [anEvent(tenant), anEvent(tenant)]);
    const foreign = anEvent(other);
    await cell.write(other, [foreign]);
    const turn = sequencer({ batchSize: 2 });
    let failures: SequencingTurn['failures'] = [];
    while (failures.length === 0) ({ failures } = await turn());
    expect(failures).toEqual([
      { tenantId: uuidOf('tnt', tenant), error: expect.objectContaining({ code: 'BAD_USER_INPUT' }) },
    ]);
    await drain(turn, { left: 2 });
    expect(await eventIds(other)).toEqual([foreign.id]);
    expect(await headOf(tenant)).toMatchObject({
      alarm: 'The log cannot take events; they wait in the outbox of the cell.',
    });
    expect(await headOf(other)).toMatchObject({ alarm: null });
  });
});

async function headOf(of: Id<'tnt'>): Promise<unknown> {
  const { rows } = await cell.audit.query('select alarm, alarm_since from log_heads where tenant_id = $1', [
    uuidOf('tnt', of),
  ]);
  return rows[0];
}
