import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { verifyConsistency } from '#schema/merkle.ts';
import { parsePlatformProof, verifyPlatformProof } from '#schema/platform-proof.ts';
import { noteVerifier, verifyNote } from '#schema/signed-note.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { createPlatformTurn } from '../../compliance/platform/turn.ts';
import { outboxOf } from '../../compliance/outbox-reader.ts';
import { sequence } from '../../compliance/sequencer.ts';
import { folderSource } from '../../compliance/verify/folder-source.ts';
import { verifyPlatform } from '../../compliance/platform/verify-platform.ts';
import { openHouse, type House } from '../support/house.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const VERIFIER = noteVerifier(TEST_SIGNING_KEY.name, TEST_SIGNING_KEY.privateKey);
const keys = [VERIFIER];
const TICKS = 40;

let house: House;
let folder: string;
/** The note of each size that a tick ended at. */
const notes: string[] = [];

beforeAll(async () => {
  house = await openHouse();
  folder = temporaryFolder('platform');
  const tenants = new pg.Pool({ connectionString: house.stores.url('eu-1', 'tenon_worker'), max: 2 });
  const audit = new pg.Pool({ connectionString: house.stores.url('eu-1 audit', 'tenon_worker'), max: 4 });
  for (const pool of [tenants, audit]) pool.on('error', () => undefined);
  afterAll(() => Promise.all([tenants.end(), audit.end()]));
  let now = new Date('2026-05-01T10:00:00Z');
  const clock = () => now;
  const archive = await filesystemArchive({ folder, clock });
  const turn = createPlatformTurn({
    audit,
    archive,
    region: 'eu',
    cell: 'eu-1',
    signer: TEST_SIGNING_KEY,
    clock,
    retentionMs: 86_400_000,
  });
  const outbox = outboxOf(tenants);
  for (let tick = 0; tick < TICKS; tick++) {
    const rows = await outbox.take({ limit: 1, skipPositions: [], skipTenants: [] });
    const { settled } = await sequence(audit, rows, now);
    await outbox.remove(settled);
    await turn();
    notes.push(await (await house.fetch(house.acme.auditor, '/v1/audit/platform/checkpoint')).text());
    now = new Date(now.getTime() + 60_000);
  }
});

const originOf = (tenant: string) => `${TEST_SIGNING_KEY.name}/audit/${tenant}/1`;

async function proofOf(token: string, query = ''): Promise<{ status: number; text: string }> {
  const answer = await house.fetch(token, `/v1/audit/platform-proof${query}`);
  return { status: answer.status, text: await answer.text() };
}

describe("a tenant's proof of the platform log", () => {
  it('verifies for her log, and says when it had which size', async () => {
    const { status, text } = await proofOf(house.acme.auditor);
    expect(status).toBe(200);
    const proven = verifyPlatformProof({ proof: text, verifierKeys: keys, origin: originOf(house.acme.id) });
    expect(proven.entry).toMatchObject({ kind: 'heads', number: TICKS - 1, tenants: 2 });
    expect(proven.head.size).toBeGreaterThan(1);
    expect(proven.checkpoint).toMatchObject({ origin: `${TEST_SIGNING_KEY.name}/platform/eu-1/1`, size: TICKS });
  });

  it('by the number of an entry is of the first tick that covers it', async () => {
    const proven = await Promise.all(
      [0, 1].map(async (seq) => {
        const { text } = await proofOf(house.acme.auditor, `?seq=${seq}`);
        return verifyPlatformProof({ proof: text, verifierKeys: keys, origin: originOf(house.acme.id) });
      }),
    );
    expect(proven.map(({ head }) => head.size)).toEqual([1, 2]);
    expect(proven[0]?.entry.number).toBeLessThan(proven[1]?.entry.number ?? 0);
  });

  it('of another tenant does not pass for hers, and shows nothing of another', async () => {
    const hers = (await proofOf(house.acme.auditor)).text;
    const theirs = (await proofOf(house.initech.auditor)).text;
    expect(() => verifyPlatformProof({ proof: theirs, verifierKeys: keys, origin: originOf(house.acme.id) })).toThrow(
      /another tenant/,
    );
    expect(hers).not.toContain(house.initech.id);
    expect(theirs).not.toContain(house.acme.id);
    const mixed = { ...parsePlatformProof(theirs), head: parsePlatformProof(hers).head };
    const text = JSON.stringify({
      head: mixed.head,
      head_hashes: mixed.head_hashes,
      head_index: mixed.head_index,
      tlog_proof: mixed.tlog_proof,
      v: 1,
    });
    expect(() => verifyPlatformProof({ proof: text, verifierKeys: keys, origin: originOf(house.acme.id) })).toThrow(
      /not in the tree/,
    );
  });

  it('is refused where a byte of it was changed, wherever that is', async () => {
    const bytes = Buffer.from((await proofOf(house.acme.auditor)).text);
    fc.assert(
      fc.property(fc.nat(bytes.length - 2), fc.integer({ min: 1, max: 255 }), (place, flip) => {
        const changed = Buffer.from(bytes);
        changed[place] = (changed[place] ?? 0) ^ flip;
        expect(() =>
          verifyPlatformProof({ proof: changed, verifierKeys: keys, origin: originOf(house.acme.id) }),
        ).toThrow();
      }),
      { numRuns: 500 },
    );
  });

  it('is not there for an entry that does not exist, for who may not read the log, and for a wrong question', async () => {
    expect((await proofOf(house.acme.auditor, '?seq=100000')).status).toBe(404);
    expect((await proofOf(house.acme.member)).status).toBe(403);
    expect((await proofOf(house.acme.auditor, '?seq=x')).status).toBe(400);
    expect((await proofOf(house.acme.auditor, '?tenant=other')).status).toBe(400);
    expect((await proofOf(house.globex.auditor)).status).toBe(404);
  });
});

describe('the platform log', () => {
  it('is consistent between any two of its checkpoints', async () => {
    const checkpoints = notes.map((note) => parseCheckpoint(verifyNote(note, keys).text));
    const pairs = fc.tuple(fc.nat(TICKS - 1), fc.nat(TICKS - 1));
    await fc.assert(
      fc.asyncProperty(pairs, async (pair) => {
        const [from, to] = pair.toSorted((left, right) => left - right).map((index) => checkpoints[index]);
        if (from === undefined || to === undefined) throw new Error('no such checkpoint');
        const query = `?from=${from.size}&to=${to.size}`;
        const answer = await house.fetch(house.acme.auditor, `/v1/audit/platform/consistency${query}`);
        const proof = (await answer.json()) as { hashes: string[]; checkpoints: (string | null)[] };
        expect(proof.checkpoints).toEqual([notes[from.size - 1], notes[to.size - 1]]);
        const claim = {
          oldSize: from.size,
          newSize: to.size,
          oldRoot: from.root,
          newRoot: to.root,
          proof: proof.hashes.map((hash) => Buffer.from(hash, 'hex')),
        };
        expect(verifyConsistency(claim)).toBe(true);
        expect(verifyConsistency({ ...claim, oldRoot: Buffer.alloc(32) })).toBe(false);
      }),
      { numRuns: 50 },
    );
  });

  it('passes its verification offline', async () => {
    const source = folderSource(folder);
    const answer = await verifyPlatform({ source, root: '', region: 'eu', keys });
    expect(answer).toMatchObject({
      ticks: TICKS,
      entries: TICKS,
      integrity: { verdict: 'pass' },
      completeness: { verdict: 'pass' },
    });
    expect(answer.heads.get(originOf(house.acme.id))?.size).toBeGreaterThan(1);
  });
});
