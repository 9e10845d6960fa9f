import { describe, expect, onTestFinished, test } from 'vitest';
import { fail } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { createRecoveryCheck } from '../../compliance/sealing/recovery-check.ts';
import { createReleaseTurn, sequenceAgain } from '../../compliance/sequenced-events.ts';
import { startWorker } from '../../compliance/worker.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { anEvent } from './an-event.ts';
import { backUp } from './backups.ts';
import { expectLog, seal, sealed, watched } from './continued-log.ts';
import { DAY_MS, failing, head, log, prepareSealing, sealer, sealing } from './sealing.ts';
import { archivedEntries } from './signed-notes.ts';

prepareSealing();

const clock = () => sealing.now;
const scope = () => ({ tenants: sealing.cell.tenants, audit: sealing.cell.audit, clock });

describe('an audit database that was set back alone', () => {
  test('gets back what was in its logs and in no segment', async () => {
    const notes = watched();
    const ids = await sealed(2);
    const backup = await backUp(sealing.cell.auditDatabase);
    ids.push(...(await log(300)));
    await backup.restore();
    expect(await head()).toMatchObject({ size: '2' });
    await check();
    expect(await head()).toMatchObject({ size: '302', sealed_size: '2' });
    ids.push(...(await sealed(1)));
    await expectLog(notes, ids, [1]);
    expect(archivedIds()).toEqual(ids);
  });

  test('to before the first event of a tenant gets back all of hers, sealed or not', async () => {
    const notes = watched();
    const backup = await backUp(sealing.cell.auditDatabase);
    const ids = [...(await sealed(3)), ...(await log(4))];
    await backup.restore();
    await check();
    await seal();
    await expectLog(notes, ids, [1]);
    expect(archivedIds()).toEqual(ids);
  });

  test('goes on without the archive, and finds a place for what that holds once it is back', async () => {
    const notes = watched();
    const ids = await sealed(2);
    const backup = await backUp(sealing.cell.auditDatabase);
    ids.push(...(await sealed(3)), ...(await log(4)));
    await backup.restore();
    const away = { ...sealing.archive, list: () => fail('SERVICE_UNAVAILABLE', 'away') };
    await check(away);
    expect(await head()).toMatchObject({ size: '9' });
    await seal();
    ids.push(...(await sealed(1)));
    await expectLog(notes, ids, [1]);
  });

  test('and went on before anybody noticed loses nothing: what it had written moves into the next epoch', async () => {
    const notes = watched();
    const ids = await sealed(2);
    const backup = await backUp(sealing.cell.auditDatabase);
    ids.push(...(await sealed(3)), ...(await log(4)));
    await backup.restore();
    ids.push(...(await log(5)));
    await check();
    await seal();
    await expectLog(notes, ids, [1, 2]);
    await releaseAll();
    expect(await kept()).toEqual([]);
  });

  test('twice, also while what it lost the first time is only half way into the archive', async () => {
    const notes = watched();
    const ids = await sealed(1);
    const backup = await backUp(sealing.cell.auditDatabase);
    ids.push(...(await log(3)));
    await backup.restore();
    await check();
    await sealer({ archive: failing('after', 1, 'put') })();
    await backup.restore();
    await check();
    ids.push(...(await sealed(2)));
    await expectLog(notes, ids, [1]);
  });

  test('under a worker that runs: every event reaches the archive once', async () => {
    const notes = watched();
    const ids = await sealed(3);
    const { name, region, database, auditDatabase } = sealing.cell;
    const backup = await backUp(auditDatabase);
    let isAway = true;
    const whole = sealing.archive;
    const archive: Archive = {
      ...whole,
      put: (...args) => (isAway ? fail('SERVICE_UNAVAILABLE', 'away') : whole.put(...args)),
    };
    const worker = startWorker({
      cells: [{ name, region, database, auditDatabase, archive }],
      signer: TEST_SIGNING_KEY,
      clock,
      sealIntervalMs: 0,
      log: () => undefined,
    });
    onTestFinished(() => worker.stop());
    ids.push(...(await written(5)));
    await untilLogHolds(8);
    await backup.restore();
    await untilLogHolds(8);
    isAway = false;
    ids.push(...(await written(2)));
    await untilLogHolds(10);
    await worker.idle();
    await expectLog(notes, ids, [1]);
  });
});

describe('an event that was sequenced', () => {
  test('is kept until the archive holds it, and no longer', async () => {
    const ids = await log(3);
    await releaseAll();
    expect(await kept()).toEqual(ids.map((id) => uuidOf('aud', id)).toSorted());
    await seal();
    const later = await log(2);
    await releaseAll();
    expect(await kept()).toEqual(later.map((id) => uuidOf('aud', id)).toSorted());
  });

  test('is kept while its log is being brought back', async () => {
    await sealed(3);
    await sealing.cell.superuserOfAudit.query('update app.log_heads set recovering_since = now()');
    await releaseAll();
    expect(await kept()).toHaveLength(3);
    await sealing.cell.superuserOfAudit.query('update app.log_heads set recovering_since = null');
    await releaseAll();
    expect(await kept()).toEqual([]);
  });
});

const check = (archive = sealing.archive) =>
  createRecoveryCheck({
    audit: sealing.cell.audit,
    archive,
    region: 'eu',
    signer: TEST_SIGNING_KEY,
    clock,
    retentionMs: 90 * DAY_MS,
    log: () => undefined,
    tenants: async () => [uuidOf('tnt', sealing.tenant)],
    sequenceAgain: () => sequenceAgain(scope()),
  })();

/** A turn of its own looks at everything. */
const releaseAll = () => createReleaseTurn(scope())();

async function kept(): Promise<string[]> {
  const { rows } = await sealing.cell.tenants.query<{ id: string }>(
    'select id from sequenced_events where tenant_id = $1 order by id',
    [uuidOf('tnt', sealing.tenant)],
  );
  return rows.map(({ id }) => id);
}

async function written(count: number): Promise<string[]> {
  const events = Array.from({ length: count }, () => anEvent(sealing.tenant));
  await sealing.cell.write(sealing.tenant, events);
  return events.map(({ id }) => id);
}

/** Its connections are ended now and then, and the worker needs a while to make new ones. */
async function untilLogHolds(count: number): Promise<void> {
  const size = async () => Number((await head().catch(() => ({ size: '-1' }))).size);
  await expect.poll(size, { timeout: 30_000 }).toBe(count);
}

const archivedIds = () => archivedEntries(sealing.folder, sealing.tenant).map(({ event }) => event.id);
