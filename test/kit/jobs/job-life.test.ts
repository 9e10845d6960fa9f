import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parse } from 'graphql';
import { describe, expect, onTestFinished, test } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { executeSubgraph, type SubgraphResult } from '#kit/subgraph-execution.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import type { Scope } from '#schema/scopes.ts';
import { tenants } from '../../../subgraphs/tenants/index.ts';
import { CONTEXT_KEY_FILE } from '../../support/databases.ts';
import { deferred, kindOf, openJobs } from './jobs-fixture.ts';

const world = await openJobs();
const WAIT = { timeout: 30_000, interval: 20 };
const JOB =
  'id kind state attempts maxAttempts isCancelling error { code message } progress { done total } requestedBy';

describe('a process', () => {
  test('killed in the middle of a job leaves it to the next, which runs it again', { timeout: 60_000 }, async () => {
    const ctx = await world.tenant('killed');
    const runs: string[] = [];
    const kind = kindOf<string>({ name: 'killed.run', attempts: 5, run: async (_ctx, input) => void runs.push(input) });
    const child = spawn(
      process.execPath,
      [
        '--import',
        'tsx',
        fileURLToPath(new URL('./job-process.ts', import.meta.url)),
        JSON.stringify({
          ...world.stores.settingsFor('tenon_worker', 'file:///nowhere'),
          contextKeys: CONTEXT_KEY_FILE,
        }),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    onTestFinished(() => void child.kill('SIGKILL'));
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const job = await world.ask(ctx, { kind, input: 'work' });
    expect((await lines.next()).value).toBe('begun');
    expect(await world.row(job)).toMatchObject({ state: 'running', attempts: 1 });
    await world.start([kind]);
    // As long as the other lives, its job is its own.
    await expect
      .poll(() => world.peek(`select from pg_stat_activity where application_name = 'tenon jobs'`), WAIT)
      .not.toHaveLength(0);
    expect(await world.row(job)).toMatchObject({ state: 'running', attempts: 1 });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await expect.poll(() => world.row(job), WAIT).toMatchObject({ state: 'succeeded', attempts: 2 });
    expect(runs).toEqual(['work']);
  });

  test('that could not write down how a job ended runs it again, though nobody died', async () => {
    const ctx = await world.tenant('unwritten');
    const first = deferred();
    const runs: number[] = [];
    const kind = kindOf<number>({
      name: 'unwritten.run',
      run: async (_ctx, input) => {
        runs.push(input);
        if (input === 1) await first.promise;
      },
    });
    await world.start([kind]);
    const held = await world.ask(ctx, { kind, input: 1 });
    await expect.poll(() => world.row(held), WAIT).toMatchObject({ state: 'running' });
    const { runner } = await world.row(held);
    const job = await world.ask(ctx, { kind, input: 2 });
    await expect.poll(() => world.row(job), WAIT).toMatchObject({ state: 'succeeded' });
    // As it stands where the database went away in that moment.
    await world.peek(`update jobs set state = 'running', runner = $2, finished_at = null where id = $1`, [
      uuidOf('job', job),
      runner,
    ]);
    await inTenant(ctx, (tx) =>
      tx.query('select tenon.add_job(id, kind, token) from jobs where id = $1', [uuidOf('job', job)]),
    );
    await expect.poll(() => world.row(job), WAIT).toMatchObject({ state: 'succeeded', attempts: 2 });
    first.resolve();
    await expect.poll(() => world.row(held), WAIT).toMatchObject({ state: 'succeeded', attempts: 1 });
    expect(runs).toEqual([1, 2, 2]);
  });

  test('that stops waits for its jobs, and gives back what does not end in time without counting it', async () => {
    const ctx = await world.tenant('drained');
    const [brief, endless] = [deferred(), deferred()];
    const kinds = [
      kindOf({ name: 'drained.brief', run: () => brief.promise }),
      kindOf({
        name: 'drained.endless',
        run: ({ signal }) =>
          new Promise((_resolve, reject) => {
            endless.resolve();
            signal?.addEventListener('abort', () => reject(new Error('stopped')));
          }),
      }),
    ];
    const [first, second] = kinds;
    if (first === undefined || second === undefined) throw new Error('there are two');
    const runner = await world.start(kinds, { drainMs: 300 });
    const jobs = [
      await world.ask(ctx, { kind: first, input: {} }),
      await world.ask(ctx, { kind: second, input: {} }),
    ] as const;
    await endless.promise;
    await expect.poll(() => world.row(jobs[0]), WAIT).toMatchObject({ state: 'running' });
    const stopped = runner.stop();
    brief.resolve();
    await stopped;
    expect(await world.row(jobs[0])).toMatchObject({ state: 'succeeded' });
    expect(await world.row(jobs[1])).toMatchObject({ state: 'queued', attempts: 0, runner: null });
  });
});

describe('the clock', () => {
  test('asks for a turn once in a cell, however many processes there are, and makes up for one that was missed', async () => {
    // The other cell has never heard of it, and has missed nothing.
    await world.peek(
      `insert into graphile_worker._private_known_crontabs (identifier, known_since, last_execution)
        values ('clock.turn', now() - interval '2 days', now() - interval '2 days')`,
    );
    const cells: string[] = [];
    const turn = {
      name: 'clock.turn',
      schedule: '0 3 * * *',
      run: async ({ cell }: { cell: string }) => void cells.push(cell),
    };
    await Promise.all([world.start([], { turns: [turn] }), world.start([], { turns: [turn] })]);
    await expect.poll(() => cells, WAIT).toEqual(['eu-1']);
    await expect
      .poll(() => world.peek(`select from graphile_worker._private_jobs where key = 'clock.turn'`), WAIT)
      .toEqual([]);
    expect(cells).toEqual(['eu-1']);
  });
});

describe('whoever may', () => {
  test('sees the jobs of her tenant and of no other, by state and kind, page by page', async () => {
    const [ctx, other] = [await world.tenant('seen'), await world.tenant('seen-other')];
    const kinds = ['seen.one', 'seen.two'].map((name) => kindOf({ name, run: async () => undefined }));
    const ids: string[] = [];
    for (const kind of [...kinds, ...kinds]) ids.push(await world.ask(ctx, { kind, input: {} }));
    const list = async (asker: RequestContext, args: string) => {
      const { data, errors } = await ask(
        asker,
        `{ jobs${args} { edges { node { ${JOB} } cursor } pageInfo { hasNextPage } } }`,
      );
      expect(errors).toBeUndefined();
      const page = data?.['jobs'] as { edges: { node: { id: string }; cursor: string }[] };
      return page.edges;
    };
    expect((await list(ctx, '')).map(({ node }) => node.id)).toEqual(ids.toReversed());
    const [newest] = await list(ctx, '(first: 1)');
    expect((await list(ctx, `(first: 9, after: "${newest?.cursor}")`)).map(({ node }) => node.id)).toEqual(
      ids.toReversed().slice(1),
    );
    expect((await list(ctx, '(kind: "seen.two", state: QUEUED)')).map(({ node }) => node.id)).toEqual([ids[3], ids[1]]);
    expect(await list(ctx, '(state: DEAD)')).toEqual([]);
    expect(await list(other, '')).toEqual([]);
    expect((await ask(other, `{ job(id: "${ids[0]}") { id } }`)).data).toEqual({ job: null });
    expect((await ask(ctx, `{ job(id: "${ids[0]}") { requestedBy } }`)).data).toEqual({
      job: { requestedBy: ctx.tenant.actor.id },
    });
    expect(codeOf(await ask(ctx, '{ jobs { edges { cursor } } }', ['tenant:read']))).toBe('FORBIDDEN');
    expect(codeOf(await ask(ctx, cancel(ids[0]), ['jobs:read']))).toBe('FORBIDDEN');
    expect(codeOf(await ask(other, cancel(ids[0])))).toBe('NOT_FOUND');
  });

  test('has a dead job tried again, and it succeeds', async () => {
    const ctx = await world.tenant('again');
    const faults = { count: 1 };
    const kind = kindOf({
      name: 'again.run',
      attempts: 1,
      run: async () => {
        if (faults.count-- > 0) fail('SERVICE_UNAVAILABLE', 'away');
      },
    });
    await world.start([kind]);
    const job = await world.ask(ctx, { kind, input: {} });
    await expect.poll(() => world.row(job), WAIT).toMatchObject({ state: 'dead' });
    const { data } = await ask(ctx, `mutation { retryJob(input: {id: "${job}"}) { job { ${JOB} } } }`);
    expect(data).toMatchObject({ retryJob: { job: { state: 'QUEUED', attempts: 0, error: null } } });
    await expect.poll(() => world.row(job), WAIT).toMatchObject({ state: 'succeeded', attempts: 1 });
    expect(codeOf(await ask(ctx, `mutation { retryJob(input: {id: "${job}"}) { job { id } } }`))).toBe('CONFLICT');
    expect(await actionsOf(job)).toEqual(['job.fail', 'job.retry']);
  });

  test('calls off a job that waits at once, and one that runs when it has stopped', { timeout: 30_000 }, async () => {
    const ctx = await world.tenant('called-off');
    const begun = deferred();
    const kind = kindOf({
      name: 'called_off.run',
      lane: 'long',
      run: ({ signal }) =>
        new Promise((_resolve, reject) => {
          begun.resolve();
          signal?.addEventListener('abort', () => reject(new Error('stopped')));
        }),
    });
    const jobs = [await world.ask(ctx, { kind, input: 1 }), await world.ask(ctx, { kind, input: 2 })] as const;
    await world.start([kind]);
    await begun.promise;
    expect((await ask(ctx, cancel(jobs[1]))).data).toMatchObject({ cancelJob: { job: { state: 'CANCELLED' } } });
    expect((await ask(ctx, cancel(jobs[0]))).data).toMatchObject({
      cancelJob: { job: { state: 'RUNNING', isCancelling: true } },
    });
    await expect.poll(() => world.row(jobs[0]), WAIT).toMatchObject({ state: 'cancelled', runner: null });
    expect(codeOf(await ask(ctx, cancel(jobs[0])))).toBe('CONFLICT');
    expect(await actionsOf(jobs[0])).toEqual(['job.cancel']);
  });
});

function cancel(job: string | undefined): string {
  return `mutation { cancelJob(input: {id: "${job}"}) { job { ${JOB} } } }`;
}

function ask(
  ctx: RequestContext,
  document: string,
  scopes: readonly Scope[] = ['jobs:read', 'jobs:write'],
): Promise<SubgraphResult> {
  const request = requestContext(ctx.platform, { ...ctx.tenant, scopes, requestId: mintId('req') });
  return executeSubgraph(tenants, { document: parse(document), variables: {} }, request);
}

function codeOf({ errors }: SubgraphResult): unknown {
  return errors?.[0]?.extensions?.['code'] ?? null;
}

async function actionsOf(job: string): Promise<string[]> {
  const rows = await world.peek<{ action: string }>(
    `select event::jsonb->>'action' as action from outbox where event::jsonb->'resource'->>'id' = $1 order by position`,
    [job],
  );
  return rows.map(({ action }) => action);
}
