import { describe, expect, it } from 'vitest';
import { requestContext } from '#kit/request-context.ts';
import { entryLeaf, parseEntry } from '#schema/audit-event.ts';
import { mintId } from '#schema/ids.ts';
import { inclusionProof } from '#schema/merkle.ts';
import { parseProof, verifyProof } from '#schema/tlog-proof.ts';
import { findProofs } from '../../../subgraphs/audit/proof.ts';
import { beginLog } from '../../support/audit-log.ts';
import { ask, codeOf, dataOf, openAudit, without } from './audit-platform.ts';

const PROOF = '{ status index treeSize hashes checkpoint tlogProof }';
const EVENT = `query ($id: ID!) { auditEvent(id: $id) { id seq entry leafHash proof ${PROOF} } }`;
const LOG = '{ auditLog { size sealedSize rootHash checkpoint alarm } }';

interface Proof {
  readonly status: string;
  readonly index: number;
  readonly treeSize: number | null;
  readonly hashes: string[];
  readonly checkpoint: string | null;
  readonly tlogProof: string | null;
}
type Answer = { auditEvent: { seq: number; entry: string; leafHash: string; proof: Proof } | null };

const SEALED = 600;
const SIZE = 605;

const house = await openAudit();
const { ctx, log } = await house.addTenant('acme');
await log.append(Array.from({ length: 300 }, () => ({})));
await log.seal();
await log.append(Array.from({ length: SEALED - 300 }, () => ({})));
const note = await log.seal();
await log.append(Array.from({ length: SIZE - SEALED }, () => ({})));

describe('the proof of an entry', () => {
  it('verifies offline against the newest checkpoint, for every sealed entry of the log', async () => {
    const proofs = await findProofs(
      ctx,
      log.entries.map(({ event }) => event.id),
    );
    expect(proofs).toHaveLength(SIZE);
    const byId = new Map(proofs.map((proof) => [proof.id, proof]));
    for (const { event, seq, leaf } of log.entries.slice(0, SEALED)) {
      const file = byId.get(event.id)?.tlogProof ?? '';
      const proven = verifyProof({ proof: file, leaf, verifierKeys: [log.verifier], origin: log.origin });
      expect([proven.index, proven.checkpoint.size]).toEqual([seq, SEALED]);
    }
  });

  it('is the audit path of RFC 6962, in hex, with the signed note beside it', async () => {
    const entry = log.entries[299];
    const { auditEvent } = await dataOf<Answer>(ask(ctx, EVENT, { id: entry?.event.id }));
    const leaves = log.entries.slice(0, SEALED).map(({ leaf }) => leaf);
    const hashes = inclusionProof(leaves, 299, SEALED).map((hash) => hash.toString('hex'));
    expect(auditEvent?.proof).toMatchObject({
      status: 'SEALED',
      index: 299,
      treeSize: SEALED,
      hashes,
      checkpoint: note,
    });
  });

  it('carries the entry, so that the file alone is enough', async () => {
    const { auditEvent } = await dataOf<Answer>(ask(ctx, EVENT, { id: log.entries[7]?.event.id }));
    const { extra } = parseProof(auditEvent?.proof.tlogProof ?? '');
    expect(extra?.toString()).toBe(auditEvent?.entry);
    expect(entryLeaf(extra ?? Buffer.alloc(0)).toString('hex')).toBe(auditEvent?.leafHash);
    expect(parseEntry(extra ?? Buffer.alloc(0)).seq).toBe(7);
  });

  it('is pending until a checkpoint covers the entry', async () => {
    const { auditEvent } = await dataOf<Answer>(ask(ctx, EVENT, { id: log.entries[SEALED]?.event.id }));
    expect(auditEvent?.proof).toEqual({
      status: 'PENDING',
      index: SEALED,
      treeSize: null,
      hashes: [],
      checkpoint: null,
      tlogProof: null,
    });
    const { ctx: fresh, log: unsealed } = await house.addTenant('fresh');
    const [entry] = await unsealed.append([{}]);
    const { auditEvent: first } = await dataOf<Answer>(ask(fresh, EVENT, { id: entry?.event.id }));
    expect(first?.proof.status).toBe('PENDING');
  });

  it("of an older log is against that log's own last checkpoint", async () => {
    const { ctx: moved, log: older } = await house.addTenant('moved');
    const [first] = await older.append([{}, {}, {}]);
    await older.seal();
    const newer = beginLog({
      url: house.stores.url('eu-1 audit', 'tenon_worker'),
      tenant: moved.tenant.tenant,
      epoch: 2,
    });
    const [second] = await newer.append([{}]);
    await newer.seal();
    const proofs = await findProofs(moved, [first?.event.id ?? '', second?.event.id ?? '']);
    const [one, two] = [first, second].map((entry) => proofs.find(({ id }) => id === entry?.event.id)?.tlogProof ?? '');
    expect(
      verifyProof({
        proof: one ?? '',
        leaf: first?.leaf ?? Buffer.alloc(0),
        verifierKeys: [older.verifier],
        origin: older.origin,
      }).index,
    ).toBe(0);
    expect(
      verifyProof({
        proof: two ?? '',
        leaf: second?.leaf ?? Buffer.alloc(0),
        verifierKeys: [newer.verifier],
        origin: newer.origin,
      }).checkpoint.size,
    ).toBe(1);
  });

  it('is read for a whole page in one transaction', async () => {
    const document = `query { auditEvents(first: 100) { edges { node { seq proof ${PROOF} } } } }`;
    let transactions = 0;
    const pool = ctx.databases.auditPool('eu-1');
    const databases = { ...ctx.databases, auditPool: () => (transactions++, pool) };
    const counted = requestContext({ ...house.platform, databases }, ctx.tenant);
    const { auditEvents } = await dataOf<{ auditEvents: { edges: unknown[] } }>(ask(counted, document));
    expect([auditEvents.edges.length, transactions]).toEqual([100, 2]);
  });

  it('comes as a file through REST, and not before it can', async () => {
    const sealed = await house.fetch(ctx, `/v1/audit/events/${log.entries[42]?.event.id}/proof`);
    expect([sealed.status, sealed.headers.get('content-type')]).toEqual([200, 'text/plain; charset=utf-8']);
    const leaf = log.entries[42]?.leaf ?? Buffer.alloc(0);
    expect(verifyProof({ proof: await sealed.text(), leaf, verifierKeys: [log.verifier] }).index).toBe(42);
    const pending = await house.fetch(ctx, `/v1/audit/events/${log.entries[SIZE - 1]?.event.id}/proof`);
    expect([pending.status, ((await pending.json()) as { title: string }).title]).toEqual([
      404,
      expect.stringContaining('not sealed yet'),
    ]);
  });
});

