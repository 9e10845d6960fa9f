import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect } from 'vitest';
import { cellStoresOf } from '#kit/cell-stores.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import type { MoverOptions, MoveStep } from '../../../compliance/moves/mover.ts';
import { startWorker, type Worker, type WorkerCell } from '../../../compliance/worker.ts';
import { systemOrigin } from '../../../subgraphs/tenants/operator.ts';
import { provisionTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { makeStores, type StoreName, type TestStores } from '../../support/databases.ts';
import { withClient } from '../../support/postgres.ts';
import { TEST_SIGNING_KEY } from '../../support/signing-key.ts';
import { openMover, openPlatform, type MoverTask } from './mover-places.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

/** Two cells with tenants, a worker that keeps their logs, and whoever moves them. */
export interface MoveWorld {
  readonly stores: TestStores;
  /** As the application. */
  readonly platform: Platform;
  readonly cells: readonly WorkerCell[];
  /** Where the archive of a cell lies. */
  archiveFolder(cell: string): string;
  readonly mover: MoverOptions;
  readonly worker: Worker;
  /** Makes a tenant in eu-1 and returns a request of a user of hers. */
  tenant(slug: string): Promise<RequestContext>;
  /** Asks for her move to the other cell; returns its UUID. */
  ask(ctx: RequestContext, to?: { readonly from: string; readonly to: string }): Promise<string>;
  /** As superuser, whom no row security binds. */
  peek<Row extends object>(store: StoreName, text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** What a move looks like in the directory. */
  row(move: string): Promise<MoveRow>;
  /** Tables in which a database holds rows of the tenant. */
  tablesOf(store: StoreName, ctx: RequestContext): Promise<string[]>;
  /** Waits until every event of the cells is in its log and in the archive: also one that a transaction of others held up. */
  logged(): Promise<void>;
  /** Drives a move in a process of its own until the step, and kills that there (SIGKILL). */
  killAt(move: string, step: MoveStep): Promise<void>;
}

/** A move in the directory. */
export interface MoveRow {
  readonly phase: string;
  readonly obstacle: string | null;
  readonly fences: number;
  readonly fence_ms: number | null;
  readonly removed: string;
  readonly certificate: string | null;
  readonly sums: readonly { readonly table: string; readonly rows: number; readonly sha256: string }[] | null;
}

const closers: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** Opens it while the test file is collected; everything is closed when the file ends. */
export async function openMoveWorld(): Promise<MoveWorld> {
  const stores = await makeStores();
  const folder = temporaryFolder('move');
  const clock = () => new Date();
  const platform = await openPlatform(stores.settingsFor('tenon_app', 'file:///nowhere'));
  closers.push(() => platform.databases.close());
  const places = { ...stores.settingsFor('tenon_worker', 'file:///nowhere'), folder };
  const mover = await openMover(places);
  closers.push(() => mover.platform.databases.close());
  const { cells } = mover;
  const peek: MoveWorld['peek'] = (store, text, values = []) =>
    withClient(stores.url(store), async (client) => {
      await client.query('set search_path = app');
      return (await client.query(text, [...values])).rows;
    });
  const worker = startWorker({
    cells,
    signer: TEST_SIGNING_KEY,
    clock,
    sealIntervalMs: 200,
    shards: 1,
    storesOf: (cell) => cellStoresOf(mover.platform.databases, cell),
    log: () => undefined,
  });
  closers.push(() => worker.stop());
  return {
    stores,
    platform,
    cells,
    archiveFolder: (cell) => join(folder, cell),
    worker,
    peek,
    mover,
    tenant: async (slug) => {
      const person = { adminEmail: `ada@${slug}.example`, adminName: 'Ada' };
      const input = { slug, name: slug, tier: 'ENTERPRISE', region: 'eu', ...person } as const;
      const made = await provisionTenant(platform, input, systemOrigin('test', mintId('req')));
      const actor = { type: 'user', id: made.adminUserId, ip: '203.0.113.5', ua: 'test' } as const;
      return requestContext(platform, { ...made.context, actor, requestId: mintId('req') });
    },
    ask: async (ctx, { from, to } = { from: 'eu-1', to: 'us-1' }) => {
      const id = uuidOf('mov', mintId('mov'));
      await platform.databases.directory.query(
        `insert into tenant_moves (id, tenant_id, from_cell, to_cell, reason, requested_by, requested_at)
         values ($1, $2, $3, $4, 'test', 'test', now())`,
        [id, uuidOf('tnt', ctx.tenant.tenant), from, to],
      );
      return id;
    },
    row: async (move) => {
      const [row] = await peek<MoveRow>('directory', 'select * from tenant_moves where id = $1', [move]);
      if (row === undefined) throw new Error('no such move');
      return row;
    },
    tablesOf: async (store, ctx) => {
      const tables = await peek<{ name: string }>(store, 'select tenon.moved_tables() as name');
      const queries = tables.map(
        ({ name }) => `select '${name}' as name where exists (select from ${name} where tenant_id = $1)`,
      );
      const found = await peek<{ name: string }>(store, queries.join(' union all '), [
        uuidOf('tnt', ctx.tenant.tenant),
      ]);
      return found.map(({ name }) => name);
    },
    logged: async () => {
      for (const cell of ['eu-1', 'us-1'] as const)
        await expect.poll(() => peek(cell, 'select from outbox'), { timeout: 20_000 }).toEqual([]);
      await worker.idle();
    },
    killAt: async (move, step) => {
      const child = fork(fileURLToPath(new URL('./mover-process.ts', import.meta.url)), {
        execArgv: ['--import', 'tsx'],
      });
      const ended = once(child, 'exit');
      child.send({ places, move, step } satisfies MoverTask);
      const [said] = await Promise.race([once(child, 'message'), ended]);
      if (said !== step) throw new Error(`it never came to ${step}`);
      child.kill('SIGKILL');
      await ended;
    },
  };
}
