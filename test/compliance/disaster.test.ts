import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { uuidOf } from '#schema/ids.ts';
import { parseVerifierKey, verifyNote } from '#schema/signed-note.ts';
import { createRecoveryCheck } from '../../compliance/sealing/recovery-check.ts';
import { outboxOf } from '../../compliance/outbox-reader.ts';
import { sequence } from '../../compliance/sequencer.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { anEvent } from './an-event.ts';
import { backUp, type Backup } from './backups.ts';
import { expectLog, seal, sealed, watched } from './continued-log.ts';
import { DAY_MS, failing, head, log, prepareSealing, sealer, sealing, state } from './sealing.ts';
import { archivedEntries } from './signed-notes.ts';

prepareSealing();

describe('an audit database that was set back to an older point', () => {
  test('takes back from the archive what was sealed since, and goes on behind it', async () => {
    const notes = watched();
    const ids = await sealed(4);
    const backup = await backUp(sealing.cell.auditDatabase);
    ids.push(...(await sealed(3)), ...(await sealed(300)));
    await restore(backup);
    expect(await head()).toMatchObject({ size: '4', next_segment: 1 });
    await check();
    expect(await head()).toMatchObject({ size: '307', sealed_size: '307', next_segment: 3, alarm: null });
    ids.push(...(await sealed(2)));
    await expectLog(notes, ids, [1]);
    expect(await platformEvents()).toEqual(['log.recovered']);
  });

  test('to before the first event of a tenant gets the whole log back', async () => {
    const notes = watched();
    const backup = await backUp(sealing.cell.auditDatabase);
    const ids = [...(await sealed(5)), ...(await sealed(5))];
    await restore(backup);
    await check();
    expect(await head()).toMatchObject({ size: '10', sealed_size: '10', next_segment: 2 });
    ids.push(...(await sealed(1)));
    await expectLog(notes, ids, [1]);
  });

  test('and the tenant database too: events that wait again in the outbox are neither doubled nor lost', async () => {
    const notes = watched();
    const ids = await sealed(2);
    const waiting = [anEvent(sealing.tenant), anEvent(sealing.tenant), anEvent(sealing.tenant)];
    await sealing.cell.write(sealing.tenant, waiting);
    const backups = [await backUp(sealing.cell.auditDatabase), await backUp(sealing.cell.database)];
    expect(await drain()).toBe(3);
    await seal();
    ids.push(...waiting.map(({ id }) => id));
    for (const backup of backups) await restore(backup);
    await check();
    expect(await drain()).toBe(0);
    expect((await sealing.cell.tenants.query('select from outbox')).rowCount).toBe(0);
    ids.push(...(await sealed(2)));
    await expectLog(notes, ids, [1]);
  });

  test('and sequenced the same events again before anybody compared it goes on with what was signed', async () => {
    const notes = watched();
    const ids = await sealed(2);
    const waiting = [anEvent(sealing.tenant), anEvent(sealing.tenant), anEvent(sealing.tenant)];
    await sealing.cell.write(sealing.tenant, waiting.slice(0, 2));
    const backups = [await backUp(sealing.cell.auditDatabase), await backUp(sealing.cell.database)];
    await drain();
    await seal();
    for (const backup of backups) await restore(backup);
    await sealing.cell.write(sealing.tenant, waiting.slice(2));
    expect(await drain()).toBe(3);
    await seal();
    ids.push(...waiting.map(({ id }) => id));
    await expectLog(notes, ids, [1]);
  });

  test('and went on with other events moves those into a new epoch that names the last checkpoint of the old', async () => {
    const notes = watched();
    const ids = await sealed(4);
    const backup = await backUp(sealing.cell.auditDatabase);
    ids.push(...(await sealed(3)), ...(await sealed(300)));
    await restore(backup);
    const late = await log(270);
    await seal();
    await expectLog(notes, [...ids, ...late], [1, 2]);
    const entries = archivedEntries(sealing.folder, sealing.tenant);
    const opened = entries[ids.length]?.event;
    expect(opened).toMatchObject({
      action: 'log.epoch_opened',
      actor: { type: 'system' },
      context: { epoch: 2, previous_origin: originOf(1), previous_size: 307 },
    });
    const note = opened?.context['previous_checkpoint'];
    const { text } = verifyNote(typeof note === 'string' ? note : '', [parseVerifierKey(TEST_SIGNING_KEY.verifierKey)]);
    const { origin, size, root } = parseCheckpoint(text);
    expect([origin, size, Buffer.from(root).toString('hex')]).toEqual([
      originOf(1),
      307,
      opened?.context['previous_root'],
    ]);
    expect(await platformEvents()).toEqual(['log.epoch_opened', 'log.recovered']);
    expect(await head()).toMatchObject({ size: '271', sealed_size: '271', alarm: null });
  });

  test('and went on keeps what it held: each entry that left its place is kept with its old number', async () => {
    await sealed(4);
    const backup = await backUp(sealing.cell.auditDatabase);
    await sealed(3);
    await restore(backup);
    const late = await log(2);
    await seal();
    const { rows } = await sealing.cell.audit.query<{ epoch: number; seq: string; event_id: string; settled: boolean }>(
      'select epoch, seq, event_id, settled_at is not null as settled from log_displaced order by position',
    );
    expect(rows).toEqual(
      late.map((id, index) => ({ epoch: 1, seq: String(4 + index), event_id: uuidOf('aud', id), settled: true })),
    );
  });

  test('twice, the second time to before the new epoch, finds both epochs in the archive', async () => {
    const notes = watched();
    const ids = await sealed(4);
    const backup = await backUp(sealing.cell.auditDatabase);
    ids.push(...(await sealed(3)));
    await restore(backup);
    ids.push(...(await log(2)));
    await seal();
    await restore(backup);
    await check();
    await expectLog(notes, ids, [1, 2]);
    await restore(backup);
    ids.push(...(await sealed(5)));
    await expectLog(notes, ids, [1, 2]);
    expect(await head()).toMatchObject({ alarm: null });
  });

  test.each([
    ['planned, its segment not put', 'before', 1, 'put', 'planned'],
    ['planned, its segment put', 'after', 1, 'put', 'planned'],
    ['signed, its manifest not put', 'before', 2, 'put', 'segment_put'],
    ['signed, its manifest put', 'after', 2, 'put', 'segment_put'],
    ['put and not looked at', 'before', 3, 'head', 'manifest_put'],
  ] as const)('where a segment is %s goes on from there', async (_, when, call, name, expected) => {
    const notes = watched();
    const ids = await sealed(2);
    ids.push(...(await log(3)));
    await sealer({ archive: failing(when, call, name) })();
    expect(await state()).toEqual(['sealed', expected]);
    const backup = await backUp(sealing.cell.auditDatabase);
    await seal();
    ids.push(...(await sealed(4)));
    await restore(backup);
    sealing.now = new Date(sealing.now.getTime() + DAY_MS);
    await check();
    ids.push(...(await sealed(1)));
    await expectLog(notes, ids, [1]);
    await restore(backup);
    sealing.now = new Date(sealing.now.getTime() + DAY_MS);
    ids.push(...(await sealed(1)));
    await expectLog(notes, ids, [1, 2]);
  });

  test('gets back events that stand in a segment which was put and never signed', async () => {
    const notes = watched();
    const ids = await sealed(2);
    const backup = await backUp(sealing.cell.auditDatabase);
    ids.push(...(await log(3)));
    await sealer({ archive: failing('after', 1, 'put') })();
    await restore(backup);
    await check();
    ids.push(...(await log(1)));
    await seal();
    await expectLog(notes, ids, [1]);
  });

  test('moves them into the new epoch where it went on before they were found', async () => {
    const notes = watched();
    const ids = await sealed(2);
    const backup = await backUp(sealing.cell.auditDatabase);
    const unsigned = await log(3);
    await sealer({ archive: failing('after', 1, 'put') })();
    await restore(backup);
    const late = await log(2);
    await seal();
    await expectLog(notes, [...ids, ...unsigned, ...late], [1, 2]);
  });

  test('is not continued where the archive holds a manifest that nobody of ours has signed', async () => {
    await sealed(2);
    const backup = await backUp(sealing.cell.auditDatabase);
    await sealed(2);
    const [, second = ''] = await manifestKeys();
    const forged = (await sealing.archive.get(second)).toString().replace('"size_after":4', '"size_after":5');
    await restore(backup);
    rmSync(join(sealing.folder, second));
    await sealing.archive.put(second, Buffer.from(forged), { retainUntil: sealing.now });
    await log(1);
    expect((await sealer()()).failures).toMatchObject([{ error: { code: 'CONFLICT' } }]);
    expect(await head()).toMatchObject({ alarm: expect.stringContaining('does not continue what was signed before') });
  });
});