describe('the head of the log', () => {
  it('tells size, sealed size, root and checkpoint', async () => {
    const { auditLog } = await dataOf<{ auditLog: object }>(ask(ctx, LOG));
    expect(auditLog).toEqual({
      size: SIZE,
      sealedSize: SEALED,
      rootHash: log.root().toString('hex'),
      checkpoint: note,
      alarm: null,
    });
    const checkpoint = await house.fetch(ctx, '/v1/audit/checkpoint');
    expect([checkpoint.status, await checkpoint.text()]).toEqual([200, note]);
  });

  it('is empty for a tenant without events, and shows what is wrong with the archive', async () => {
    const { ctx: silent } = await house.addTenant('silent');
    const { auditLog } = await dataOf<{ auditLog: object }>(ask(silent, LOG));
    expect(auditLog).toMatchObject({
      size: 0,
      checkpoint: null,
      rootHash: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    });
    expect((await house.fetch(silent, '/v1/audit/checkpoint')).status).toBe(404);
    const { ctx: full, log: stuck } = await house.addTenant('full');
    await stuck.append([{}]);
    await house.peek(
      'eu-1 audit',
      `update log_heads set alarm = 'the archive is full', alarm_since = now() where size = 1 and alarm is null`,
    );
    expect((await dataOf<{ auditLog: { alarm: string } }>(ask(full, LOG))).auditLog.alarm).toBe('the archive is full');
  });
});

describe('another tenant', () => {
  it('gets neither event nor proof nor head of this one', async () => {
    const { ctx: stranger } = await house.addTenant('stranger');
    const id = log.entries[1]?.event.id;
    expect(await dataOf(ask(stranger, EVENT, { id }))).toEqual({ auditEvent: null });
    expect(await findProofs(stranger, [id ?? ''])).toEqual([]);
    expect((await house.fetch(stranger, `/v1/audit/events/${id}/proof`)).status).toBe(404);
    expect((await dataOf<{ auditLog: { size: number } }>(ask(stranger, LOG))).auditLog.size).toBe(0);
  });

  it('looks the same as nobody', async () => {
    expect(await dataOf(ask(ctx, EVENT, { id: mintId('aud') }))).toEqual({ auditEvent: null });
    expect(await dataOf(ask(ctx, EVENT, { id: 'nonsense' }))).toEqual({ auditEvent: null });
    expect((await house.fetch(ctx, '/v1/audit/events/nonsense/proof')).status).toBe(404);
  });
});

describe('a right that is missing', () => {
  it('closes proofs and head', async () => {
    const blind = without(ctx, 'audit:read');
    const id = log.entries[1]?.event.id;
    expect(await codeOf(ask(blind, EVENT, { id }))).toBe('FORBIDDEN');
    expect(await codeOf(ask(blind, LOG))).toBe('FORBIDDEN');
    expect((await house.fetch(blind, `/v1/audit/events/${id}/proof`)).status).toBe(403);
    expect((await house.fetch(blind, '/v1/audit/checkpoint')).status).toBe(403);
  });
});
