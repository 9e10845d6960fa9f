import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { findTenantBySlug } from '#kit/directory.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf } from '#schema/ids.ts';
import { parseVerifierKey } from '#schema/signed-note.ts';
import { alone } from '../../../compliance/alone.ts';
import { verifyMove } from '../../../compliance/moves/certificate.ts';
import { driveMove } from '../../../compliance/moves/machine.ts';
import { verifyTarget } from '../../../compliance/verify/verify.ts';
import { createDocument, createProject } from '../../../subgraphs/product/service.ts';
import { orderMove } from '../../../subgraphs/tenants/moves.ts';
import { TEST_SIGNING_KEY } from '../../support/signing-key.ts';
import { openMoveWorld } from './move-world.ts';

const world = await openMoveWorld();
const { mover } = world;
const peek: typeof world.peek = (...asked) => world.peek(...asked);
const uuid = (ctx: RequestContext) => uuidOf('tnt', ctx.tenant.tenant);
const KEYS = [parseVerifierKey(TEST_SIGNING_KEY.verifierKey)];
const SLOTS = `select slot_name from pg_replication_slots where database = current_database()
  union all select pubname from pg_publication`;

async function documentsIn(cell: 'eu-1' | 'us-1', ctx: RequestContext): Promise<string[]> {
  const rows = await peek<{ name: string }>(cell, 'select name from documents where tenant_id = $1 order by name', [
    uuid(ctx),
  ]);
  return rows.map(({ name }) => name);
}

/** Does the work while no log of the cell is sealed. */
async function unsealed(cell: 'eu-1' | 'us-1', work: () => Promise<void>): Promise<void> {
  const audit = new pg.Pool({ connectionString: world.stores.url(`${cell} audit`) });
  try {
    const begun: Promise<void>[] = [];
    const begin = async () => {
      begun.push(work());
      await Promise.allSettled(begun);
    };
    await expect.poll(() => alone(audit, 'sealing', begin).then(() => begun.length), { timeout: 20_000 }).toBe(1);
    await Promise.all(begun);
  } finally {
    await audit.end();
  }
}

async function placeOf(ctx: RequestContext): Promise<unknown> {
  const [row] = await peek('directory', 'select cell, region from tenants where id = $1', [uuid(ctx)]);
  return row;
}

/** Writes documents one after the other, from two sides, until it is told to end; every seventh is big, some are changed. */
function writing(ctx: RequestContext, projectId: string) {
  const names: string[] = [];
  const faults: unknown[] = [];
  const state = { isEnding: false };
  const write = async (name: string, index: number) => {
    await createDocument(ctx, { projectId, name, body: 'x'.repeat(index % 7 === 0 ? 9_000 : 50) });
    names.push(name);
    if (index % 5 === 0)
      await inTenant(ctx, (tx) => tx.query(`update documents set created_at = '2026-01-01' where name = $1`, [name]));
  };
  const writers = ['a', 'b'].map(async (writer) => {
    for (let index = 0; !state.isEnding; index += 1)
      await write(`${writer}-${index}`, index).catch((error: unknown) => faults.push(error));
  });
  const end = async () => {
    state.isEnding = true;
    await Promise.all(writers);
    return { names: names.toSorted(), faults };
  };
  onTestFinished(async () => void (await end()));
  return { end };
}

