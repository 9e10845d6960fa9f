import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { encodeCheckpoint } from '#schema/checkpoint.ts';
import { cosignatureVerifier } from '#schema/cosignature.ts';
import { fail } from '#schema/errors.ts';
import { parsePlatformTick } from '#schema/platform-entry.ts';
import { signNote, verifyNote } from '#schema/signed-note.ts';
import { applyWitnessPolicy, parseWitnessPolicy } from '#schema/witness-policy.ts';
import { parseCertificates } from '../../compliance/anchors/certificate-path.ts';
import { timestampRequest, verifyTimestamp } from '../../compliance/anchors/timestamp.ts';
import { anchorNewest, createAnchorTurn, type AnchorTurnOptions } from '../../compliance/anchors/turn.ts';
import { openAnchorWalk, type AnchorAnswer, type AnchorQuestion } from '../../compliance/anchors/verify-anchors.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { folderSource } from '../../compliance/verify/folder-source.ts';
import { createFindings, type Findings } from '../../compliance/verify/report.ts';
import { serveWitness, type WitnessServer } from '../../compliance/witness/server.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { openLocalTsa } from './local-tsa.ts';
import {
  logEvents,
  minutePasses,
  platform,
  platformTurn,
  preparePlatform,
  TEST_VERIFIER,
  ticksInArchive,
} from './platform-log.ts';
import { openTestWitness, type TestWitness } from './witness-fixture.ts';

preparePlatform();
const tsa = await openLocalTsa();

beforeEach(async () => {
  await platform.cell.superuserOfAudit.query('truncate app.platform_anchors, app.anchor_sources, app.key_rotations');
  // An authority tells the time of today.
  platform.now = new Date();
  tsa?.disturb(null);
});

const withTsa = test.skipIf(tsa === null);

function options(more: Partial<AnchorTurnOptions> = {}): AnchorTurnOptions {
  return {
    audit: platform.cell.audit,
    archive: platform.archive,
    region: 'eu',
    cell: 'eu-1',
    clock: () => platform.now,
    retentionMs: 90 * 86_400_000,
    authority: null,
    stampIntervalMs: 120_000,
    witnesses: [],
    log: (level, message, fields) => void platform.lines.push(`${level} ${message} ${String(fields?.['source'])}`),
    ...more,
  };
}

const authority = { url: tsa?.url ?? '', certificates: tsa === null ? [] : parseCertificates(tsa.root) };

/** Lets the platform log beat and returns the note of its newest checkpoint. */
async function tick(): Promise<string> {
  await platformTurn()();
  return noteOf((ticksInArchive().at(-1) ?? expect.fail('no tick')).name);
}

function noteOf(name: string): string {
  const bytes = gunzipSync(readFileSync(join(platform.folder, 'v1/eu/platform/1/cp', name)));
  return parsePlatformTick(bytes).checkpoint;
}

function filesIn(kind: 'tsr' | 'cosig'): string[] {
  const folder = join(platform.folder, 'v1/eu/platform/1', kind);
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => !name.endsWith('.retention.jsonl'))
        .toSorted()
    : [];
}

const fileOf = (kind: 'tsr' | 'cosig', name: string): Buffer =>
  readFileSync(join(platform.folder, 'v1/eu/platform/1', kind, name));

/** The events of the platform log that wait for the next tick. */
async function waitingEvents(): Promise<{ type: string; fault: string }[]> {
  const { rows } = await platform.cell.superuserOfAudit.query<{ type: string; detail: string }>(
    'select type, detail from app.platform_events order by position',
  );
  return rows.map(({ type, detail }) => ({ type, fault: (JSON.parse(detail) as { fault: string }).fault }));
}

async function serve(own: TestWitness): Promise<WitnessServer> {
  const keys = () => Promise.resolve([TEST_VERIFIER]);
  const server = await serveWitness({
    witness: own.witness,
    keys,
    host: '127.0.0.1',
    port: 0,
    onTrouble: () => undefined,
  });
  onTestFinished(() => server.close());
  return server;
}

async function aWitness() {
  const own = await openTestWitness();
  const { url } = await serve(own);
  return { own, asked: { url, verifier: cosignatureVerifier(own.key) } };
}

