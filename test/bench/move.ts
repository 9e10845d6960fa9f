import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { openDatabases } from '#kit/database.ts';
import { embeddedSettings, makeRolePasswords } from '#kit/embedded-stores.ts';
import { readDataKeys } from '#kit/key-files.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { subgraphs } from '#subgraphs';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { driveMove } from '../../compliance/moves/machine.ts';
import type { MoverOptions, MoveStep } from '../../compliance/moves/mover.ts';
import { startWorker, type Worker, type WorkerCell } from '../../compliance/worker.ts';
import { createDocument, createProject } from '../../subgraphs/product/service.ts';
import { systemOrigin } from '../../subgraphs/tenants/operator.ts';
import { provisionTenant } from '../../subgraphs/tenants/provisioning.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import type { Benchmark, BenchmarkOptions, Findings, Latencies } from './benchmark.ts';
import { openStores, type BenchStores } from './stores.ts';

/** A tenant of 200,000 rows moves to another cell while three writers go on, and back again in the next round. */
export const move: Benchmark = {
  name: 'move',
  asks: 'how long is a tenant of 200,000 rows held while she moves to another cell, and does any of her writes fail?',
  run,
};

const ROWS = 200_000;
const WRITERS = 3;
/** Between an answer and the next write of the same writer. */
const BEAT_MS = 20;
const HELD_LIMIT_MS = 3_000;
const ROUNDS = 3;
const CELLS = ['eu-1', 'us-1'] as const;

interface World {
  readonly stores: BenchStores;
  readonly worker: Worker;
  readonly mover: MoverOptions;
  readonly ctx: RequestContext;
  readonly projectId: string;
}

interface Round {
  readonly heldMs: number;
  readonly holds: number;
  readonly copyMs: number;
  readonly wholeMs: number;
  readonly writes: readonly number[];
  readonly failed: number;
}

async function run({ say }: BenchmarkOptions): Promise<Findings> {
  const stores = await openStores({ durable: true });
  try {
    const world = await openWorld(stores);
    const rounds: Round[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      rounds.push(await moveOnce(world, round));
      say(`round ${round + 1}: held ${rounds.at(-1)?.heldMs} ms`);
    }
    await world.worker.stop();
    await world.mover.platform.databases.close();
    return findingsOf(rounds);
  } finally {
    await stores.close();
  }
}

function findingsOf(rounds: readonly Round[]): Findings {
  const found = Math.max(...rounds.map(({ heldMs }) => heldMs));
  const failed = rounds.reduce((sum, round) => sum + round.failed, 0);
  const columns = ['held ms', 'times held', 'copied in ms', 'whole move ms', 'writes', 'failed'];
  return {
    cases: [],
    figures: [
      {
        name: `a tenant of ${ROWS} documents moves`,
        columns,
        rows: rounds.map(({ heldMs, holds, copyMs, wholeMs, writes, failed: lost }, index) => ({
          name: `round ${index + 1}`,
          values: [heldMs, holds, copyMs, wholeMs, writes.length, lost],
        })),
      },
    ],
    latencies: rounds.map(({ writes }, index) => latenciesOf(`writes of round ${index + 1}`, writes)),
    bar: {
      promise: `a tenant of ${ROWS} rows is held for at most ${HELD_LIMIT_MS} ms, and no write of hers fails`,
      limit: HELD_LIMIT_MS,
      found,
      held: found <= HELD_LIMIT_MS && failed === 0,
    },
  };
}

function latenciesOf(name: string, times: readonly number[]): Latencies {
  const sorted = times.toSorted((one, other) => one - other);
  const at = (part: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0);
  return { name, count: sorted.length, p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99), mostMs: at(1) };
}

