import { generateKeyPairSync } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { canonicalJson } from '#schema/canonical-json.ts';
import { encodeVerifierKey, noteVerifier } from '#schema/signed-note.ts';
import { signManifest, withOwnHash, type Manifest } from '../../compliance/manifest.ts';
import { packSegment } from '../../compliance/segment.ts';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import {
  checkpointOf,
  eventAt,
  makeFolder,
  makeLog,
  OTHER_TENANT,
  TENANT,
  writeFiles,
  type MadeLog,
} from './verify-fixture.ts';

const KEYS = [TEST_SIGNING_KEY.verifierKey];

let log: MadeLog;
beforeAll(async () => {
  log = await makeLog({ counts: [5, 8, 3, 16] });
});

const verify = (folder: string, given: MadeLog | null = log) =>
  verifyTarget(folder, { keys: KEYS, checkpoints: given === null ? [] : [checkpointOf(given)] });

/** The archive with one key changed by `change`: other bytes, or null for none. */
const withChange = (pattern: RegExp, change: (bytes: Buffer) => Buffer | null): string => {
  const files = [...log.files].flatMap(([key, bytes]): [string, Buffer][] => {
    const changed = pattern.test(key) ? change(bytes) : bytes;
    return changed === null ? [] : [[key, changed]];
  });
  return writeFiles(files);
};

describe('an archive as it was sealed', () => {
  it('passes with a head that was kept elsewhere', async () => {
    const report = await verify(writeFiles(log.files));
    expect(report).toMatchObject({
      target: { kind: 'archive' },
      integrity: { verdict: 'pass', place: null },
      completeness: { verdict: 'pass', place: null },
      counts: { files: 8, logs: 1, segments: 4, entries: 32 },
      logs: [{ origin: `tenon.test/audit/${TENANT}/1`, size: 32, root: log.manifests[3]?.manifest.root_after }],
    });
  });

  it('without such a head leaves open whether its end was cut off', async () => {
    const report = await verify(writeFiles(log.files), null);
    expect(report.integrity.verdict).toBe('pass');
    expect(report.completeness).toMatchObject({ verdict: 'cannot say', place: { seq: 32 } });
  });

  it('passes with an older head, and says how far that reaches', async () => {
    const report = await verifyTarget(writeFiles(log.files), { keys: KEYS, checkpoints: [checkpointOf(log, 1)] });
    expect([report.integrity.verdict, report.completeness.verdict]).toEqual(['pass', 'pass']);
    expect(report.assumptions.join()).toContain('before seq 13');
  });

  it('is found below the folder of a platform, and from inside of it', async () => {
    const folder = writeFiles([...log.files].map(([key, bytes]) => [`archive/eu-1/${key}`, bytes]));
    expect((await verify(folder)).counts.entries).toBe(32);
    expect((await verify(join(folder, `archive/eu-1/v1/eu/${TENANT}/1`))).counts.entries).toBe(32);
    expect((await verify(join(folder, `archive/eu-1/v1/eu/${TENANT}`))).completeness.verdict).toBe('pass');
  });

  it('passes beside what the archive keeps for itself: dates of retention and half-written objects', async () => {
    const folder = writeFiles(log.files);
    writeFiles(
      [
        [`${[...log.files.keys()][0]}.retention.jsonl`, 'x'],
        ['.staging/half', 'x'],
      ],
      folder,
    );
    expect((await verify(folder)).integrity.verdict).toBe('pass');
  });

  it('passes while its next segment is being sealed', async () => {
    const next = await makeLog({ counts: [5, 8, 3, 16, 2] });
    const key = next.manifests[4]?.manifest.segment.key ?? '';
    const folder = writeFiles([...log.files, [key, next.files.get(key) ?? Buffer.alloc(0)]]);
    const report = await verify(folder);
    expect([report.integrity.verdict, report.completeness.verdict]).toEqual(['pass', 'pass']);
    expect(report.assumptions).toContain(`no manifest names ${key}; it was not looked at`);
  });
});