describe('a time stamp of the platform log', () => {
  withTsa('is over the newest checkpoint, archived beside it, and made again when its time has come', async () => {
    const note = await tick();
    const before = tsa?.requests() ?? 0;
    await anchorNewest(options({ authority }));
    await anchorNewest(options({ authority }));
    expect((tsa?.requests() ?? 0) - before).toBe(1);
    expect(filesIn('tsr')).toEqual(['0000000000000001.tsr']);
    const answer = fileOf('tsr', '0000000000000001.tsr');
    const stamp = verifyTimestamp({ answer, data: Buffer.from(note), trusted: authority.certificates });
    expect(Math.abs(stamp.time.getTime() - platform.now.getTime())).toBeLessThan(120_000);
    minutePasses();
    await tick();
    await anchorNewest(options({ authority }));
    minutePasses();
    const third = await tick();
    await anchorNewest(options({ authority }));
    expect(filesIn('tsr')).toEqual(['0000000000000001.tsr', '0000000000000003.tsr']);
    const later = { answer: fileOf('tsr', '0000000000000003.tsr'), trusted: authority.certificates };
    expect(verifyTimestamp({ ...later, data: Buffer.from(third) }).trusted).toBe(true);
    expect(() => verifyTimestamp({ ...later, data: Buffer.from(note) })).toThrow('imprint');
  });

  withTsa('is not kept where the answer is of another request, over other data, or changed', async () => {
    await tick();
    const replayed = await tsa?.stamp(timestampRequest(Buffer.from('other data')).bytes);
    const replies: ((answer: Buffer) => Buffer | number)[] = [
      () => replayed ?? Buffer.alloc(0),
      (answer) => Buffer.from(answer.toString('latin1').replace('Test authority', 'Best authority'), 'latin1'),
      (answer) => answer.subarray(0, -1),
      () => Buffer.from('no answer at all'),
      () => Buffer.alloc(100_000),
      () => 500,
    ];
    for (const reply of replies) {
      tsa?.disturb(reply);
      await platform.cell.superuserOfAudit.query('truncate app.anchor_sources');
      await anchorNewest(options({ authority }));
    }
    expect(filesIn('tsr')).toEqual([]);
    expect(platform.lines).toHaveLength(replies.length);
    tsa?.disturb(null);
    await platform.cell.superuserOfAudit.query('truncate app.anchor_sources');
    await anchorNewest(options({ authority }));
    expect(filesIn('tsr')).toEqual(['0000000000000001.tsr']);
  });

  withTsa(
    'is asked for ever more slowly while the authority is away, which after a while the log itself tells',
    async () => {
      await tick();
      tsa?.disturb(() => 503);
      const before = tsa?.requests() ?? 0;
      for (let second = 0; second < 1_200; second += 15) {
        platform.now = new Date(platform.now.getTime() + 15_000);
        await anchorNewest(options({ authority }));
      }
      const asked = (tsa?.requests() ?? 0) - before;
      expect(asked).toBeGreaterThan(5);
      expect(asked).toBeLessThan(14);
      expect(await waitingEvents()).toEqual([
        { type: 'anchor.failing', fault: 'the authority answers with status 503' },
      ]);
      tsa?.disturb(null);
      platform.now = new Date(platform.now.getTime() + 600_000);
      await anchorNewest(options({ authority }));
      expect((await waitingEvents()).map(({ type }) => type)).toEqual(['anchor.failing', 'anchor.recovered']);
      expect(filesIn('tsr')).toEqual(['0000000000000001.tsr']);
      expect((await tick()).length).toBeGreaterThan(0);
    },
  );

  withTsa('that was given while the archive is away comes into it later, byte for byte', async () => {
    const note = await tick();
    const away = { ...platform.archive, put: () => fail('SERVICE_UNAVAILABLE', 'away') };
    await expect(anchorNewest(options({ authority, archive: away }))).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
    });
    const before = tsa?.requests();
    await anchorNewest(options({ authority }));
    expect(tsa?.requests()).toBe(before);
    const answer = fileOf('tsr', '0000000000000001.tsr');
    expect(verifyTimestamp({ answer, data: Buffer.from(note), trusted: authority.certificates }).trusted).toBe(true);
  });
});