async function moveOnce({ stores, mover, ctx, projectId }: World, round: number): Promise<Round> {
  const { directory } = stores.platform.databases;
  const id = uuidOf('mov', mintId('mov'));
  await directory.query(
    `insert into tenant_moves (id, tenant_id, from_cell, to_cell, reason, requested_by, requested_at)
     values ($1, $2, $3, $4, 'benchmark', 'benchmark', now())`,
    [id, uuidOf('tnt', ctx.tenant.tenant), CELLS[round % 2], CELLS[(round + 1) % 2]],
  );
  const load = writing(ctx, projectId);
  const startedMs = performance.now();
  let copyMs = 0;
  const onStep = async (step: MoveStep) => {
    if (step === 'copied') copyMs = Math.round(performance.now() - startedMs);
  };
  await driveMove({ ...mover, onStep }, id);
  const wholeMs = Math.round(performance.now() - startedMs);
  const { rows } = await directory.query<{ held: number; holds: number }>(
    'select fence_ms as held, fences as holds from tenant_moves where id = $1',
    [id],
  );
  return { heldMs: rows[0]?.held ?? Infinity, holds: rows[0]?.holds ?? 0, copyMs, wholeMs, ...(await load.end()) };
}

function writing(ctx: RequestContext, projectId: string) {
  const writes: number[] = [];
  let failed = 0;
  const state = { isEnding: false };
  const writers = Array.from({ length: WRITERS }, async (_, writer) => {
    for (let index = 0; !state.isEnding; index += 1) {
      const startedMs = performance.now();
      const written = createDocument(ctx, { projectId, name: `${writer}-${index}`, body: 'z'.repeat(500) });
      await written.catch(() => (failed += 1));
      writes.push(performance.now() - startedMs);
      await pause(BEAT_MS);
    }
  });
  return {
    end: async () => {
      state.isEnding = true;
      await Promise.all(writers);
      return { writes, failed };
    },
  };
}

async function openWorld(stores: BenchStores): Promise<World> {
  const { platform, home } = stores;
  const { hostname: host, port } = new URL(stores.superuserUrl('postgres'));
  const settings = embeddedSettings(platform.config, { host, port: Number(port) }, makeRolePasswords(platform.config));
  const { clock } = platform;
  const cells: WorkerCell[] = await Promise.all(
    settings('tenon_worker').cells.map(async (cell) => ({
      ...cell,
      archive: await filesystemArchive({ folder: join(home, 'archive', cell.name), clock }),
    })),
  );
  const asWorker: Platform = {
    ...platform,
    databases: await openDatabases({
      ...settings('tenon_worker'),
      keys: platform.databases.keys,
      dataKeys: readDataKeys(platform.config),
      entities: subgraphs.flatMap(({ entities }) => entities),
    }),
  };
  const worker = startWorker({ cells, signer: TEST_SIGNING_KEY, clock, sealIntervalMs: 1_000, log: () => undefined });
  const person = { adminEmail: 'ada@whale.example', adminName: 'Ada' };
  const input = { slug: 'whale', name: 'Whale', tier: 'ENTERPRISE', region: 'eu', ...person } as const;
  const made = await provisionTenant(platform, input, systemOrigin('benchmark', mintId('req')));
  const actor = { type: 'user', id: made.adminUserId, ip: null, ua: 'bench' } as const;
  const ctx = requestContext(platform, { ...made.context, actor, requestId: mintId('req') });
  const { id: projectId } = await createProject(ctx, { name: 'Blubber' });
  await stores.asSuperuser(
    'cell_eu_1',
    `insert into app.documents (tenant_id, id, project_id, name, body)
     select '${uuidOf('tnt', ctx.tenant.tenant)}', gen_random_uuid(), '${uuidOf('prj', projectId)}', 'document ' || i,
            repeat(md5(i::text), 6) from generate_series(1, ${ROWS}) i`,
  );
  const mover = { platform: asWorker, cells, signer: TEST_SIGNING_KEY, retentionMs: 24 * 3_600_000 };
  return { stores, worker, mover, ctx, projectId };
}
