import { describe, expect, test } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { jobToken } from '#kit/jobs/enqueue.ts';
import { handOnNext } from '#kit/jobs/hand-on.ts';
import { LANES } from '#kit/jobs/job-kind.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf } from '#schema/ids.ts';
import { deferred, kindOf, openJobs } from './jobs-fixture.ts';

const world = await openJobs();
const WAIT = { timeout: 15_000, interval: 20 };

describe('a job', () => {
  test('runs in the name of whoever asked, without a right of hers, and tells how far it is', async () => {
    const ctx = await world.tenant('names');
    const seen = deferred<unknown>();
    const kind = kindOf<{ rows: number }>({
      name: 'names.run',
      run: async ({ tenant }, { rows }, report) => {
        await report(rows, 2 * rows);
        seen.resolve({ actor: tenant.actor, scopes: tenant.scopes, request: tenant.requestId, tenant: tenant.tenant });
      },
    });
    await world.start([kind]);
    const job = await world.ask(ctx, { kind, input: { rows: 7 } });
    const { tenant } = ctx;
    expect(await seen.promise).toEqual({
      actor: { type: 'user', id: tenant.actor.id, ip: null, ua: null },
      scopes: [],
      request: tenant.requestId,
      tenant: tenant.tenant,
    });
    await expect.poll(() => world.row(job), WAIT).toMatchObject({ state: 'succeeded', attempts: 1, runner: null });
    expect(await world.row(job)).toMatchObject({ progress_done: '7', progress_total: '14' });
    await expect.poll(() => queuedRows(job), WAIT).toEqual([]);
  });

  test('is asked for together with the change it belongs to, or not at all', async () => {
    const ctx = await world.tenant('together');
    const kind = kindOf({ name: 'together.run', run: async () => undefined });
    const { enqueueJob } = await import('#kit/jobs/enqueue.ts');
    const asked = inTenant(ctx, async (tx) => {
      await enqueueJob(tx, ctx, { kind, input: {} });
      fail('CONFLICT', 'the change failed');
    });
    await expect(asked).rejects.toThrow('the change failed');
    expect(await world.peek('select from jobs where tenant_id = $1', [uuidOf('tnt', ctx.tenant.tenant)])).toEqual([]);
    expect(await rowsInQueueOf(ctx.tenant.tenant)).toBe(0);
  });

  test('of the same key is asked for once while it is not done, and an input that its kind refuses never', async () => {
    const ctx = await world.tenant('keys');
    const kind = kindOf({
      name: 'keys.run',
      run: async () => undefined,
      check: (input) => (input === 'good' ? input : fail('BAD_USER_INPUT', 'not good')),
    });
    const first = await world.ask(ctx, { kind, input: 'good', key: 'one' });
    expect(await world.ask(ctx, { kind, input: 'good', key: 'one' })).toBe(first);
    expect(await world.ask(ctx, { kind, input: 'good', key: 'two' })).not.toBe(first);
    await expect(world.ask(ctx, { kind, input: 'bad' })).rejects.toThrow(/^not good/);
  });

  test('that fails comes again later, is dead at its last attempt, and shows no inner text', async () => {
    const ctx = await world.tenant('fails');
    const kind = kindOf({
      name: 'fails.run',
      attempts: 2,
      run: async () => fail('CONFLICT', 'inner text', { hint: 'Public hint.' }),
    });
    await world.start([kind]);
    const job = await world.ask(ctx, { kind, input: {} });
    await expect
      .poll(() => world.row(job), WAIT)
      .toMatchObject({ state: 'failed', attempts: 1, error_code: 'CONFLICT' });
    expect((await world.row(job)).error).toBe('The request conflicts with what is already stored. Public hint.');
    await expect.poll(async () => (await queuedRows(job))[0]?.pause_s, WAIT).toBeGreaterThan(1);
    await world.hurry();
    await expect.poll(() => world.row(job), WAIT).toMatchObject({ state: 'dead', attempts: 2 });
    await expect.poll(() => queuedRows(job), WAIT).toEqual([]);
    expect(await eventsOf(ctx.tenant.tenant, 'job.fail')).toEqual([
      { outcome: 'failure', code: 'CONFLICT', attempts: 2 },
    ]);
  });

  test('that takes too long is told to stop and counts as failed', async () => {
    const ctx = await world.tenant('slow');
    const kind = kindOf({
      name: 'slow.run',
      attempts: 1,
      timeoutMs: 50,
      run: ({ signal }) =>
        new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(new Error('told to stop')))),
    });
    await world.start([kind]);
    const job = await world.ask(ctx, { kind, input: {} });
    await expect.poll(() => world.row(job), WAIT).toMatchObject({ state: 'dead', error_code: 'GATEWAY_TIMEOUT' });
  });
});

