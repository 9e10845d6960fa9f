import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { cellStoresOf } from '#kit/cell-stores.ts';
import { openDatabases, type Databases } from '#kit/database.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { readConfig } from '#schema/config.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { subgraphs } from '#subgraphs';
import { filesystemArchive } from '../../../compliance/archive/filesystem.ts';
import { MOVE_APPLICATION } from '../../../compliance/moves/end.ts';
import { driveMove } from '../../../compliance/moves/machine.ts';
import type { MoverOptions, MoveStep } from '../../../compliance/moves/mover.ts';
import { startWorker, type Worker, type WorkerCell } from '../../../compliance/worker.ts';
import { systemOrigin } from '../../../subgraphs/tenants/operator.ts';
import { provisionTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type StoreName, type TestStores } from '../../support/databases.ts';
import { withClient } from '../../support/postgres.ts';
import { TEST_SIGNING_KEY } from '../../support/signing-key.ts';

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
  /** Drives a move until the step, where it ends as if its process had been killed: nothing of it runs any more. */
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
  const folder = mkdtempSync(join(tmpdir(), 'tenon-move-'));
  const clock = () => new Date();
  const platform = await platformFor(stores, 'tenon_app');
  const cells: WorkerCell[] = await Promise.all(
    stores.settingsFor('tenon_worker', 'file:///nowhere').cells.map(async (cell) => ({
      ...cell,
      archive: await filesystemArchive({ folder: join(folder, cell.name), clock }),
    })),
  );
  const peek: MoveWorld['peek'] = (store, text, values = []) =>
    withClient(stores.url(store), async (client) => {
      await client.query('set search_path = app');
      return (await client.query(text, [...values])).rows;
    });
  const asWorker = await platformFor(stores, 'tenon_worker');
  const worker = startWorker({
    cells,
    signer: TEST_SIGNING_KEY,
    clock,
    sealIntervalMs: 200,
    shards: 1,
    storesOf: (cell) => cellStoresOf(asWorker.databases, cell),
    log: () => undefined,
  });
  const mover: MoverOptions = {
    platform: asWorker,
    cells,
    signer: TEST_SIGNING_KEY,
    retentionMs: 60_000,
  };
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
      await new Promise<void>((resolve, reject) => {
        // What never goes on runs no clean-up either.
        const onStep = async (at: MoveStep) => (at === step ? new Promise<void>(() => resolve()) : undefined);
        driveMove({ ...mover, onStep }, move).then(() => reject(new Error(`it never came to ${step}`)), reject);
      });
      await peek('directory', `select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1`, [
        MOVE_APPLICATION,
      ]);
    },
  };
}

async function platformFor(stores: TestStores, role: 'tenon_app' | 'tenon_worker'): Promise<Platform> {
  const databases: Databases = await openDatabases({
    ...stores.settingsFor(role, 'file:///nowhere'),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: subgraphs.flatMap(({ entities }) => entities),
    poolSize: 6,
  });
  closers.push(() => databases.close());
  return { config: readConfig({}), databases, clock: () => new Date(), publicUrl: 'http://tenon.test' };
}
