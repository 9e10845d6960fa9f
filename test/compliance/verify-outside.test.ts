import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { cosign, cosignatureVerifier, encodeCosignerKey } from '#schema/cosignature.ts';
import { encodeRotations, signRotation } from '#schema/key-rotation.ts';
import { parsePlatformTick } from '#schema/platform-entry.ts';
import { encodeVerifierKey, noteVerifier, parseVerifierKey, type NoteSigner } from '#schema/signed-note.ts';
import { timestampRequest } from '../../compliance/anchors/timestamp.ts';
import * as alone from '../../compliance/verifier/tenon-verify.mjs';
import { verifyTarget, type VerifyOptions } from '../../compliance/verify/verify.ts';
import { exitCodeOf } from '../../compliance/verify/report.ts';
import { verifyArchive } from '../../compliance/verify/archive.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import erasure from '../vectors/erasure.json' with { type: 'json' };
import exports from '../vectors/exports.json' with { type: 'json' };
import { openLocalTsa } from './local-tsa.ts';
import { memorySource, singleFileSource } from './memory-source.ts';
import { makeTicks } from './platform-fixture.ts';
import { tenon } from './run-tenon.ts';
import { checkpointOf, eventAt, makeLog, makePack, writeFiles, zipOf, type MadeLog } from './verify-fixture.ts';

const KEY = TEST_SIGNING_KEY.verifierKey;
const tsa = await openLocalTsa();
let log: MadeLog;

beforeAll(async () => {
  log = await makeLog({ counts: [4, 5] });
});

const verdictsOf = ({ integrity, completeness }: Pick<alone.Findings, 'integrity' | 'completeness'>) => [
  integrity.verdict,
  completeness.verdict,
];

describe('an archive of two epochs', () => {
  interface End {
    readonly previous_origin: string;
    readonly previous_size: number;
    readonly previous_root: string;
  }

  /** What both verifiers say of the first epoch and one that names this end of it. */
  const answers = async (change: Partial<End>, withFirst = true) => {
    const last = log.manifests[1]?.manifest;
    const end = {
      previous_origin: last?.origin ?? '',
      previous_size: 9,
      previous_root: last?.root_after ?? '',
      ...change,
    };
    const eventOf = (seq: number, tenant: MadeLog['name']['tenant']) =>
      seq > 0
        ? eventAt(seq, tenant)
        : {
            ...eventAt(seq, tenant),
            action: 'log.epoch_opened',
            context: { epoch: 2, previous_checkpoint: null, ...end },
          };
    const next = await makeLog({ counts: [3], epoch: 2, eventOf });
    const files = new Map([...(withFirst ? log.files : []), ...next.files]);
    const checkpoint = checkpointOf(next);
    const keys = [parseVerifierKey(KEY)];
    const heads = [
      {
        origin: `tenon.test/audit/${next.name.tenant}/2`,
        size: 3,
        root: Buffer.from(next.manifests[0]?.manifest.root_after ?? '', 'hex'),
      },
    ];
    if (withFirst && last !== undefined)
      heads.push({ origin: last.origin, size: 9, root: Buffer.from(last.root_after, 'hex') });
    const ours = await verifyArchive({
      source: memorySource(files),
      path: '',
      keys,
      heads,
      onProgress: () => undefined,
    });
    const checkpoints = withFirst ? [checkpoint, checkpointOf(log)] : [checkpoint];
    return [ours, alone.verifyArchive(singleFileSource(files), { keys: [alone.keyOf(KEY)], checkpoints })].map(
      verdictsOf,
    );
  };

  it('passes where the second names the end of the first', async () => {
    expect(await answers({})).toEqual([['pass', 'pass'], ['pass', 'pass']]); // prettier-ignore
  });

  it.each([
    ['root', { previous_root: 'ab'.repeat(32) }],
    ['size, a smaller one', { previous_size: 4 }],
  ])('fails where it names another %s', async (_, change) => {
    for (const [integrity] of await answers(change)) expect(integrity).toBe('fail');
  });

  it('lacks what the first has lost, be it all of it', async () => {
    for (const [, completeness] of await answers({ previous_size: 12 })) expect(completeness).toBe('fail');
    for (const [, completeness] of await answers({}, false)) expect(completeness).toBe('fail');
  });
});