describe('tenants', () => {
  test("10,000 jobs of one are no more than one round before another's", { timeout: 120_000 }, async () => {
    const [flood, quiet] = [await world.tenant('flood'), await world.tenant('quiet')];
    const order: string[] = [];
    const gate = deferred();
    const kind = kindOf({
      name: 'fair.run',
      run: async ({ tenant }) => {
        await gate.promise;
        order.push(tenant.tenant === quiet.tenant.tenant ? 'quiet' : 'flood');
      },
    });
    await flooded(flood, kind.name, 10_000);
    // Of all that wait, the queue holds a handful.
    expect(await rowsInQueueOf(flood.tenant.tenant)).toBe(LANES.quick.perTenant);
    const runner = await world.start([kind]);
    await expect
      .poll(() => world.peek(`select from jobs where kind = 'fair.run' and state = 'running'`), WAIT)
      .toHaveLength(LANES.quick.perTenant);
    const job = await world.ask(quiet, { kind, input: {} });
    gate.resolve();
    await expect.poll(() => world.row(job), WAIT).toMatchObject({ state: 'succeeded' });
    expect(order.indexOf('quiet')).toBeLessThanOrEqual(2 * LANES.quick.perTenant);
    await expect.poll(() => order.length, WAIT).toBeGreaterThan(50);
    await runner.stop();
    expect(await rowsInQueueOf(flood.tenant.tenant)).toBeLessThanOrEqual(LANES.quick.perTenant);
  });

  test('with full lines take turns', { timeout: 60_000 }, async () => {
    const tenants = await Promise.all(['r1', 'r2', 'r3', 'r4', 'r5'].map((slug) => world.tenant(`round-${slug}`)));
    const order: string[] = [];
    const kind = kindOf({ name: 'round.run', lane: 'long', run: async ({ tenant }) => void order.push(tenant.tenant) });
    for (const tenant of tenants) await flooded(tenant, kind.name, 20, 'long');
    await world.start([kind]);
    await expect.poll(() => order.length, WAIT).toBe(100);
    // In the order in which they were asked for, the last two would not have had one by then.
    const counts = tenants.map(({ tenant }) => order.slice(0, 50).filter((id) => id === tenant.tenant).length);
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(5);
    expect(Math.max(...counts)).toBeLessThanOrEqual(15);
  });
});

describe('the queue', () => {
  test('hands out nothing that was altered: token, tenant, job, kind or input', async () => {
    const [ctx, other] = [await world.tenant('altered'), await world.tenant('altered-other')];
    const ran: string[] = [];
    const run = async () => void ran.push('ran');
    const kinds = [
      kindOf({ name: 'altered.run', run, attempts: 1 }),
      kindOf({ name: 'altered.other', run, attempts: 1 }),
    ];
    const [kind] = kinds;
    if (kind === undefined) throw new Error('there are two kinds');
    const jobs = [];
    for (let count = 0; count < 5; count += 1) jobs.push(await world.ask(ctx, { kind, input: { count } }));
    const [token, tenant, swapped, renamed, input] = jobs;
    // All stand in the queue for the sake of the test.
    await world.peek(`update jobs set handed_on_at = now() where kind = 'altered.run'`);
    for (const job of jobs.slice(2)) await addToQueue(ctx, job);
    const alter = (job: string | undefined, set: string, value: unknown) =>
      world.peek(`update graphile_worker._private_jobs set ${set} where key like '%' || $1`, [
        uuidOf('job', job ?? ''),
        value,
      ]);
    await alter(
      token,
      `payload = jsonb_set(payload::jsonb, '{token}', to_jsonb(replace(payload->>'token', '.', $2::text) || ''))`,
      '_',
    );
    await alter(
      tenant,
      `payload = jsonb_set(payload::jsonb, '{tenant}', to_jsonb($2::text))`,
      uuidOf('tnt', other.tenant.tenant),
    );
    await alter(swapped, `payload = jsonb_set(payload::jsonb, '{token}', to_jsonb($2::text))`, await tokenOf(input));
    await alter(
      renamed,
      `task_id = (select id from graphile_worker._private_tasks where identifier = $2::text)`,
      await taskFor('altered.other'),
    );
    await world.peek(`update jobs set input = '{"count": 99}' where id = $1`, [uuidOf('job', input ?? '')]);
    await world.start(kinds);
    for (const job of [token, swapped, renamed, input]) {
      await expect
        .poll(() => world.row(job ?? ''), WAIT)
        .toMatchObject({ state: 'dead', error_code: 'UNAUTHENTICATED' });
    }
    expect(await world.row(tenant ?? '')).toMatchObject({ state: 'queued' });
    expect(ran).toEqual([]);
  });

  test('takes a job of the tenant of the signed context and of nobody else, and nothing else from the application', async () => {
    const ctx = await world.tenant('doors');
    const add = `select tenon.add_job(gen_random_uuid(), 'doors.run', 'token')`;
    await asApp(async (query) => {
      await expect(query(add)).rejects.toThrow('needs the context of a tenant');
      await expect(query(`select * from graphile_worker._private_jobs`)).rejects.toThrow('permission denied');
      await expect(query(`select graphile_worker.add_job('doors.run')`)).rejects.toThrow('permission denied');
    });
    const job = uuidOf('job', mintId('job'));
    await inTenant(ctx, (tx) => tx.query(`select tenon.add_job($1, 'doors.run', 'token')`, [job]));
    const [row] = await world.peek<{ payload: unknown }>(
      `select payload from graphile_worker._private_jobs where key like '%' || $1`,
      [job],
    );
    expect(row?.payload).toEqual({ tenant: uuidOf('tnt', ctx.tenant.tenant), job, token: 'token' });
  });
});

