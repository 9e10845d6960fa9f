import { spawn, type ChildProcess } from 'node:child_process';
import type { ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { uuidOf } from '#schema/ids.ts';
import { verifyInclusion } from '#schema/merkle.ts';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { entryLeaf } from '#schema/audit-event.ts';
import { verifyNote } from '#schema/signed-note.ts';
import { claimStream, dueStreams } from '../../compliance/streams/stream-store.ts';
import { lagOf, pauseStream, resumeStream, testStream, updateStream } from '../../subgraphs/audit/streams.ts';
import { StreamStart } from '../../subgraphs/audit/stream-inputs.ts';
import { beginLog } from '../support/audit-log.ts';
import { CONTEXT_KEYS } from '../support/databases.ts';
import { httpReceiver, openStreamWorld } from './stream-world.ts';

const world = await openStreamWorld();
const upTo = (count: number) => Array.from({ length: count }, (_, seq) => seq);
const many = (count: number) => Array.from({ length: count }, () => ({ action: 'user.create' }));
const DAY_MS = 24 * 3_600_000;

interface NativeRow {
  readonly checkpoint: string;
  readonly entry: { readonly seq: number; readonly event: { readonly tenant_id: string } };
  readonly leaf: string;
  readonly proof: string[];
  readonly tree_size: number;
}

/** A worker of its own, by the same clock. */
function startProcess(): ChildProcess {
  const settings = {
    ...world.stores.settingsFor('tenon_worker', 'file:///nowhere'),
    contextKeys: JSON.stringify({
      signing: CONTEXT_KEYS.signing.kid,
      keys: CONTEXT_KEYS.all.map(({ kid, secret }) => ({ kid, secret: Buffer.from(secret).toString('hex') })),
    }),
    aheadMs: world.now().getTime() - Date.now(),
  };
  const script = fileURLToPath(new URL('stream-process.ts', import.meta.url));
  const stdio = ['ignore', 'inherit', 'inherit'] as const;
  return spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(settings)], { stdio: [...stdio] });
}

function rowsOf(body: Buffer): NativeRow[] {
  return JSON.parse(body.toString()) as NativeRow[];
}

