import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { fail } from '#schema/errors.ts';
import { encodeRotations, parseRotations, signRotation, trustedKeys } from '#schema/key-rotation.ts';
import { encodeVerifierKey, noteVerifier, parseNote, signNote, type NoteSigner } from '#schema/signed-note.ts';
import { createRotationTurn, type RotationTurnOptions } from '../../compliance/anchors/rotation-turn.ts';
import { createSealer } from '../../compliance/sealer.ts';
import { folderSource } from '../../compliance/verify/folder-source.ts';
import { verifyLog, type LogAnswer } from '../../compliance/verify/log.ts';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { DAY_MS, log, prepareSealing, sealing } from './sealing.ts';
import { newSigner } from './witness-fixture.ts';

prepareSealing();

const young = newSigner('tenon.test');
const trusted = noteVerifier(TEST_SIGNING_KEY.name, TEST_SIGNING_KEY.privateKey);
const statement = signRotation({
  number: 1,
  oldKey: TEST_SIGNING_KEY,
  newKey: young,
  at: new Date('2026-05-01T10:00:00Z'),
});

beforeEach(async () => {
  await sealing.cell.superuserOfAudit.query('truncate app.key_rotations, app.platform_events');
});

async function seal(signer: NoteSigner): Promise<void> {
  await log(5);
  const { failures } = await createSealer({
    audit: sealing.cell.audit,
    archive: sealing.archive,
    region: 'eu',
    signer,
    clock: () => sealing.now,
    sealIntervalMs: 0,
    retentionMs: 90 * DAY_MS,
  })();
  expect(failures).toEqual([]);
}

function options(more: Partial<RotationTurnOptions> = {}): RotationTurnOptions {
  const { archive, cell } = sealing;
  const parts = { audit: cell.audit, archive, region: 'eu', clock: () => sealing.now, retentionMs: 90 * DAY_MS };
  return { ...parts, statements: [statement], ...more };
}

function check(statements: readonly string[]): Promise<LogAnswer> {
  return verifyLog({
    source: folderSource(sealing.folder),
    log: { root: '', region: 'eu', tenant: sealing.tenant, epoch: 1 },
    keys: trustedKeys([trusted], statements).keys,
    heads: [],
  });
}

const statementsInArchive = (): string[] => {
  const folder = join(sealing.folder, 'v1/eu/keys');
  const names = readdirSync(folder).filter((name) => name.endsWith('.note'));
  return names.map((name) => readFileSync(join(folder, name), 'utf8'));
};

const events = async () =>
  (
    await sealing.cell.superuserOfAudit.query<{ type: string; detail: string }>(
      'select type, detail from app.platform_events',
    )
  ).rows;

describe('a log that two keys have signed, one after the other', () => {
  test('verifies whole for whoever trusts the first key alone, by the statement in the archive', async () => {
    await seal(TEST_SIGNING_KEY);
    await createRotationTurn(options())();
    await seal(young);
    const answer = await check(statementsInArchive());
    expect([answer.integrity.verdict, answer.size]).toEqual(['pass', 10]);
    const { integrity } = await verifyTarget(sealing.folder, { keys: [TEST_SIGNING_KEY.verifierKey] });
    expect(integrity).toEqual({ verdict: 'pass', place: null });
  });

  test('does not verify beyond the first without it, nor with one that only the new key has signed', async () => {
    await seal(TEST_SIGNING_KEY);
    await seal(young);
    const forged = signNote(parseNote(statement).text, young);
    for (const statements of [[], [forged]]) {
      const answer = await check(statements);
      expect([answer.integrity.verdict, answer.size]).toEqual(['fail', 5]);
    }
  });
});

describe('the worker', () => {
  test('archives each statement and hands it to the platform log once, however often it starts', async () => {
    const next = signRotation({ number: 2, oldKey: young, newKey: newSigner('tenon.test'), at: new Date() });
    await createRotationTurn(options())();
    const turn = createRotationTurn(options({ statements: [statement, next] }));
    expect([await turn(), await turn()]).toEqual([false, false]);
    expect(statementsInArchive()).toEqual([statement, next]);
    const found = await events();
    expect(found.map(({ type }) => type)).toEqual(['key.rotated', 'key.rotated']);
    expect(JSON.parse(found[0]?.detail ?? '')).toMatchObject({
      number: 1,
      old_key: TEST_SIGNING_KEY.verifierKey,
      new_key: encodeVerifierKey(noteVerifier(young.name, young.privateKey)),
    });
  });

  test('archives it later where the archive was away', async () => {
    const away = { ...sealing.archive, put: () => fail('SERVICE_UNAVAILABLE', 'away') };
    await expect(createRotationTurn(options({ archive: away }))()).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
    });
    await createRotationTurn(options())();
    expect(statementsInArchive()).toEqual([statement]);
    expect(await events()).toHaveLength(1);
  });
});

test('statements survive the text that packs carry them in', () => {
  const next = signRotation({ number: 2, oldKey: young, newKey: newSigner('tenon.test'), at: new Date() });
  expect(parseRotations(encodeRotations([statement, next]))).toEqual([statement, next]);
  expect(parseRotations(encodeRotations([]))).toEqual([]);
});