describe('witnesses of the platform log', () => {
  test('cosign each checkpoint as the log grows, and meet a policy', async () => {
    const [one, two] = [await aWitness(), await aWitness()];
    const turn = () => anchorNewest(options({ witnesses: [one.asked, two.asked] }));
    await logEvents(3);
    for (let minute = 0; minute < 4; minute++) {
      await tick();
      await turn();
      await turn();
      minutePasses();
    }
    expect(filesIn('cosig')).toEqual([1, 2, 3, 4].map((size) => `${String(size).padStart(16, '0')}.note`));
    const lines = [one, two].map(({ own }, at) => `witness w${at} ${own.witness.verifierKey}`);
    const policy = parseWitnessPolicy(
      Buffer.from(`log ${TEST_SIGNING_KEY.verifierKey}\n${lines.join('\n')}\ngroup both all w0 w1\nquorum both\n`),
    );
    for (const name of filesIn('cosig')) {
      const answer = applyWitnessPolicy(policy, { note: fileOf('cosig', name) });
      expect([answer.holds, answer.checkpoint.size]).toEqual([true, Number(name.slice(0, 16))]);
    }
    expect(platform.lines).toEqual([]);
  });

  test('are asked from where they stand, also where that was forgotten here', async () => {
    const { own, asked } = await aWitness();
    const turn = () => anchorNewest(options({ witnesses: [asked] }));
    await tick();
    await turn();
    await platform.cell.superuserOfAudit.query('truncate app.anchor_sources');
    minutePasses();
    await tick();
    await turn();
    expect((await own.witness.seen('tenon.test/platform/eu-1/1'))?.size).toBe(2);
    expect(platform.lines).toEqual([]);
  });

  test('do not wait for each other: the note of those who answered is kept', async () => {
    const { own, asked } = await aWitness();
    const gone = await aWitness();
    const away = { url: 'http://127.0.0.1:1', verifier: gone.asked.verifier };
    const lying = { url: asked.url, verifier: (await aWitness()).asked.verifier };
    await tick();
    await anchorNewest(options({ witnesses: [away, lying, asked] }));
    const note = fileOf('cosig', filesIn('cosig')[0] ?? '').toString();
    expect(verifyNote(note, [TEST_VERIFIER]).signers).toHaveLength(1);
    expect(note.split('\n').filter((line) => line.startsWith('— '))).toHaveLength(2);
    expect(note).toContain(own.key.name);
    expect(platform.lines).toHaveLength(2);
  });

  test('show at once that the platform log was set back to an older point', async () => {
    const { asked } = await aWitness();
    for (let minute = 0; minute < 3; minute++) {
      await tick();
      minutePasses();
    }
    await anchorNewest(options({ witnesses: [asked] }));
    await platform.cell.superuserOfAudit.query(
      'delete from app.platform_ticks where tick = 2; truncate app.platform_anchors, app.anchor_sources',
    );
    await anchorNewest(options({ witnesses: [asked] }));
    expect(await waitingEvents()).toEqual([
      { type: 'anchor.contradicted', fault: 'the witness has seen 3 entries of this log, which has 2' },
    ]);
    expect(platform.lines).toEqual([expect.stringContaining('error')]);
  });

  test('show at once that the platform log was written anew', async () => {
    const { asked } = await aWitness();
    await tick();
    await anchorNewest(options({ witnesses: [asked] }));
    await platform.cell.superuserOfAudit.query(
      'truncate app.platform_log, app.platform_ticks, app.platform_entries, app.platform_tiles, app.platform_heads',
    );
    platform.archive = await otherArchive();
    for (let minute = 0; minute < 2; minute++) {
      minutePasses();
      await platformTurn()();
    }
    await anchorNewest(options({ witnesses: [asked] }));
    expect((await waitingEvents()).map(({ type }) => type)).toEqual(['anchor.contradicted']);
  });
});

