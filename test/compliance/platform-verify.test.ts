import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { encodePlatformTick } from '#schema/platform-entry.ts';
import { noteVerifier } from '#schema/signed-note.ts';
import { announceStop } from '../../compliance/platform/announcement.ts';
import { EPOCH_END } from '../../compliance/platform/tick-object.ts';
import { verifyPlatform, type PlatformAnswer } from '../../compliance/platform/verify-platform.ts';
import { createSealer } from '../../compliance/sealer.ts';
import { folderSource } from '../../compliance/verify/folder-source.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { logEvents, minutePasses, platform, platformTurn, preparePlatform, TEST_VERIFIER } from './platform-log.ts';

preparePlatform();

const OTHER = noteVerifier('other.test', TEST_SIGNING_KEY.privateKey);

async function verify(folder = platform.folder, keys = [TEST_VERIFIER]): Promise<PlatformAnswer> {
  return verifyPlatform({ source: folderSource(folder), root: '', region: 'eu', keys });
}

/** Four minutes in which a tenant's log grows and is sealed. */
async function fourMinutes(): Promise<void> {
  const turn = platformTurn();
  const seal = createSealer({
    audit: platform.cell.audit,
    archive: platform.archive,
    region: 'eu',
    signer: TEST_SIGNING_KEY,
    clock: () => platform.now,
    sealIntervalMs: 0,
    retentionMs: 90 * 86_400_000,
  });
  for (let minute = 0; minute < 4; minute++) {
    await logEvents(2);
    await seal();
    minutePasses();
    await turn();
  }
}

const place = (folder: string, epoch = 1) => join(folder, 'v1', 'eu', 'platform', String(epoch), 'cp');
const ticks = (folder: string) =>
  readdirSync(place(folder))
    .filter((name) => name.endsWith('.json.gz'))
    .toSorted();

function copy(): string {
  const folder = mkdtempSync(join(platform.cell.archiveFolder, 'copy-'));
  cpSync(platform.folder, folder, { recursive: true });
  return folder;
}

describe('the verification of a platform log', () => {
  test('passes what was written, covers what was sealed, and names the newest head', async () => {
    await fourMinutes();
    const answer = await verify();
    expect(answer).toMatchObject({
      ticks: 4,
      entries: 4,
      from: '2026-05-01T10:01:10.000Z',
      to: '2026-05-01T10:04:10.000Z',
      integrity: { verdict: 'pass' },
      completeness: { verdict: 'pass' },
    });
    expect([...answer.heads.values()]).toMatchObject([{ size: 8 }]);
  });

  test('finds a byte that was changed, a tick that is missing, one that was cut off, and one behind the end of its epoch', async () => {
    await fourMinutes();
    const [, second = '', , last = ''] = ticks(platform.folder);

    const changed = copy();
    const file = join(place(changed), second);
    const text = gunzipSync(readFileSync(file)).toString().replace('\\"size\\":4', '\\"size\\":5');
    rmSync(file);
    writeFileSync(file, gzipSync(text));
    expect((await verify(changed)).integrity).toMatchObject({
      verdict: 'fail',
      place: { file: expect.stringContaining(second) },
    });

    const missing = copy();
    rmSync(join(place(missing), second));
    expect((await verify(missing)).completeness).toMatchObject({
      verdict: 'fail',
      place: { sentence: expect.stringMatching(/tick 1 is missing/) },
    });

    const cut = copy();
    rmSync(join(place(cut), last));
    expect((await verify(cut)).ticks).toBe(3);
    expect((await verify(cut)).heads.get(`${TEST_SIGNING_KEY.name}/audit/${platform.tenant}/1`)?.size).toBe(6);
    expect((await verify(cut)).completeness.verdict).not.toBe('fail');

    const ended = copy();
    writeFileSync(join(place(ended), second), gzipSync(encodePlatformTick(EPOCH_END)));
    expect((await verify(ended)).integrity).toMatchObject({
      verdict: 'fail',
      place: { sentence: 'it stands behind the end of its epoch' },
    });

    const moved = copy();
    renameSync(join(place(moved), last), join(place(moved), last.replace('000000003', '000000004')));
    expect((await verify(moved)).completeness.verdict).toBe('fail');
  });

  test('trusts no other key', async () => {
    await fourMinutes();
    expect((await verify(platform.folder, [OTHER])).integrity).toMatchObject({ verdict: 'fail' });
  });

  test('names a silence by its times, unless the log itself says that the platform stopped', async () => {
    const turn = platformTurn();
    await turn();
    for (let minute = 0; minute < 5; minute++) minutePasses();
    await turn();
    expect((await verify()).completeness).toMatchObject({
      verdict: 'cannot say',
      place: { sentence: 'the platform log was silent between 2026-05-01T10:00:10.000Z and 2026-05-01T10:05:10.000Z' },
    });
  });

  test('takes an announced stop for what it is', async () => {
    await platformTurn()();
    await announceStop({
      audit: platform.cell.audit,
      archive: platform.archive,
      region: 'eu',
      cell: 'eu-1',
      signer: TEST_SIGNING_KEY,
      clock: () => new Date(platform.now.getTime() + 1_000),
      retentionMs: 86_400_000,
    });
    for (let minute = 0; minute < 60; minute++) minutePasses();
    await platformTurn()();
    const answer = await verify();
    expect([answer.ticks, answer.completeness.verdict]).toEqual([3, 'pass']);
    expect([...answer.assumptions].join()).toMatch(/the platform was stopped, as its own log says/);
  });

  test('finds sealed entries that no later head covers, and heads whose entries were never sealed', async () => {
    await fourMinutes();
    await fourMinutes();
    const turn = platformTurn();
    const uncovered = copy();
    await logEvents(3);
    for (let minute = 0; minute < 130; minute++) {
      minutePasses();
      await turn();
    }
    expect((await verify()).completeness).toMatchObject({ verdict: 'fail', place: { seq: 16 } });
    for (const name of ticks(uncovered).slice(1)) rmSync(join(place(uncovered), name));
    expect((await verify(uncovered)).completeness).toMatchObject({ verdict: 'fail' });
  }, 120_000);
});