describe('a pack that was signed with a newer key', () => {
  const oldKey: NoteSigner = { name: TEST_SIGNING_KEY.name, privateKey: generateKeyPairSync('ed25519').privateKey };
  const trusted = encodeVerifierKey(noteVerifier(oldKey.name, oldKey.privateKey));
  const window = { from: '2026-03-01T00:00:00.000Z', to: '2026-03-01T00:00:20.000Z' };
  const newKey: NoteSigner = { name: TEST_SIGNING_KEY.name, privateKey: TEST_SIGNING_KEY.privateKey };
  const statement = signRotation({ number: 1, oldKey, newKey, at: new Date('2026-02-01T00:00:00Z') });
  const packWith = (statements: readonly string[]) =>
    makePack({
      log,
      window,
      dishonest: (files) => {
        if (statements.length > 0) files.set('verify/ROTATIONS', Buffer.from(encodeRotations(statements)));
      },
    });
  const answers = async (files: Map<string, Buffer>) => {
    const checkpoints = [checkpointOf(log)];
    const folder = writeFiles([...files, ['../pack.zip', await zipOf(files)]]);
    const options = { keys: [trusted], checkpoints };
    const found = [await verifyTarget(folder, options), await verifyTarget(join(folder, '../pack.zip'), options)];
    return found.map(verdictsOf);
  };

  it('is trusted by who trusts the old key, for the statement of the rotation lies in it', async () => {
    const passed = ['pass', 'pass'];
    expect(await answers(packWith([statement]))).toEqual([passed, passed]);
  });

  it('is trusted by the single file with the newer key alone, for it follows no statement', () => {
    const source = singleFileSource(packWith([statement]));
    const verdicts = [trusted, KEY].map((key) =>
      verdictsOf(alone.verifyPack(source, { keys: [alone.keyOf(key)], checkpoints: [checkpointOf(log)] })),
    );
    expect(verdicts).toEqual([['fail', 'cannot say'], ['pass', 'pass']]); // prettier-ignore
  });

  it('is not trusted without that statement, nor where two contradict each other', async () => {
    const other: NoteSigner = { name: newKey.name, privateKey: generateKeyPairSync('ed25519').privateKey };
    const contrary = signRotation({ number: 1, oldKey, newKey: other, at: new Date('2026-02-01T00:00:00Z') });
    for (const statements of [[], [statement, contrary]]) {
      const files = packWith(statements);
      await expect(
        verifyTarget(writeFiles(files), { keys: [trusted], checkpoints: [checkpointOf(log)] }),
      ).rejects.toThrow('no trusted key');
      expect((await verifyTarget(writeFiles(files), { keys: [trusted] })).integrity.verdict).toBe('fail');
    }
  });
});