describe('a move to another cell', { timeout: 60_000 }, () => {
  test('brings everything over while the tenant works, fails none of her writes, and says in a signed certificate what it did', async () => {
    const ctx = await world.tenant('mover');
    const other = await world.tenant('stays');
    const { id: projectId } = await createProject(ctx, { name: 'before' });
    await createProject(other, { name: 'hers' });
    await world.logged();
    const load = writing(ctx, projectId);
    const id = await world.ask(ctx);
    await driveMove(mover, id);
    const { names, faults } = await load.end();

    expect(faults).toEqual([]);
    expect(await documentsIn('us-1', ctx)).toEqual(names);
    expect(await placeOf(ctx)).toEqual({ cell: 'us-1', region: 'us' });
    const row = await world.row(id);
    expect(row).toMatchObject({ phase: 'done', obstacle: null });
    expect(row.fence_ms).toBeLessThan(3_000);
    // Nothing is left behind, and nothing of another tenant was touched.
    for (const store of ['eu-1', 'eu-1 audit'] as const) {
      expect(await world.tablesOf(store, ctx)).toEqual([]);
      expect(await peek(store, SLOTS)).toEqual([]);
    }
    expect(await world.tablesOf('us-1', other)).toEqual([]);
    expect(await world.tablesOf('eu-1', other)).toContain('projects');

    const { predicate, subject } = verifyMove(row.certificate ?? '', KEYS).statement;
    expect(predicate).toMatchObject({
      tenant: ctx.tenant.tenant,
      from: { cell: 'eu-1', region: 'eu' },
      to: { cell: 'us-1', region: 'us' },
      held_ms: row.fence_ms,
      removed_rows: Number(row.removed),
    });
    expect(subject.map(({ name }) => name)).toEqual(expect.arrayContaining(['cell/documents', 'audit/log_entries']));
    expect(Number(row.removed)).toBe(row.sums?.reduce((sum, { rows }) => sum + rows, 0));
  });

  test('takes the audit log along, which goes on in its next epoch and verifies as a whole where she is', async () => {
    const ctx = await world.tenant('logged');
    await createProject(ctx, { name: 'one' });
    await world.logged();
    const before = await events('eu-1', ctx);
    await driveMove(mover, await world.ask(ctx));
    await createProject(ctx, { name: 'two' });
    await world.logged();
    const after = await events('us-1', ctx);
    expect(after.slice(0, before.length)).toEqual(before);
    const later = after.filter(({ epoch }) => epoch === 2).map(({ action }) => action);
    // What was not sealed where she was is sealed where she is.
    expect([later[0], new Set(later.slice(1, -1)), later.at(-1)]).toEqual([
      'log.epoch_opened',
      new Set(['tenant.move']),
      'project.create',
    ]);
    const report = await verifyTarget(world.archiveFolder('us-1'), { keys: [TEST_SIGNING_KEY.verifierKey] });
    const origins = [1, 2].map((epoch) => `${TEST_SIGNING_KEY.name}/audit/${ctx.tenant.tenant}/${epoch}`);
    for (const origin of origins) {
      const log = report.logs.find((each) => each.origin === origin);
      expect([origin, log?.integrity]).toEqual([origin, expect.objectContaining({ verdict: 'pass' })]);
      expect([origin, log?.completeness.verdict]).not.toEqual([origin, 'fail']);
    }
  });

  test.each(['copied', 'held', 'departed', 'opened', 'turned', 'removed'] as const)(
    'that is killed at "%s" is made by the next worker, with nothing lost or doubled',
    async (step) => {
      const ctx = await world.tenant(`killed-${step}`);
      const { id: projectId } = await createProject(ctx, { name: 'p' });
      await createDocument(ctx, { projectId, name: 'before', body: '' });
      const id = await world.ask(ctx);
      await world.killAt(id, step);
      const isHeld = ['departed', 'opened', 'turned'].includes(step);
      // Between the last write at the one place and the first at the other she waits; else she does not notice.
      if (!isHeld) await createDocument(ctx, { projectId, name: 'meanwhile', body: 'y' });
      await driveMove(mover, id);
      await createDocument(ctx, { projectId, name: 'thereafter', body: '' });
      expect(await documentsIn('us-1', ctx)).toEqual(['before', ...(isHeld ? [] : ['meanwhile']), 'thereafter']);
      expect(await world.tablesOf('eu-1', ctx)).toEqual([]);
      expect(await world.tablesOf('eu-1 audit', ctx)).toEqual([]);
      expect(verifyMove((await world.row(id)).certificate ?? '', KEYS).signers).toHaveLength(1);
    },
  );

  test.each(['copied', 'held', 'departed'] as const)(
    'is called off at "%s", and leaves everything as it was',
    async (step) => {
      const ctx = await world.tenant(`cancelled-${step}`);
      const { id: projectId } = await createProject(ctx, { name: 'p' });
      await createDocument(ctx, { projectId, name: 'one', body: '' });
      const id = await world.ask(ctx);
      await world.killAt(id, step);
      await peek('directory', 'update tenant_moves set cancel_requested_at = now() where id = $1', [id]);
      await driveMove(mover, id);
      expect(await world.row(id)).toMatchObject({ phase: 'cancelled', certificate: null });
      await createDocument(ctx, { projectId, name: 'two', body: '' });
      expect(await documentsIn('eu-1', ctx)).toEqual(['one', 'two']);
      expect(await placeOf(ctx)).toEqual({ cell: 'eu-1', region: 'eu' });
      for (const store of ['us-1', 'us-1 audit'] as const) expect(await world.tablesOf(store, ctx)).toEqual([]);
      for (const store of ['eu-1', 'eu-1 audit'] as const) expect(await peek(store, SLOTS)).toEqual([]);
    },
  );

  test('leads back again', async () => {
    const ctx = await world.tenant('returns');
    const { id: projectId } = await createProject(ctx, { name: 'p' });
    await world.logged();
    await driveMove(mover, await world.ask(ctx));
    await createDocument(ctx, { projectId, name: 'there', body: '' });
    await driveMove(mover, await world.ask(ctx, { from: 'us-1', to: 'eu-1' }));
    await createDocument(ctx, { projectId, name: 'back', body: '' });
    expect(await documentsIn('eu-1', ctx)).toEqual(['back', 'there']);
    expect(await world.tablesOf('us-1', ctx)).toEqual([]);
    await world.logged();
    expect(new Set((await events('eu-1', ctx)).map(({ epoch }) => epoch))).toEqual(new Set([1, 2, 3]));
  });

  test('leads back again with events that were sealed in neither cell, each of which stands in her log once', async () => {
    const ctx = await world.tenant('unsealed');
    const { id: projectId } = await createProject(ctx, { name: 'p' });
    for (const [from, to] of [
      ['eu-1', 'us-1'],
      ['us-1', 'eu-1'],
    ] as const) {
      const id = await world.ask(ctx, { from, to });
      await unsealed(from, async () => {
        for (const name of ['one', 'two'])
          await createDocument(ctx, { projectId, name: `${name} in ${from}`, body: '' });
        await expect.poll(() => peek(from, 'select from outbox')).toEqual([]);
        // Rows of a table come with the numbers that the table gave them; both cells begin with 1.
        await peek(`${to} audit`, `select setval(pg_get_serial_sequence('app.log_displaced', 'position'), 1, false)`);
        await driveMove(mover, id);
      });
    }
    await world.logged();
    const log = await events('eu-1', ctx);
    expect(log.filter(({ action }) => action === 'document.create')).toHaveLength(4);
    expect(log.filter(({ action }) => action === 'log.epoch_opened')).toHaveLength(2);
    const displaced = await peek('eu-1 audit', 'select from log_displaced where tenant_id = $1', [uuid(ctx)]);
    expect(displaced.length).toBeGreaterThan(3);
  });

  test('leads into a silo and out of it, with the log staying where it is', async () => {
    const ctx = await world.tenant('grows');
    const { id: projectId } = await createProject(ctx, { name: 'p' });
    await createDocument(ctx, { projectId, name: 'in the pool', body: '' });
    const order = async (placement: 'pool' | 'silo') => {
      const tenant = await findTenantBySlug(world.platform.databases, 'grows');
      if (tenant === null) throw new Error('she is in the directory');
      const asked = { tenant, cell: 'eu-1', placement, reason: 'test', requestedBy: 'test', now: new Date() };
      return orderMove(world.platform.databases, asked);
    };
    await expect(order('silo')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    const silo = await world.stores.addSilo('eu-1');
    const into = await order('silo');
    expect(into).toMatchObject({ fromStore: 'pool', toStore: silo });
    await driveMove(mover, uuidOf('mov', into.id));
    await createDocument(ctx, { projectId, name: 'in the silo', body: '' });
    expect(await documentsIn('eu-1', ctx)).toEqual([]);
    expect(await world.tablesOf('eu-1', ctx)).toEqual([]);
    expect(await findTenantBySlug(world.platform.databases, 'grows')).toMatchObject({ placement: 'silo', store: silo });
    await world.logged();
    const out = await order('pool');
    await driveMove(mover, uuidOf('mov', out.id));
    await createDocument(ctx, { projectId, name: 'again in the pool', body: '' });
    expect(await documentsIn('eu-1', ctx)).toEqual(['again in the pool', 'in the pool', 'in the silo']);
    await world.logged();
    const log = await events('eu-1', ctx);
    expect(new Set(log.map(({ epoch }) => epoch))).toEqual(new Set([1]));
    expect(log.filter(({ action }) => action === 'document.create')).toHaveLength(3);
    // A silo is given once.
    await expect(order('silo')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  });

  test('lets her go again where a transaction of hers does not end in time, and comes back to it', async () => {
    const ctx = await world.tenant('long');
    const { id: projectId } = await createProject(ctx, { name: 'p' });
    const id = await world.ask(ctx);
    await world.killAt(id, 'copied');
    let finish: () => void = () => undefined;
    const opened = new Promise<void>((ready) => {
      void inTenant(ctx, async (tx) => {
        await tx.query('select 1');
        ready();
        await new Promise<void>((resolve) => (finish = resolve));
      });
    });
    await opened;
    let holds = 0;
    const onStep = async (step: string) => void (step === 'held' && (holds += 1));
    const driven = driveMove({ ...mover, budgetMs: 100, onStep }, id);
    await expect.poll(async () => (await world.row(id)).obstacle, { timeout: 20_000 }).toContain('did not end');
    await createDocument(ctx, { projectId, name: 'meanwhile', body: '' });
    expect(holds).toBe(0);
    finish();
    await driven.catch(() => undefined);
    await driveMove(mover, id);
    expect(await documentsIn('us-1', ctx)).toEqual(['meanwhile']);
  });
});

describe('what moves tenants', () => {
  test('changes no rows that count somewhere, and serves the worker alone', async () => {
    const ctx = await world.tenant('counts');
    const at = (role: 'tenon_app' | 'tenon_worker') => ({
      ...ctx,
      databases: role === 'tenon_app' ? world.platform.databases : mover.platform.databases,
    });
    for (const statement of [
      `select tenon.copy_rows('projects', '{}')`,
      `select tenon.uncopy_rows('projects', '{}')`,
      `select tenon.remove_copy('projects', 1)`,
      `select tenon.settle_tenant('us', 'us-1')`,
    ]) {
      await expect(inTenant(at('tenon_worker'), (tx) => tx.query(statement))).rejects.toThrow('no copy');
      await expect(inTenant(at('tenon_app'), (tx) => tx.query(statement))).rejects.toThrow('permission denied');
    }
    const arriving = `select tenon.set_absence(gen_random_uuid(), 'arriving')`;
    await expect(inTenant(at('tenon_worker'), (tx) => tx.query(arriving))).rejects.toThrow('there are rows');
    for (const statement of [
      'tenon.read_changes()',
      'tenon.open_changes()',
      'tenon.publish_rows()',
      'tenon.end_absence()',
    ])
      await expect(inTenant(at('tenon_app'), (tx) => tx.query(`select ${statement}`))).rejects.toThrow(
        'permission denied',
      );
  });

  test('reads the changes of its own tenant alone', async () => {
    const [ctx, other] = [await world.tenant('read'), await world.tenant('unread')];
    const id = await world.ask(ctx);
    await world.killAt(id, 'following');
    await createProject(other, { name: 'secret of another' });
    await createProject(ctx, { name: 'her own' });
    const scope = { ...ctx, databases: mover.platform.databases };
    const read = () => inTenant(scope, (tx) => tx.query<{ data: Buffer }>('select data from tenon.read_changes()'));
    await expect
      .poll(async () => Buffer.concat((await read()).map(({ data }) => data)).toString('latin1'))
      .toContain('her own');
    expect(Buffer.concat((await read()).map(({ data }) => data)).toString('latin1')).not.toContain('secret of another');
    await driveMove(mover, id);
  });
});

async function events(
  cell: 'eu-1' | 'us-1',
  ctx: RequestContext,
): Promise<{ epoch: number; action: string; leaf: string }[]> {
  return peek(
    `${cell} audit`,
    `select epoch, action, encode(leaf, 'hex') as leaf from log_entries where tenant_id = $1 order by epoch, seq`,
    [uuid(ctx)],
  );
}
