import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inclusionProof } from '#schema/merkle.ts';
import { encodeProof } from '#schema/tlog-proof.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { tenon } from './run-tenon.ts';
import { checkpointOf, makeLog, makePack, writeFiles, zipOf } from './verify-fixture.ts';

describe('tenon verify', { timeout: 120_000 }, () => {
  const key = TEST_SIGNING_KEY.verifierKey;

  it('ends with 0, 1 or 2 for an archive that is good, changed or open at its end', async () => {
    const log = await makeLog({ counts: [4, 5] });
    const folder = writeFiles(log.files);
    const beside = writeFiles([
      ['head', checkpointOf(log)],
      ['KEYS', `# theirs\n${key}\n`],
    ]);
    const open = await tenon(['verify', folder, '--key', key]);
    expect([open.code, open.out.split('\n').slice(0, 2)]).toEqual([
      2,
      ['integrity    PASS', 'completeness CANNOT SAY'],
    ]);
    const good = await tenon([
      'verify',
      folder,
      '--keys',
      join(beside, 'KEYS'),
      '--checkpoint',
      join(beside, 'head'),
      '--json',
    ]);
    expect(good.code).toBe(0);
    expect(JSON.parse(good.out)).toMatchObject({
      integrity: { verdict: 'pass' },
      completeness: { verdict: 'pass' },
      counts: { entries: 9 },
    });
    const [path = '', bytes = Buffer.alloc(0)] =
      [...log.files].find(([name]) => name.includes('/seg/000000001.')) ?? [];
    writeFileSync(join(folder, path), Buffer.concat([bytes.subarray(0, 100), bytes]));
    const changed = await tenon(['verify', folder, '--key', key]);
    expect(changed.code).toBe(1);
    expect(changed.out).toMatch(
      /^integrity    FAIL\n {2}v1\/eu\/.*\/seg\/000000001\..*: the packed segment is not the one that its manifest names\n/,
    );
  });

  it('trusts every key it is given, and refuses one that is none', async () => {
    const log = await makeLog({ counts: [3] });
    const folder = writeFiles([...log.files, ['head', checkpointOf(log)]]);
    const other = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
    const words = ['verify', folder, '--checkpoint', join(folder, 'head'), '--key'];
    expect((await tenon([...words, other, '--key', key])).code).toBe(0);
    const wrong = await tenon([...words, other.replace('c74f', 'c74e'), '--key', key]);
    expect([wrong.code, wrong.err]).toEqual([
      2,
      expect.stringContaining('the id of the verifier key does not fit the key') as string,
    ]);
  });

  it('takes a pack by its own keys, a proof with its entry, and refuses to go without a key where none is', async () => {
    const log = await makeLog({ counts: [30] });
    const window = { from: '2026-03-01T00:00:00.000Z', to: '2026-03-01T00:00:20.000Z' };
    const folder = writeFiles([
      ['pack.zip', await zipOf(makePack({ log, window }))],
      [
        'entry.tlog-proof',
        encodeProof({ index: 7, hashes: inclusionProof(log.leaves, 7, 30), checkpoint: checkpointOf(log) }),
      ],
      ['entry.json', `${log.lines[7]?.toString()}\n`],
    ]);
    const pack = await tenon(['verify', join(folder, 'pack.zip')]);
    expect([pack.code, pack.err]).toEqual([0, '']);
    expect(pack.out).toContain('assumed: the key was taken from the pack itself');
    const proof = await tenon([
      'verify',
      join(folder, 'entry.tlog-proof'),
      '--entry',
      join(folder, 'entry.json'),
      '--key',
      key,
    ]);
    expect([proof.code, proof.err]).toEqual([0, '']);
    const keyless = await tenon(['verify', join(folder, 'entry.tlog-proof')]);
    expect([keyless.code, keyless.out]).toEqual([2, '']);
    expect(keyless.err).toContain('a key to trust is needed');
  });
});