describe('anchors in an archive, offline', () => {
  const ask = (own: TestWitness, more: Partial<AnchorQuestion> = {}): AnchorQuestion => ({
    source: folderSource(platform.folder),
    folder: 'v1/eu/platform/1',
    keys: [TEST_VERIFIER],
    policy: parseWitnessPolicy(Buffer.from(`witness w ${own.witness.verifierKey}\nquorum w\n`)),
    rotations: [],
    certificates: authority.certificates,
    ...more,
  });

  const notes = (): Map<number, string> =>
    new Map(ticksInArchive().map(({ name, checkpoint }) => [checkpoint.size, noteOf(name)]));

  async function check(question: AnchorQuestion, findings: Findings, passing = notes()): Promise<AnchorAnswer> {
    const walk = await openAnchorWalk(question, findings);
    for (const note of passing.values()) await walk.passing(note);
    return walk.ending();
  }

  async function anchored(): Promise<TestWitness> {
    const { own, asked } = await aWitness();
    for (let minute = 0; minute < 2; minute++) {
      await tick();
      await anchorNewest(options({ authority, witnesses: [asked], stampIntervalMs: 1 }));
      minutePasses();
    }
    return own;
  }

  withTsa('say up to where the log was seen outside, and when', async () => {
    const own = await anchored();
    const findings = createFindings();
    const { files, stamped, cosigned } = await check(ask(own), findings);
    expect([files, stamped?.size, stamped?.authority, cosigned?.size]).toEqual([4, 2, 'CN=Test authority', 2]);
    expect(findings.judged).toMatchObject({ integrity: { verdict: 'pass' }, completeness: { verdict: 'pass' } });
    expect([...findings.assumptions].join('\n')).toMatch(
      /clock of CN=Test authority.*2 entries[^]*vouch for the first 2/,
    );
  });

  withTsa('show that the platform log was cut off, and that another one was put in its place', async () => {
    const own = await anchored();
    const [cut, forked] = [createFindings(), createFindings()];
    await check(ask(own), cut, new Map([[1, notes().get(1) ?? '']]));
    expect(cut.judged.completeness).toMatchObject({
      verdict: 'fail',
      place: {
        sentence: 'somebody outside has seen a platform log of 2 entries, and no checkpoint of that size is there',
      },
    });
    const text = encodeCheckpoint({ origin: 'tenon.test/platform/eu-1/1', size: 2, root: Buffer.alloc(32, 1) });
    const other = new Map([...notes(), [2, signNote(text, TEST_SIGNING_KEY)] as const]);
    await check(ask(own), forked, other);
    expect(forked.judged.integrity).toMatchObject({
      verdict: 'fail',
      place: { sentence: expect.stringContaining('forks') },
    });
  });

  withTsa('that are changed, or of an authority or witness that is not trusted, are named', async () => {
    const own = await anchored();
    const other = await openLocalTsa();
    const strangers = createFindings();
    await check(ask(own, { certificates: parseCertificates(other?.root ?? '') }), strangers);
    expect(strangers.judged.integrity).toMatchObject({
      verdict: 'fail',
      place: { file: expect.stringContaining('/tsr/') },
    });
    const unknown = createFindings();
    await check(ask(await openTestWitness()), unknown);
    expect(unknown.judged.completeness.verdict).toBe('cannot say');
    for (const [kind, name] of [
      ['tsr', '0000000000000001.tsr'],
      ['cosig', '0000000000000001.note'],
    ] as const) {
      const path = join(platform.folder, 'v1/eu/platform/1', kind, name);
      const bytes = readFileSync(path);
      const changed = Buffer.from(bytes);
      changed[bytes.length - 20] = (changed[bytes.length - 20] ?? 0) ^ 0x01;
      chmodSync(path, 0o600);
      writeFileSync(path, changed);
      const findings = createFindings();
      await check(ask(own), findings);
      expect(findings.judged.integrity).toMatchObject({
        verdict: 'fail',
        place: { file: `v1/eu/platform/1/${kind}/${name}` },
      });
      writeFileSync(path, bytes);
    }
  });
});

test('the turn looks now and then, and says that there is nothing more to do at once', async () => {
  const { asked } = await aWitness();
  const turn = createAnchorTurn(options({ witnesses: [asked] }));
  expect(await turn()).toBe(false);
  await tick();
  expect(await turn()).toBe(false);
  expect(filesIn('cosig')).toEqual([]);
});

async function otherArchive() {
  return filesystemArchive({ folder: join(platform.folder, 'other'), clock: () => platform.now });
}