async function flooded(
  ctx: Awaited<ReturnType<typeof world.tenant>>,
  kind: string,
  count: number,
  lane: 'quick' | 'long' = 'quick',
) {
  const ids = Array.from({ length: count }, () => mintId('job'));
  const tokens = ids.map((id) => jobToken(ctx, { id, kind, input: {} }));
  await inTenant(ctx, async (tx) => {
    await tx.query(
      `insert into jobs (id, kind, lane, input, token, max_attempts, requested_by, created_at)
         select id, $3, $4, '{}', token, 1, 'test', now() from unnest($1::uuid[], $2::text[]) as made (id, token)`,
      [ids.map((id) => uuidOf('job', id)), tokens, kind, lane],
    );
    await handOnNext(tx, lane, new Date());
  });
}

async function addToQueue(ctx: Awaited<ReturnType<typeof world.tenant>>, job: string): Promise<void> {
  await inTenant(ctx, (tx) =>
    tx.query('select tenon.add_job(id, kind, token) from jobs where id = $1', [uuidOf('job', job)]),
  );
}

async function tokenOf(job: string | undefined): Promise<string> {
  const [row] = await world.peek<{ token: string }>('select token from jobs where id = $1', [uuidOf('job', job ?? '')]);
  return row?.token ?? '';
}

async function taskFor(name: string): Promise<string> {
  await world.peek(`insert into graphile_worker._private_tasks (identifier) values ($1) on conflict do nothing`, [
    name,
  ]);
  return name;
}

function queuedRows(job: string): Promise<{ pause_s: number }[]> {
  return world.peek(
    `select extract(epoch from run_at - now())::float8 as pause_s from graphile_worker._private_jobs
      where key like '%' || $1`,
    [uuidOf('job', job)],
  );
}

async function rowsInQueueOf(tenant: string): Promise<number> {
  const [row] = await world.peek<{ count: number }>(
    `select count(*)::int as count from graphile_worker._private_jobs where key like $1 || ':%'`,
    [uuidOf('tnt', tenant)],
  );
  return row?.count ?? -1;
}

async function eventsOf(tenant: string, action: string): Promise<unknown[]> {
  const rows = await world.peek<{ outcome: string; event: string }>(
    `select outcome, event from outbox where tenant_id = $1 order by position`,
    [uuidOf('tnt', idOf('tnt', uuidOf('tnt', tenant)))],
  );
  return rows
    .map(({ outcome, event }) => ({ outcome, ...(JSON.parse(event) as { action: string; context: object }) }))
    .filter((event) => event.action === action)
    .map(({ outcome, context }) => ({ outcome, ...context }));
}

async function asApp(work: (query: (text: string) => Promise<unknown>) => Promise<void>): Promise<void> {
  const { withClient } = await import('../../support/postgres.ts');
  await withClient(world.stores.url('eu-1', 'tenon_app'), (client) => work((text) => client.query(text)));
}
