import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeCheckpoint } from '#schema/checkpoint.ts';
import { inclusionProof, nodeHash } from '#schema/merkle.ts';
import { signNote } from '#schema/signed-note.ts';
import { encodeProof } from '#schema/tlog-proof.ts';
import { exitCodeOf } from '../../compliance/verify/report.ts';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { checkpointOf, eventAt, makeLog, OTHER_TENANT, TENANT, writeFiles, type MadeLog } from './verify-fixture.ts';

const keys = [TEST_SIGNING_KEY.verifierKey];
let log: MadeLog;
beforeAll(async () => {
  log = await makeLog({ counts: [7, 12] });
});

const lineAt = (index: number) => log.lines[index] ?? Buffer.alloc(0);
const proofOf = (
  index: number,
  { extra = lineAt(index), checkpoint = checkpointOf(log) }: { extra?: Buffer | null; checkpoint?: string } = {},
) =>
  encodeProof({
    index,
    hashes: inclusionProof(log.leaves, index, 19),
    checkpoint,
    ...(extra === null ? {} : { extra }),
  });
const signed = ({ root, size = 2, deployment = 'tenon.test' }: { root: Buffer; size?: number; deployment?: string }) =>
  signNote(encodeCheckpoint({ origin: `${deployment}/audit/${TENANT}/1`, size, root }), {
    name: TEST_SIGNING_KEY.name,
    privateKey: TEST_SIGNING_KEY.privateKey,
  });
const written = (text: string, name = 'entry.tlog-proof') => join(writeFiles([[name, text]]), name);

describe('the proof of one entry', () => {
  it('passes for every entry of a log, whatever the file is called', async () => {
    for (let index = 0; index < 19; index++) {
      const report = await verifyTarget(written(proofOf(index), 'proof.txt'), { keys });
      expect([index, exitCodeOf(report), report.counts.entries, report.logs[0]?.size]).toEqual([index, 0, 1, 19]);
      expect(report).toMatchObject({ target: { kind: 'proof' }, logs: [{ origin: `tenon.test/audit/${TENANT}/1` }] });
      expect(report.assumptions).toEqual([
        'a proof speaks of one entry alone; whether others are missing only the log can tell',
      ]);
    }
  });

  it('passes with the entry given beside it, and cannot be judged without', async () => {
    const path = written(proofOf(9, { extra: null }));
    expect(exitCodeOf(await verifyTarget(path, { keys, entry: lineAt(9) }))).toBe(0);
    const report = await verifyTarget(path, { keys });
    expect([report.integrity.verdict, report.completeness.verdict, exitCodeOf(report)]).toEqual([
      'cannot say',
      'cannot say',
      2,
    ]);
  });

  it('fails for another entry than its own', async () => {
    const { integrity } = await verifyTarget(written(proofOf(9, { extra: lineAt(8) })), { keys });
    expect(integrity).toMatchObject({
      verdict: 'fail',
      place: { seq: 9, sentence: expect.stringContaining('not at that index') as string },
    });
  });

  it('fails wherever one of its characters was changed', async () => {
    const text = proofOf(5);
    const passed: number[] = [];
    for (let place = 0; place < text.length; place++) {
      const changed = text.slice(0, place) + (text[place] === 'A' ? 'B' : 'A') + text.slice(place + 1);
      const { integrity } = await verifyTarget(written(changed), { keys });
      if (integrity.verdict !== 'fail') passed.push(place);
    }
    expect(passed).toEqual([]);
  });

  it('fails where the log holds an event of another tenant', async () => {
    const strange = await makeLog({ counts: [3], eventOf: (seq) => eventAt(seq, OTHER_TENANT) });
    const extra = strange.lines[1] ?? Buffer.alloc(0);
    const proof = encodeProof({
      index: 1,
      hashes: inclusionProof(strange.leaves, 1, 3),
      checkpoint: checkpointOf(strange),
      extra,
    });
    const { integrity } = await verifyTarget(written(proof), { keys });
    expect(integrity).toMatchObject({
      verdict: 'fail',
      place: { sentence: 'the event is of another tenant than the log' },
    });
  });

  it('fails where the entry says that it stands elsewhere', async () => {
    const leaves = [log.leaves[5], log.leaves[6]].map((leaf) => leaf ?? Buffer.alloc(32));
    const checkpoint = signed({ root: nodeHash(leaves[0] ?? Buffer.alloc(32), leaves[1] ?? Buffer.alloc(32)) });
    const proof = encodeProof({ index: 1, hashes: inclusionProof(leaves, 1, 2), checkpoint, extra: lineAt(6) });
    const { integrity } = await verifyTarget(written(proof), { keys });
    expect(integrity).toMatchObject({
      verdict: 'fail',
      place: { seq: 1, sentence: 'the entry says of itself that it is 6' },
    });
  });

  it('fails where the log is of another deployment than the key', async () => {
    const checkpoint = signed({ root: log.leaves[0] ?? Buffer.alloc(32), size: 1, deployment: 'other.test' });
    const proof = encodeProof({ index: 0, hashes: [], checkpoint, extra: lineAt(0) });
    const { integrity } = await verifyTarget(written(proof), { keys });
    expect(integrity).toMatchObject({
      verdict: 'fail',
      place: { sentence: 'the log is of another deployment than the key that signed it' },
    });
  });

  it('fails beside another head of the same size', async () => {
    const other = await makeLog({
      counts: [7, 12],
      eventOf: (seq, tenant) => ({ ...eventAt(seq, tenant), request_id: 'req_x' }),
    });
    const { integrity } = await verifyTarget(written(proofOf(5)), { keys, checkpoints: [checkpointOf(other)] });
    expect(integrity).toMatchObject({ verdict: 'fail', place: { seq: 5 } });
  });

  it('needs a key to trust', async () => {
    await expect(verifyTarget(written(proofOf(5)), { keys: [] })).rejects.toThrow('a key to trust is needed');
  });
});