describe('a stream', () => {
  it('carries every sealed entry once, in the order of the log, each with a proof that stands alone', async () => {
    const { ctx, log } = await world.addTenant('ordered');
    const receiver = await httpReceiver();
    const stream = await world.addStream(ctx, { endpoint: receiver.url });
    await log.append(many(450));
    await log.seal();
    await world.send();
    expect(receiver.seqs()).toEqual(upTo(450));
    expect(receiver.requests.length).toBeGreaterThan(1);
    const text = receiver.requests[0]?.body.toString() ?? '';
    for (const [seq, row] of rowsOf(Buffer.from(text)).entries()) {
      const written = log.entries[seq]?.text ?? '';
      expect(text).toContain(`"entry":${written},`);
      const { text: signed } = verifyNote(row.checkpoint, [log.verifier]);
      const { size, root } = parseCheckpoint(signed);
      const leaf = entryLeaf(Buffer.from(written));
      expect(row.leaf).toBe(leaf.toString('hex'));
      const proof = row.proof.map((hash) => Buffer.from(hash, 'hex'));
      expect(verifyInclusion({ leaf, index: seq, size, root, proof })).toBe(true);
      expect(row.tree_size).toBe(size);
    }
    await log.append(many(3));
    await log.seal();
    await world.send();
    expect(receiver.seqs()).toEqual(upTo(453));
    expect(await world.find(ctx, stream.id)).toMatchObject({ delivered: 453, failures: 0, failure: null });
    expect(await lagOf(ctx, await world.find(ctx, stream.id))).toBe(0);
  });

  it('waits for the seal, or sends at once without proofs where it was asked to', async () => {
    const { ctx, log } = await world.addTenant('unsealed');
    const [patient, hasty] = [await httpReceiver(), await httpReceiver()];
    const { id } = await world.addStream(ctx, { endpoint: patient.url });
    await world.addStream(ctx, { endpoint: hasty.url, proofs: false });
    await log.append(many(5));
    await world.send();
    expect(patient.requests).toEqual([]);
    expect(await lagOf(ctx, await world.find(ctx, id))).toBe(5);
    expect(hasty.seqs()).toEqual(upTo(5));
    expect(rowsOf(hasty.requests[0]?.body ?? Buffer.of())[0]).toMatchObject({ checkpoint: null, proof: null });
    await log.seal();
    await world.send();
    expect(patient.seqs()).toEqual(upTo(5));
    expect(hasty.seqs()).toEqual(upTo(5));
  });

  it('begins with what comes from now on, and goes on into the next epoch of the log', async () => {
    const { ctx, log } = await world.addTenant('epochs');
    const receiver = await httpReceiver();
    await log.append(many(3));
    await world.addStream(ctx, { endpoint: receiver.url, start: StreamStart.NOW });
    await log.append(many(2));
    await log.seal();
    await world.send();
    expect(receiver.seqs()).toEqual([3, 4]);
    const next = beginLog({
      url: world.stores.url('eu-1 audit', 'tenon_worker'),
      tenant: ctx.tenant.tenant,
      epoch: 2,
    });
    await next.append(many(2));
    await next.seal();
    await world.send();
    expect(receiver.seqs()).toEqual([3, 4, 0, 1]);
  });

  it('carries what its filter asks for and passes over the rest', async () => {
    const { ctx, log } = await world.addTenant('filtered');
    const [some, none] = [await httpReceiver(), await httpReceiver()];
    const actions = ['user.*', 'document.share'];
    await world.addStream(ctx, { endpoint: some.url, actions, outcomes: ['denied', 'failure'] });
    const { id } = await world.addStream(ctx, { endpoint: none.url, actions: ['role.grant'] });
    await log.append([
      { action: 'user.create', outcome: 'denied' },
      { action: 'user.create' },
      { action: 'user_group.create', outcome: 'denied' },
      { action: 'document.share', outcome: 'failure' },
      { action: 'document.share.more', outcome: 'failure' },
      { action: 'user.role.grant', outcome: 'failure' },
    ]);
    await log.seal();
    await world.send();
    expect(some.seqs()).toEqual([0, 3, 5]);
    expect(none.requests).toEqual([]);
    expect(await lagOf(ctx, await world.find(ctx, id))).toBe(0);
  });

  it('carries the entries of its own tenant alone', async () => {
    const [one, two] = [await world.addTenant('own'), await world.addTenant('other')];
    const receiver = await httpReceiver();
    await world.addStream(one.ctx, { endpoint: receiver.url });
    for (const { log } of [one, two]) {
      await log.append(many(4));
      await log.seal();
    }
    await world.send();
    const tenants = receiver.requests.flatMap(({ body }) => rowsOf(body).map(({ entry }) => entry.event.tenant_id));
    expect(tenants).toEqual(Array.from({ length: 4 }, () => one.ctx.tenant.tenant));
  });

  it('that is paused stands still, and goes on where it was when it is resumed', async () => {
    const { ctx, log } = await world.addTenant('paused');
    const receiver = await httpReceiver();
    const { id } = await world.addStream(ctx, { endpoint: receiver.url });
    await log.append(many(2));
    await log.seal();
    await world.send();
    await pauseStream(ctx, id);
    await log.append(many(3));
    await log.seal();
    await world.send();
    expect(receiver.seqs()).toEqual([0, 1]);
    await testStream(ctx, id);
    await world.send();
    expect(receiver.requests[1]?.body.toString()).toContain('"test":true');
    expect(await world.find(ctx, id)).toMatchObject({ state: 'paused', testFailure: null, testedAt: expect.any(Date) });
    await resumeStream(ctx, id);
    await world.send();
    expect(receiver.requests.flatMap(({ body }) => rowsOf(body)).map(({ entry }) => entry.seq)).toEqual([
      0, 1, 0, 2, 3, 4,
    ]);
  });
});