describe('an archive of several tenants', () => {
  it('is judged by its worst log, which is named', async () => {
    const other = await makeLog({ counts: [4, 4], tenant: OTHER_TENANT, region: 'us' });
    const folder = writeFiles([...log.files, ...other.files]);
    const checkpoints = [checkpointOf(log), checkpointOf(other)];
    const whole = await verifyTarget(folder, { keys: KEYS, checkpoints });
    expect([whole.integrity.verdict, whole.completeness.verdict, whole.counts.logs]).toEqual(['pass', 'pass', 2]);
    rmSync(join(folder, other.manifests[1]?.key ?? ''));
    const cut = await verifyTarget(folder, { keys: KEYS, checkpoints });
    expect(cut.integrity.verdict).toBe('pass');
    expect(cut.completeness).toMatchObject({ verdict: 'fail', place: { seq: 4 } });
    expect(cut.logs.map(({ completeness }) => completeness.verdict)).toEqual(['pass', 'fail']);
  });

  it('lacks a log of which a head was signed', async () => {
    const other = await makeLog({ counts: [4], tenant: OTHER_TENANT });
    const report = await verifyTarget(writeFiles(log.files), {
      keys: KEYS,
      checkpoints: [checkpointOf(log), checkpointOf(other)],
    });
    expect(report.completeness).toMatchObject({ verdict: 'fail', place: { seq: 0 } });
    expect(report.completeness.place?.sentence).toContain(OTHER_TENANT);
  });

  it("that lie in each other's folders fail", async () => {
    const folder = writeFiles([...log.files].map(([key, bytes]) => [key.replace(TENANT, OTHER_TENANT), bytes]));
    expect((await verify(folder)).integrity).toMatchObject({
      verdict: 'fail',
      place: { sentence: 'manifest: it is of another log' },
    });
  });
});