describe('the platform log of an archive', () => {
  const witness: NoteSigner = { name: 'witness.test', privateKey: generateKeyPairSync('ed25519').privateKey };
  const place = 'v1/eu/platform/1';
  const policy = Buffer.from(`log ${KEY}\nwitness w ${encodeCosignerKey(cosignatureVerifier(witness))}\nquorum w\n`);

  /** The archive with its ticks, and the note of the newest. */
  const archived = async () => {
    const ticks = await makeTicks([log], 'eu');
    const newest = [...ticks.keys()].toSorted().at(-1) ?? '';
    const { checkpoint } = parsePlatformTick(gunzipSync(ticks.get(newest) ?? Buffer.alloc(0)));
    return { folder: writeFiles([...log.files, ...ticks]), note: checkpoint };
  };
  const verify = (folder: string, options: Partial<VerifyOptions>) => verifyTarget(folder, { keys: [KEY], ...options });

  it('shows with its witnesses that nothing is missing, and leaves it open where no policy names them', async () => {
    const { folder, note } = await archived();
    writeFiles(
      [[`${place}/cosig/0000000000000002.note`, note + cosign(note, witness, new Date('2026-03-02T00:02:00Z'))]],
      folder,
    );
    expect(verdictsOf(await verify(folder, {}))).toEqual(['pass', 'cannot say']);
    const report = await verify(folder, { policy });
    expect(verdictsOf(report)).toEqual(['pass', 'pass']);
    expect(report.assumptions.join('\n')).toContain('the witnesses of the policy, who vouch for the first 2 entries');
  });

  it('is not vouched for where the witness of the policy has not signed it', async () => {
    const { folder } = await archived();
    expect(verdictsOf(await verify(folder, { policy }))).toEqual(['pass', 'cannot say']);
  });

  it.skipIf(tsa === null)('shows the same with a time stamp of an authority that is believed', async () => {
    const { folder, note } = await archived();
    const stamp = (await tsa?.stamp(timestampRequest(Buffer.from(note)).bytes)) ?? Buffer.alloc(0);
    writeFiles([[`${place}/tsr/0000000000000002.tsr`, stamp]], folder);
    expect(verdictsOf(await verify(folder, {}))).toEqual(['pass', 'cannot say']);
    const report = await verify(folder, { authorities: tsa?.root ?? '' });
    expect(verdictsOf(report)).toEqual(['pass', 'pass']);
    expect(report.assumptions.join('\n')).toContain(
      'the clock of CN=Test authority, which stamped the first 2 entries',
    );
    const other = await openLocalTsa();
    expect((await verify(folder, { authorities: other?.root ?? '' })).integrity.verdict).toBe('fail');
  });
});

describe('tenon verify', { timeout: 120_000 }, () => {
  const written = (name: string, text: string) => join(writeFiles([[name, text]]), name);

  it.each([
    ['events.ndjson', exports.ndjson],
    ['events.csv', exports.csv],
  ])('checks an export, %s', async (name, { valid, partial, invalid }) => {
    const codes: number[] = [];
    for (const text of [valid[0], partial[0], invalid[0]])
      codes.push(exitCodeOf(await verifyTarget(written(name, text ?? ''), { keys: [KEY] })));
    expect(codes).toEqual([0, 2, 1]);
  });

  it('checks a certificate of erasure', async () => {
    const good = await tenon([
      'verify',
      written('erasure.json', erasure.valid[0] ?? ''),
      '--key',
      erasure.key,
      '--json',
    ]);
    expect(good.code).toBe(0);
    expect(JSON.parse(good.out)).toMatchObject({ target: { kind: 'certificate' }, integrity: { verdict: 'pass' } });
    const changed = await verifyTarget(written('erasure.json', erasure.invalid[0] ?? ''), { keys: [erasure.key] });
    expect(changed.integrity.verdict).toBe('fail');
  });

  it.skipIf(tsa === null)('takes a policy and certificates of authorities from files', async () => {
    const witness: NoteSigner = { name: 'witness.test', privateKey: generateKeyPairSync('ed25519').privateKey };
    const folder = writeFiles([...log.files, ...(await makeTicks([log], 'eu'))]);
    const beside = writeFiles([
      ['policy', `log ${KEY}\nwitness w ${encodeCosignerKey(cosignatureVerifier(witness))}\nquorum w\n`],
      ['tsa.pem', tsa?.root ?? ''],
    ]);
    const answer = await tenon([
      'verify',
      folder,
      '--key',
      KEY,
      '--policy',
      join(beside, 'policy'),
      '--tsa-ca',
      join(beside, 'tsa.pem'),
    ]);
    expect([answer.code, answer.out]).toEqual([
      2,
      expect.stringContaining('the policy holds for no checkpoint') as string,
    ]);
    writeFileSync(join(beside, 'policy'), 'quorum nobody\n');
    const wrong = await tenon(['verify', folder, '--key', KEY, '--policy', join(beside, 'policy')]);
    expect([wrong.code, wrong.out]).toEqual([2, '']);
  });
});