describe('a tenant database that was set back to an older point', () => {
  test('leaves the log as it is, with events that it no longer knows', async () => {
    const notes = watched();
    const ids = await sealed(2);
    const backup = await backUp(sealing.cell.database);
    ids.push(...(await sealed(3)));
    await restore(backup);
    await check();
    ids.push(...(await sealed(2)));
    await expectLog(notes, ids, [1]);
  });
});

describe('a log that no restore has touched', () => {
  test('costs one statement to compare, but for the first time', async () => {
    await sealed(3);
    let lists = 0;
    const counted = {
      ...sealing.archive,
      list: (prefix: string) => {
        lists += 1;
        return sealing.archive.list(prefix);
      },
    };
    const compare = createRecoveryCheck({ ...options(), archive: counted });
    await compare();
    expect(lists).toBeGreaterThan(0);
    const once = lists;
    await compare();
    expect(lists).toBe(once);
  });

  test('is sequenced all the same while the archive is away', async () => {
    const ids = await sealed(2);
    const away = {
      ...sealing.archive,
      list: () => {
        throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
      },
    };
    await createRecoveryCheck({ ...options(), archive: away })();
    ids.push(...(await log(1)));
    await seal();
    expect(archivedEntries(sealing.folder, sealing.tenant).map(({ event }) => event.id)).toEqual(ids);
  });
});