describe('a changed archive', () => {
  const firstFault = async (folder: string) => {
    const { integrity } = await verify(folder);
    expect(integrity.verdict).toBe('fail');
    return integrity.place;
  };

  it('fails at the first entry that one changed byte has reached', async () => {
    const place = await firstFault(
      withChange(/seg\/000000001/, (bytes) => {
        const text = gunzipSync(bytes).toString().replace('doc_7"', 'doc_9"');
        return gzipSync(text);
      }),
    );
    expect(place).toMatchObject({ seq: 7, file: expect.stringContaining('/seg/000000001.') as string });
  });

  it('fails at the first entry of swapped ones', async () => {
    const place = await firstFault(
      withChange(/seg\/000000003/, (bytes) => {
        const lines = gunzipSync(bytes).toString().split('\n');
        [lines[4], lines[5]] = [lines[5] ?? '', lines[4] ?? ''];
        return gzipSync(lines.join('\n'));
      }),
    );
    expect(place).toMatchObject({ seq: 20 });
  });

  it('fails where an entry was taken out of the middle', async () => {
    const place = await firstFault(
      withChange(/seg\/000000001/, (bytes) => {
        const lines = gunzipSync(bytes).toString().split('\n');
        return gzipSync(lines.toSpliced(2, 1).join('\n'));
      }),
    );
    expect(place).toMatchObject({ seq: 7 });
  });

  it('fails where the compressed bytes break off, at the entry they break in', async () => {
    const place = await firstFault(withChange(/seg\/000000003/, (bytes) => bytes.subarray(0, bytes.length - 40)));
    expect(place?.seq).toBeGreaterThanOrEqual(16);
    expect(place?.seq).toBeLessThan(32);
  });

  it('fails where a segment is a bomb', async () => {
    const place = await firstFault(withChange(/seg\/000000000/, () => gzipSync(Buffer.alloc(64 * 1024 * 1024))));
    expect(place?.file).toContain('/seg/000000000.');
  });

  it('fails where somebody without the key has written history anew, however well', async () => {
    const anew = await makeLog({
      counts: [5, 8, 3, 16],
      eventOf: (seq, tenant) => ({
        ...eventAt(seq, tenant),
        action: seq === 9 ? 'document.read' : eventAt(seq, tenant).action,
      }),
    });
    const files = anew.manifests.flatMap(({ manifest, key }, number): [string, Buffer][] => {
      const { own_sha256: _, ...words } = manifest;
      // Everything fits but the signature, which is the old one.
      const checkpoint = checkpointOf(log, number);
      const text = canonicalJson(withOwnHash({ ...words, checkpoint }));
      return [
        [key, Buffer.from(text)],
        [manifest.segment.key, anew.files.get(manifest.segment.key) ?? Buffer.alloc(0)],
      ];
    });
    expect(await firstFault(writeFiles(files))).toMatchObject({
      seq: 5,
      sentence: 'manifest: its checkpoint was signed over another root',
    });
  });

  it('fails where the manifest was written to fit the changed entries, for the root does not', async () => {
    const { manifest, key } = log.manifests[1] ?? { manifest: null, key: '' };
    if (manifest === null) throw new Error('there are four');
    const packed = log.files.get(manifest.segment.key) ?? Buffer.alloc(0);
    const lines = gunzipSync(packed).toString().replace('doc_12"', 'doc_13"');
    const { changed, segment } = await refit(manifest, lines);
    const folder = withChange(/(?:man|seg)\/000000001/, () => null);
    writeFiles([[changed.segment.key, segment]], folder);
    const text = canonicalJson(changed);
    writeFiles([[key, text]], folder);
    expect(await firstFault(folder)).toMatchObject({
      seq: 5,
      sentence: 'the entries are not the ones whose root was signed',
    });
  });

  it.each([
    ['the manifest before it', { prev_manifest_sha256: 'ab'.repeat(32) }, 'it does not name the manifest before it'],
    ['the tree before it', { root_before: 'ab'.repeat(32) }, 'it does not go on from the tree before it'],
    ['the leaf before it', { first_prev: 'ab'.repeat(32) }, 'it does not go on from the last leaf before it'],
    ['its own size', { count: 4 }, 'manifest: its sizes contradict each other'],
    ['times that the entries do not have', { last_ts: '2026-01-01T00:00:00Z' }, 'the manifest names other times'],
  ])('fails where a signed manifest is wrong about %s', async (_, change, sentence) => {
    const wrong = resigned(2, change);
    const kept = [...log.files].filter(([key]) => !key.includes('/man/000000002.'));
    expect(await firstFault(writeFiles([...kept, [wrong.key, Buffer.from(wrong.text)]]))).toMatchObject({
      seq: 13,
      sentence,
    });
  });

  it('fails where a manifest lies under the name of another number', async () => {
    const { key = '' } = log.manifests[3] ?? {};
    const folder = writeFiles(
      [...log.files].map(([name, bytes]) => [name === key ? key.replace('000000003', '000000004') : name, bytes]),
    );
    expect(await firstFault(folder)).toMatchObject({
      seq: 16,
      sentence: 'manifest: its name is not that of its number',
    });
  });

  it('fails where other compressed bytes hold the same entries, and blames no entry', async () => {
    const place = await firstFault(withChange(/seg\/000000001/, (bytes) => gzipSync(gunzipSync(bytes), { level: 1 })));
    expect(place).toMatchObject({ seq: null, sentence: 'the packed segment is not the one that its manifest names' });
  });

  it('fails where the log itself took in an event of another tenant', async () => {
    const strange = await makeLog({
      counts: [2, 3],
      eventOf: (seq, tenant) => eventAt(seq, seq === 3 ? OTHER_TENANT : tenant),
    });
    const { integrity } = await verify(writeFiles(strange.files), strange);
    expect(integrity).toMatchObject({
      verdict: 'fail',
      place: { sentence: 'an event is of another tenant than its log' },
    });
  });

  it('fails where an outside head was signed over other entries', async () => {
    const anew = await makeLog({
      counts: [5, 8, 3, 16],
      eventOf: (seq, tenant) => ({ ...eventAt(seq, tenant), session_id: 'ses_x' }),
    });
    const report = await verify(writeFiles(log.files), anew);
    expect(report.integrity).toMatchObject({ verdict: 'fail', place: { seq: 16 } });
  });

  it('fails where a stranger lies in a log', async () => {
    const folder = writeFiles([...log.files, [`v1/eu/${TENANT}/1/seg/note.txt`, Buffer.from('x')]]);
    expect(await firstFault(folder)).toMatchObject({ file: `v1/eu/${TENANT}/1/seg/note.txt` });
  });

  it('fails under the key of somebody else', async () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const keys = [encodeVerifierKey(noteVerifier('tenon.test', publicKey))];
    const { integrity } = await verifyTarget(writeFiles(log.files), { keys });
    expect(integrity).toMatchObject({ verdict: 'fail', place: { seq: 0 } });
  });
});

