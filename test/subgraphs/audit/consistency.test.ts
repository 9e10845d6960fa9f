import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { consistencyNodes, Frontier, verifyConsistency } from '#schema/merkle.ts';
import { verifyNote } from '#schema/signed-note.ts';
import { rangeOf } from '#schema/stored-tree.ts';
import { findConsistency } from '../../../subgraphs/audit/consistency.ts';
import { beginLog } from '../../support/audit-log.ts';
import { ask, codeOf, dataOf, openAudit, without } from './audit-platform.ts';

const SIZE = 900;
const house = await openAudit();
const { ctx, log } = await house.addTenant('acme');
const notes = new Map<number, string>();
for (const count of [300, 1, 211, 388]) {
  await log.append(Array.from({ length: count }, () => ({})));
  notes.set(log.entries.length, await log.seal());
}
await log.append([{}]);

const frontier = new Frontier();
const roots = [frontier.root()];
for (const { leaf } of log.entries) {
  frontier.append(leaf);
  roots.push(frontier.root());
}
const rootOf = (size: number): Buffer => roots[size] ?? expect.fail(`no root of ${size}`);

describe('the consistency proof of a log', () => {
  it('verifies between any two sizes up to the sealed one, and for no other root', async () => {
    const sizes = fc
      .tuple(fc.nat(SIZE), fc.nat(SIZE))
      .map((pair) => pair.toSorted((a, b) => a - b) as [number, number]);
    await fc.assert(
      fc.asyncProperty(sizes, async ([from, to]) => {
        const { hashes: proof, checkpoint } = await findConsistency(ctx, { from, to, epoch: null });
        const claim = { oldSize: from, newSize: to, oldRoot: rootOf(from), newRoot: rootOf(to), proof };
        expect(verifyConsistency(claim)).toBe(true);
        if (from > 0) expect(verifyConsistency({ ...claim, oldRoot: Buffer.alloc(32) })).toBe(false);
        expect(checkpoint).toBe(notes.get(to) ?? null);
      }),
      { numRuns: 60, examples: [[[0, 0]], [[SIZE, SIZE]], [[256, 512]], [[300, 512]], [[511, 512]], [[1, SIZE]]] },
    );
  });

  it('reads some hundred hashes, however long the log is', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40), fc.nat(2 ** 40), (from, more) => {
        const ranges = consistencyNodes(from, from + more).map(rangeOf);
        const rows = ranges.reduce((sum, { count }) => sum + count, 0);
        expect(rows).toBeLessThanOrEqual(6 * 2 * 256);
      }),
    );
  });

  it('is at the door as a witness takes it, up to the newest checkpoint where nothing else is asked for', async () => {
    const answer = await house.fetch(ctx, '/v1/audit/consistency?from=300');
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/plain; charset=utf-8']);
    const text = await answer.text();
    const [head = '', ...rest] = text.split('\n\n');
    const [first, ...lines] = head.split('\n');
    expect(first).toBe('old 300');
    const note = rest.join('\n\n');
    expect(note).toBe(notes.get(SIZE));
    const { size, root } = parseCheckpoint(verifyNote(note, [log.verifier]).text);
    const proof = lines.map((line) => Buffer.from(line, 'base64'));
    expect(verifyConsistency({ oldSize: 300, newSize: size, oldRoot: rootOf(300), newRoot: root, proof })).toBe(true);
  });

  it('is at the door as JSON, and in the graph, with the same hashes', async () => {
    const headers = { accept: 'application/json' };
    const json = await (await house.fetch(ctx, '/v1/audit/consistency?from=301&to=512&epoch=1', { headers })).json();
    const { auditLog } = await dataOf<{ auditLog: { consistencyProof: object } }>(
      ask(ctx, '{ auditLog { consistencyProof(from: 301, to: 512) { epoch from to hashes checkpoint } } }'),
    );
    expect(auditLog.consistencyProof).toEqual(json);
    expect(json).toMatchObject({ epoch: 1, from: 301, to: 512, checkpoint: notes.get(512) });
  });

  it.each([
    ['?from=301&to=300', 'BAD_USER_INPUT'],
    [`?from=1&to=${SIZE + 1}`, 'BAD_USER_INPUT'],
    ['?to=300', 'BAD_USER_INPUT'],
    ['?from=-1', 'BAD_USER_INPUT'],
    ['?from=01', 'BAD_USER_INPUT'],
    ['?from=1&from=2', 'BAD_USER_INPUT'],
    ['?from=1&size=2', 'BAD_USER_INPUT'],
    ['?from=1&epoch=2', 'NOT_FOUND'],
  ])('is refused for %s', async (query, code) => {
    const answer = await house.fetch(ctx, `/v1/audit/consistency${query}`);
    expect(((await answer.json()) as { code: string }).code).toBe(code);
  });

  it('is for whoever may read the log, and of her own log alone', async () => {
    const other = await house.addTenant('globex');
    expect((await house.fetch(other.ctx, '/v1/audit/consistency?from=0')).status).toBe(404);
    expect((await house.fetch(without(ctx, 'audit:read'), '/v1/audit/consistency?from=0')).status).toBe(403);
    const query = '{ auditLog { consistencyProof(from: 1) { to } } }';
    expect(await codeOf(ask(without(ctx, 'audit:read'), query))).toBe('FORBIDDEN');
  });

  it('is of an older epoch where one is named', async () => {
    const second = beginLog({
      url: house.stores.url('eu-1 audit', 'tenon_worker'),
      tenant: ctx.tenant.tenant,
      epoch: 2,
    });
    await second.append([{}]);
    await second.seal();
    expect(await findConsistency(ctx, { from: 0, to: null, epoch: null })).toMatchObject({ epoch: 2, to: 1 });
    expect(await findConsistency(ctx, { from: 300, to: null, epoch: 1 })).toMatchObject({ epoch: 1, to: SIZE });
  });
});
