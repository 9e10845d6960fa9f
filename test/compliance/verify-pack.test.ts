import { appendFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { ZipFile } from 'yazl';
import { exitCodeOf } from '../../compliance/verify/report.ts';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import {
  BEGINNING,
  checkpointOf,
  makeFolder,
  makeLog,
  makePack,
  OTHER_TENANT,
  writeFiles,
  zipOf,
  type MadeLog,
} from './verify-fixture.ts';

const keys = [TEST_SIGNING_KEY.verifierKey];
const at = (seconds: number) => new Date(BEGINNING + seconds * 1000).toISOString();
const WINDOW = { from: at(20), to: at(60) };

let log: MadeLog;
let files: Map<string, Buffer>;
beforeAll(async () => {
  log = await makeLog({ counts: [12, 30, 25, 13] });
  files = makePack({ log, window: WINDOW });
});

const verdictsOf = async (path: string, given: readonly string[] = keys) => {
  const { integrity, completeness } = await verifyTarget(path, { keys: given });
  return [integrity.verdict, completeness.verdict];
};

const zipFile = (bytes: Buffer, name = 'pack.zip') => join(writeFiles([[name, bytes]]), name);

describe('an evidence pack as it was built', () => {
  it('passes as a folder and as a zip, with everything counted', async () => {
    const zips = [zipFile(await zipOf(files)), zipFile(await zipOf(files, { streamed: true }))];
    for (const path of [writeFiles(files), ...zips]) {
      const report = await verifyTarget(path, { keys });
      expect(report).toMatchObject({
        target: { kind: 'pack' },
        integrity: { verdict: 'pass', place: null },
        completeness: { verdict: 'pass', place: null },
        counts: { files: files.size, logs: 1, segments: 4, entries: 80, populations: 2 },
        assumptions: [],
      });
      expect(exitCodeOf(report)).toBe(0);
    }
  });

  it('passes by the keys inside it, and says that they came from there', async () => {
    const report = await verifyTarget(writeFiles(files), { keys: [] });
    expect([report.integrity.verdict, report.completeness.verdict]).toEqual(['pass', 'pass']);
    expect(report.assumptions[0]).toContain('the key was taken from the pack itself');
  });

  it('passes where it begins in the middle of the log, before its window', async () => {
    const report = await verifyTarget(writeFiles(makePack({ log, window: WINDOW, firstSegment: 1 })), { keys });
    expect([report.integrity.verdict, report.completeness.verdict]).toEqual(['pass', 'pass']);
    expect(report.counts.segments).toBe(3);
    expect(report.assumptions.join()).toContain('before seq 12');
  });

  it('passes as an access export, which goes without the log', async () => {
    const report = await verifyTarget(writeFiles(makePack({ log, window: WINDOW, kind: 'gdpr_access' })), { keys });
    expect([exitCodeOf(report), report.counts.logs]).toEqual([0, 0]);
    expect(report.assumptions.join()).toContain('the stores were read by the deployment itself');
  });

  it('fails completeness against a newer head than its own', async () => {
    const grown = await makeLog({ counts: [12, 30, 25, 13, 2] });
    const report = await verifyTarget(writeFiles(files), { keys, checkpoints: [checkpointOf(grown)] });
    expect(report.completeness).toMatchObject({ verdict: 'fail', place: { seq: 80 } });
  });
});

describe('a pack that cannot tell all', () => {
  it('because it begins with its window leaves its completeness open', async () => {
    const window = { from: at(12), to: at(60) };
    const report = await verifyTarget(writeFiles(makePack({ log, window, firstSegment: 1 })), { keys });
    expect(report.integrity.verdict).toBe('pass');
    expect(report.completeness).toMatchObject({ verdict: 'cannot say', place: { seq: 12 } });
  });

  it('because it begins behind entries of its own populations is incomplete', async () => {
    const window = { from: at(5), to: at(60) };
    const report = await verifyTarget(writeFiles(makePack({ log, window, firstSegment: 1 })), { keys });
    expect(report.completeness).toMatchObject({
      verdict: 'fail',
      place: { file: 'populations/sign-ins.ndjson', row: 1 },
    });
  });

  it('because the log ends within its window says so', async () => {
    const report = await verifyTarget(writeFiles(makePack({ log, window: { from: at(20), to: at(900) } })), { keys });
    expect(exitCodeOf(report)).toBe(0);
    expect(report.assumptions.join()).toContain(`ends at ${at(79)}, within the window`);
  });

  it('because it has no head leaves its completeness open', async () => {
    expect(await verdictsOf(writeFiles(makePack({ log, window: WINDOW, withHead: false })))).toEqual([
      'pass',
      'cannot say',
    ]);
  });

  it('and says so in its omissions is incomplete', async () => {
    const report = await verifyTarget(
      writeFiles(makePack({ log, window: WINDOW, omissions: [{ what: 'invoices', why: 'the cell was away' }] })),
      { keys },
    );
    expect(report.completeness).toMatchObject({
      verdict: 'fail',
      place: { sentence: 'the pack leaves out invoices: the cell was away' },
    });
    expect(exitCodeOf(report)).toBe(1);
  });
});

describe('a changed pack', () => {
  it('fails at every single file that has one other byte', async () => {
    const folder = writeFiles(files);
    for (const [path, bytes] of files) {
      const changed = Buffer.from(bytes);
      const middle = Math.floor(changed.length / 2);
      changed.writeUInt8(changed.readUInt8(middle) ^ 1, middle);
      writeFileSync(join(folder, path), changed);
      const { integrity } = await verifyTarget(folder, { keys });
      expect([
        path,
        integrity.verdict,
        integrity.place?.file?.startsWith('manifest') === true ? 'manifest' : integrity.place?.file,
      ]).toEqual([path, 'fail', path.startsWith('manifest') ? 'manifest' : path]);
      writeFileSync(join(folder, path), bytes);
    }
  });

  it('fails at a file that nobody named', async () => {
    const folder = writeFiles([...files, ['controls/CC6.1/extra.csv', 'x']]);
    expect((await verifyTarget(folder, { keys })).integrity).toMatchObject({
      verdict: 'fail',
      place: { file: 'controls/CC6.1/extra.csv' },
    });
  });

  it('fails where its manifest was written anew under another key', async () => {
    const { generateKeyPairSync } = await import('node:crypto');
    const { encodeVerifierKey, noteVerifier } = await import('#schema/signed-note.ts');
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const forger = {
      name: 'tenon.test',
      privateKey,
      publicKey,
      verifierKey: encodeVerifierKey(noteVerifier('tenon.test', publicKey)),
    };
    const forged = writeFiles(makePack({ log, window: WINDOW, key: forger }));
    expect((await verdictsOf(forged))[0]).toBe('fail');
    // By its own key the manifest passes, but the log inside it was signed by another one.
    expect((await verdictsOf(forged, []))[0]).toBe('fail');
  });

  it('fails where the envelope is of another pack', async () => {
    const other = makePack({ log, window: { from: at(0), to: at(10) } });
    const folder = writeFiles([...files, ['manifest.dsse.json', other.get('manifest.dsse.json') ?? '']]);
    expect((await verifyTarget(folder, { keys })).integrity).toMatchObject({
      verdict: 'fail',
      place: { file: 'manifest.json', sentence: 'it is not the manifest that was signed' },
    });
  });

  it('fails where the log is of another tenant', async () => {
    const other = await makeLog({ counts: [12, 30, 25, 13], tenant: OTHER_TENANT });
    const folder = writeFiles(makePack({ log: { ...other, name: log.name }, window: WINDOW }));
    expect((await verifyTarget(folder, { keys })).integrity).toMatchObject({ verdict: 'fail', place: { file: 'log' } });
  });
});

describe('an incomplete pack', () => {
  it('lacks every single file that is missing', async () => {
    const folder = writeFiles(files);
    for (const [path, bytes] of files) {
      rmSync(join(folder, path));
      const report = await verifyTarget(folder, { keys });
      const judged = path.startsWith('manifest') ? report.integrity : report.completeness;
      expect([path, judged.verdict, judged.place?.file]).toEqual([path, 'fail', path]);
      writeFileSync(join(folder, path), bytes);
    }
  });
});

/** Signed by the right key, but not what the log says: the replay alone can tell. */
describe('a pack of a dishonest builder', () => {
  const dishonest = async (path: string, change: (text: string) => string) => {
    const pack = makePack({
      log,
      window: WINDOW,
      dishonest: (all) => void all.set(path, Buffer.from(change(all.get(path)?.toString() ?? ''))),
    });
    return verifyTarget(writeFiles(pack), { keys });
  };
  const ROWS = 'populations/sign-ins.ndjson';
  const CLAIM = 'populations/sign-ins.completeness.json';

  /** Rows, table and counts agree with each other; only the log knows better. */
  const withRows = (change: <T>(rows: T[], filler: T) => T[]) => {
    const pack = makePack({
      log,
      window: WINDOW,
      dishonest: (all) => {
        const rows = change((all.get(ROWS)?.toString() ?? '').trimEnd().split('\n'), '{"row":14,"seq":58,"leaf":"00"}');
        all.set(ROWS, Buffer.from(`${rows.join('\n')}\n`));
        const [head = '', ...table] = (all.get(TABLE)?.toString() ?? '').trimEnd().split('\r\n');
        all.set(TABLE, Buffer.from([head, ...change(table, '14,58,00,x'), ''].join('\r\n')));
        all.set(
          CLAIM,
          Buffer.from((all.get(CLAIM)?.toString() ?? '').replaceAll(/"(count|expected)":13/g, `"$1":${rows.length}`)),
        );
      },
    });
    return verifyTarget(writeFiles(pack), { keys });
  };
  const TABLE = 'populations/sign-ins.csv';

  it('whose population leaves out an entry of the log is incomplete, and the entry is named', async () => {
    const { integrity, completeness } = await withRows((rows) => rows.toSpliced(3, 1));
    expect(integrity.verdict).toBe('pass');
    expect(completeness).toMatchObject({ verdict: 'fail', place: { file: ROWS, row: 4, seq: 30 } });
  });

  it('whose population leaves out the last entry is incomplete', async () => {
    const { completeness } = await withRows((rows) => rows.slice(0, -1));
    expect(completeness).toMatchObject({
      verdict: 'fail',
      place: { file: ROWS, seq: 57, sentence: expect.stringContaining('has no row for it') as string },
    });
  });

  it('whose population invents a row is incomplete', async () => {
    const { completeness } = await withRows((rows, filler) => [...rows, filler]);
    expect(completeness).toMatchObject({
      verdict: 'fail',
      place: { file: ROWS, row: 14, sentence: 'the population has a row that the log does not give it' },
    });
  });

  it('whose manifest counts other rows than a table has is incomplete', async () => {
    const { completeness } = await dishonest(TABLE, (table) => `${table}14,58,00,x\r\n`);
    expect(completeness).toMatchObject({
      verdict: 'fail',
      place: { file: TABLE, sentence: 'the manifest counts 13 rows, the file has 14' },
    });
  });

  it('whose row names another leaf is incomplete', async () => {
    const { completeness } = await dishonest(ROWS, (rows) => rows.replace(/"leaf":"[0-9a-f]{4}/, '"leaf":"0000'));
    expect(completeness).toMatchObject({ verdict: 'fail', place: { file: ROWS, row: 1, seq: 21 } });
  });

  it('whose statement counts other rows than there are is incomplete', async () => {
    const { completeness } = await dishonest(CLAIM, (claim) => claim.replace('"count":13', '"count":12'));
    expect(completeness.verdict).toBe('fail');
  });

  it('whose statement admits a gap is incomplete', async () => {
    const { completeness } = await dishonest(CLAIM, (claim) => claim.replace('"gaps":[]', '"gaps":[4]'));
    expect(completeness).toMatchObject({ verdict: 'fail', place: { file: CLAIM } });
  });

  it('that leaves out a segment is incomplete', async () => {
    const pack = makePack({
      log,
      window: WINDOW,
      dishonest: (all) => {
        for (const path of all.keys()) if (/\/seg\/000000002\./.test(path)) all.delete(path);
      },
    });
    expect((await verifyTarget(writeFiles(pack), { keys })).completeness).toMatchObject({
      verdict: 'fail',
      place: { seq: 42 },
    });
  });
});

describe('a zip', () => {
  it('that is cut off, padded or commented fails', async () => {
    const whole = zipFile(await zipOf(files));
    const bytes = readFileSync(whole);
    truncateSync(whole, bytes.length - 30);
    expect((await verdictsOf(whole))[0]).toBe('fail');
    writeFileSync(whole, bytes);
    appendFileSync(whole, 'more');
    expect((await verdictsOf(whole))[0]).toBe('fail');
    writeFileSync(whole, Buffer.concat([Buffer.from('#!/bin/sh\n'), bytes]));
    expect((await verdictsOf(whole))[0]).toBe('fail');
  });

  it('that shows one file to some programs and another to others fails', async () => {
    const bytes = await zipOf(files);
    // The first name is the one in the local header; the directory comes last.
    bytes.write('rEport.html', bytes.indexOf('report.html'));
    const { integrity } = await verifyTarget(zipFile(bytes), { keys });
    expect(integrity).toMatchObject({
      verdict: 'fail',
      place: { sentence: 'report.html is described twice, and differently' },
    });
  });

  it('with a bomb in it fails before much of it is unpacked', async () => {
    const bytes = await zipOf(new Map([...files, ['log/bomb', Buffer.alloc(200 * 1024 * 1024)]]));
    const { integrity } = await verifyTarget(zipFile(bytes), { keys });
    expect(integrity).toMatchObject({ verdict: 'fail', place: { file: 'log/bomb' } });
  });

  it('that hides bytes before a file fails', async () => {
    const bytes = await zipOf(new Map([['a', Buffer.from('hello')]]));
    const directory = bytes.indexOf(Buffer.from('PK\x01\x02', 'latin1'));
    const end = bytes.indexOf(Buffer.from('PK\x05\x06', 'latin1'));
    bytes.writeUInt32LE(10, directory + 42);
    bytes.writeUInt32LE(directory + 10, end + 16);
    const { integrity } = await verifyTarget(zipFile(Buffer.concat([Buffer.alloc(10, '#'), bytes])), { keys });
    expect(integrity).toMatchObject({
      verdict: 'fail',
      place: { sentence: 'bytes that belong to no file, or to two, stand before a' },
    });
  });

  it('whose check sums are wrong fails, though the content is right', async () => {
    const bytes = await zipOf(files);
    const name = Buffer.from('report.html');
    const directory = bytes.lastIndexOf(name) - 46;
    for (const place of [bytes.indexOf(name) - 30 + 14, directory + 16]) bytes.writeUInt32LE(1, place);
    const { integrity } = await verifyTarget(zipFile(bytes), { keys });
    expect(integrity).toMatchObject({
      verdict: 'fail',
      place: { file: 'report.html', sentence: 'report.html has another check sum than the zip says' },
    });
  });

  it('that lies about a size fails', async () => {
    const bytes = await zipOf(new Map([['a', Buffer.from('hello')]]));
    bytes.writeUInt32LE(0x7fffffff, bytes.indexOf(Buffer.from('PK\x01\x02', 'latin1')) + 24);
    const { integrity } = await verifyTarget(zipFile(bytes), { keys });
    expect(integrity).toMatchObject({ verdict: 'fail', place: { sentence: 'a claims a size that it cannot have' } });
  });

  it('whose names leave the folder fails', async () => {
    const bytes = await zipOf(new Map([['xx/escaped', Buffer.from('hello')]]));
    for (let found = bytes.indexOf('xx/e'); found >= 0; found = bytes.indexOf('xx/e')) bytes.write('../e', found);
    expect((await verdictsOf(zipFile(bytes)))[0]).toBe('fail');
  });

  it('with a name twice fails', async () => {
    const zip = new ZipFile();
    for (const text of ['one', 'two'])
      zip.addBuffer(Buffer.from(text), 'manifest.json', { mtime: new Date(1980, 0, 1), forceDosTimestamp: true });
    zip.end();
    const { integrity } = await verifyTarget(zipFile(await buffer(zip.outputStream)), { keys });
    expect(integrity.place?.sentence).toBe('manifest.json is there twice');
  });

  it('that is none fails', async () => {
    expect((await verdictsOf(zipFile(gzipSync('no zip'))))[0]).toBe('fail');
  });

  it.each([false, true])('fails wherever one bit of it was flipped (streamed: %s)', async (streamed) => {
    const bytes = await zipOf(files, { streamed });
    const path = zipFile(bytes);
    const passed: number[] = [];
    for (let round = 0; round < 150; round++) {
      const place = (round * 7919) % bytes.length;
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(place) ^ (1 << (round % 8)), place);
      writeFileSync(path, changed);
      if ((await verdictsOf(path))[0] !== 'fail') passed.push(place);
    }
    expect(passed).toEqual([]);
  });
});

describe('a folder that is empty', () => {
  it('is no pack', async () => {
    expect(await verdictsOf(makeFolder())).toEqual(['cannot say', 'cannot say']);
  });
});