/** Returns a manifest of the log with other words, signed with the right key. */
function resigned(number: number, change: Partial<Manifest>) {
  const manifest = log.manifests[number]?.manifest;
  if (manifest === undefined) throw new Error('there is no such manifest');
  const { v: _, origin: __, keys: ___, checkpoint: ____, own_sha256: _____, ...facts } = manifest;
  return signManifest(
    log.name,
    { ...facts, ...change },
    { name: TEST_SIGNING_KEY.name, privateKey: TEST_SIGNING_KEY.privateKey },
  );
}

/** Returns a manifest and packed segment that agree with the changed lines in all that is not signed. */
async function refit(manifest: Manifest, lines: string): Promise<{ changed: Manifest; segment: Buffer }> {
  const { entryLeaf } = await import('#schema/audit-event.ts');
  const { hash } = await import('node:crypto');
  const bytes = Buffer.from(lines);
  const segment = await packSegment(bytes);
  const sha256 = hash('sha256', bytes, 'hex');
  const last = lines.trimEnd().split('\n').at(-1) ?? '';
  const { own_sha256: _, ...words } = manifest;
  return {
    segment,
    changed: withOwnHash({
      ...words,
      last_leaf: entryLeaf(Buffer.from(last)).toString('hex'),
      segment: {
        key: manifest.segment.key,
        size_bytes: bytes.length,
        sha256,
        gz_size_bytes: segment.length,
        gz_sha256: hash('sha256', segment, 'hex'),
      },
    }),
  };
}

describe('an incomplete archive', () => {
  it('lacks the segment that is missing', async () => {
    const report = await verify(withChange(/seg\/000000001/, () => null));
    expect(report.completeness).toMatchObject({ verdict: 'fail', place: { seq: 5 } });
    expect(report.integrity.verdict).toBe('cannot say');
  });

  it('lacks the manifest that is missing', async () => {
    const report = await verify(withChange(/man\/000000001/, () => null));
    expect(report.completeness).toMatchObject({
      verdict: 'fail',
      place: { seq: 5, sentence: 'manifest 1 is missing before it' },
    });
  });

  it('lacks its beginning', async () => {
    const report = await verify(withChange(/\/000000000\./, () => null));
    expect(report.completeness).toMatchObject({
      verdict: 'fail',
      place: { sentence: 'manifest 0 is missing before it' },
    });
  });

  it('that was cut off ends before the head that was kept elsewhere', async () => {
    const report = await verify(withChange(/\/00000000[23]\./, () => null));
    expect(report.integrity.verdict).toBe('pass');
    expect(report.completeness).toMatchObject({ verdict: 'fail', place: { seq: 13 } });
  });

  it('of which nothing is left cannot be judged', async () => {
    const { integrity, completeness } = await verify(makeFolder(), null);
    expect([integrity.verdict, completeness.verdict]).toEqual(['cannot say', 'cannot say']);
  });
});

describe('verifying', () => {
  it('needs a key to trust', async () => {
    await expect(verifyTarget(writeFiles(log.files), { keys: [] })).rejects.toThrow('a key to trust is needed');
  });

  it('refuses a malformed key', async () => {
    await expect(verifyTarget(writeFiles(log.files), { keys: ['tenon.test+00000000+AAAA'] })).rejects.toThrow(
      'verifier key',
    );
  });

  it('refuses an outside head that no trusted key has signed', async () => {
    const checkpoints = [checkpointOf(log).replace('\n32\n', '\n31\n')];
    await expect(verifyTarget(writeFiles(log.files), { keys: KEYS, checkpoints })).rejects.toThrow('signature');
  });

  it('refuses what is no archive, pack or proof', async () => {
    const folder = writeFiles([['note.txt', 'hello']]);
    await expect(verify(join(folder, 'note.txt'), null)).rejects.toThrow(
      'neither a folder, nor a zip, a proof, an export, a certificate or a statement',
    );
    await expect(verify(join(folder, 'nothing'), null)).rejects.toThrow('ENOENT');
  });
});