describe('a receiver that fails', () => {
  it('is sent the same again, later and later, and nothing behind it', async () => {
    const { ctx, log } = await world.addTenant('refusing');
    let status = 503;
    const receiver = await httpReceiver((_req, res) => void res.writeHead(status).end('our secret words'));
    const { id } = await world.addStream(ctx, { endpoint: receiver.url });
    await log.append(many(3));
    await log.seal();
    await world.send();
    expect(receiver.requests).toHaveLength(1);
    const failed = await world.find(ctx, id);
    expect(failed).toMatchObject({ state: 'active', failures: 1, failure: 'It answered 503.', delivered: 0 });
    const firstPause = (failed.retryAt?.getTime() ?? 0) - world.now().getTime();
    expect(firstPause).toBeGreaterThan(0);
    for (let round = 0; round < 12; round++) {
      world.pass(5 * 60_000);
      await world.send();
    }
    const tired = await world.find(ctx, id);
    const pause = (tired.retryAt?.getTime() ?? 0) - world.now().getTime();
    expect(pause).toBeGreaterThan(firstPause);
    expect(pause).toBeLessThanOrEqual(5 * 60_000);
    expect(new Set(receiver.requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    status = 204;
    await resumeStream(ctx, id);
    await world.send();
    expect(receiver.seqs().slice(-3)).toEqual([0, 1, 2]);
    expect(await world.find(ctx, id)).toMatchObject({ failures: 0, failure: null, failingSince: null, retryAt: null });
  });

  it('for a day raises an alarm and an event of the log, and another one when it recovers', async () => {
    const { ctx, log } = await world.addTenant('failing');
    let status = 500;
    const receiver = await httpReceiver((_req, res) => void res.writeHead(status).end());
    const { id } = await world.addStream(ctx, { endpoint: receiver.url });
    await log.append(many(1));
    await log.seal();
    await world.send();
    world.pass(DAY_MS - 60_000);
    await world.send();
    expect((await world.find(ctx, id)).state).toBe('active');
    world.pass(10 * 60_000);
    await world.send();
    expect((await world.find(ctx, id)).state).toBe('failing');
    expect(world.logged).toContain('an audit stream has delivered nothing for a day');
    status = 200;
    world.pass(10 * 60_000);
    await world.send();
    expect(await world.find(ctx, id)).toMatchObject({ state: 'active', failures: 0, delivered: 1 });
    const events = await world.peek<{ action: string; outcome: string }>(
      `select event::json->>'action' as action, outcome from outbox where tenant_id = $1 order by position`,
      [uuidOf('tnt', ctx.tenant.tenant)],
    );
    expect(events.slice(1)).toEqual([
      { action: 'audit_stream.fail', outcome: 'failure' },
      { action: 'audit_stream.recover', outcome: 'success' },
    ]);
  });

  it('holds up no other: while one does not answer, the living one beside it gets everything', async () => {
    const { ctx, log } = await world.addTenant('beside');
    const unanswered: ServerResponse[] = [];
    const silent = await httpReceiver((_req, res) => void unanswered.push(res));
    const living = await httpReceiver();
    const { id } = await world.addStream(ctx, { endpoint: silent.url });
    await world.addStream(ctx, { endpoint: living.url });
    await log.append(many(5));
    await log.seal();
    const worker = world.newTurn();
    await worker.turn();
    await expect.poll(() => living.requests.length, { timeout: 10_000 }).toBe(1);
    await log.append(many(2));
    await log.seal();
    await expect.poll(async () => (await worker.turn(), living.seqs()), { timeout: 10_000 }).toEqual(upTo(7));
    expect(silent.requests).toHaveLength(1);
    expect(await world.find(ctx, id)).toMatchObject({ failures: 0, delivered: 0 });
    unanswered[0]?.end();
    await expect.poll(() => silent.requests.length, { timeout: 10_000 }).toBe(2);
    unanswered[1]?.end();
    await worker.settle();
    expect(silent.seqs()).toEqual(upTo(7));
  }, 40_000);

  it('and never answers has failed, and gets the same again', async () => {
    const { ctx, log } = await world.addTenant('mute');
    const silent = await httpReceiver((_req, res, count) => void (count > 1 && res.end()));
    const { id } = await world.addStream(ctx, { endpoint: silent.url });
    await log.append(many(1));
    await log.seal();
    await world.send();
    expect((await world.find(ctx, id)).failure).toBe('It gave no answer in time.');
    world.pass(5 * 60_000);
    await world.send();
    expect(silent.seqs()).toEqual([0, 0]);
  }, 40_000);
});

describe('several workers', () => {
  it('send a stream one at a time', async () => {
    const { ctx, log } = await world.addTenant('shared');
    const unanswered: ServerResponse[] = [];
    const receiver = await httpReceiver((_req, res, count) => void (count > 1 ? res.end() : unanswered.push(res)));
    await world.addStream(ctx, { endpoint: receiver.url });
    await log.append(many(300));
    await log.seal();
    const [one, two] = [world.newTurn(), world.newTurn()];
    expect(await one.turn()).toBe('worked');
    expect(await two.turn()).toBe('idle');
    await expect.poll(() => unanswered.length).toBe(1);
    unanswered[0]?.end();
    await one.settle();
    expect(receiver.seqs()).toEqual(upTo(300));
  });

  it('that find the same stream at once do not both get it', async () => {
    const { ctx, log } = await world.addTenant('contended');
    const { id } = await world.addStream(ctx, {});
    await log.append(many(1));
    await log.seal();
    const scope = { databases: world.worker.databases, cell: 'eu-1', now: world.now() };
    const due = (await dueStreams(scope)).find((stream) => stream.id === id);
    if (due === undefined) throw new Error('it has something to send');
    const claims = await Promise.all([1, 2, 3].map(() => claimStream(scope, due)));
    expect(claims.filter((claim) => claim !== null)).toHaveLength(1);
    await pauseStream(ctx, id);
  });

  it('send again what one of them had sent when it was killed before it could write so down, and lose nothing', async () => {
    const { ctx, log } = await world.addTenant('killed');
    let kill = (): void => undefined;
    const receiver = await httpReceiver((_req, res, count) => {
      if (count === 2) kill();
      else res.end();
    });
    const { id } = await world.addStream(ctx, { endpoint: receiver.url });
    await log.append(many(500));
    await log.seal();
    const child = startProcess();
    const ended = new Promise<NodeJS.Signals | null>((resolve) => child.on('exit', (_code, signal) => resolve(signal)));
    kill = () => void child.kill('SIGKILL');
    expect(await ended).toBe('SIGKILL');
    expect((await world.find(ctx, id)).nextSeq).toBe(200);
    await world.send();
    expect(receiver.seqs()).toEqual(upTo(400));
    world.pass(600_000);
    await world.send();
    expect(receiver.seqs()).toEqual([...upTo(400), ...upTo(500).slice(200)]);
    const [, second, third] = receiver.requests.map(({ headers }) => headers['webhook-id']);
    expect(third).toBe(second);
  }, 60_000);
});

describe('a stream that is changed', () => {
  it('is sent by its new settings from the next batch on', async () => {
    const { ctx, log } = await world.addTenant('moved');
    const [before, after] = [await httpReceiver(), await httpReceiver()];
    const { id } = await world.addStream(ctx, { endpoint: before.url });
    await log.append(many(1));
    await log.seal();
    await world.send();
    await updateStream(ctx, { id, endpoint: after.url, secret: `whsec_${Buffer.alloc(32, 7).toString('base64')}` });
    await log.append(many(1));
    await log.seal();
    await world.send();
    expect([before.seqs(), after.seqs()]).toEqual([[0], [1]]);
  });
});