const options = () => ({
  audit: sealing.cell.audit,
  archive: sealing.archive,
  region: 'eu',
  signer: TEST_SIGNING_KEY,
  clock: () => sealing.now,
  retentionMs: 90 * DAY_MS,
  log: () => undefined,
  tenants: async () => [uuidOf('tnt', sealing.tenant)],
});

/** Sequences all that waits, also what transactions of other tests hold up, and returns how many entries that added. */
async function drain(): Promise<number> {
  const outbox = outboxOf(sealing.cell.tenants);
  let sum = 0;
  while ((await outbox.oldest([])) !== null) {
    const rows = await outbox.take({ limit: 1000, skipPositions: [], skipTenants: [] });
    const { settled, added } = await sequence(sealing.cell.audit, rows, sealing.now);
    await outbox.remove(settled);
    sum += added;
  }
  return sum;
}

const check = () => createRecoveryCheck(options())();

async function restore(backup: Backup): Promise<void> {
  await backup.restore();
}

async function platformEvents(): Promise<string[]> {
  const { rows } = await sealing.cell.audit.query<{ type: string }>(
    'select type from platform_events order by position',
  );
  return rows.map(({ type }) => type);
}

async function manifestKeys(): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of sealing.archive.list(`v1/eu/${sealing.tenant}/1/man/`)) keys.push(key);
  return keys;
}

const originOf = (epoch: number) => `tenon.test/audit/${sealing.tenant}/${epoch}`;
