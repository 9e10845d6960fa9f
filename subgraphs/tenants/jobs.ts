import { In } from 'typeorm';
import { newestFirst, pageOf, pageRequest, type Connection } from '#kit/connection.ts';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { jobToken } from '#kit/jobs/enqueue.ts';
import { handOnNext } from '#kit/jobs/hand-on.ts';
import type { JobState } from '#kit/jobs/job-kind.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { isId, uuidOf, uuidOrNull, type Id } from '#schema/ids.ts';
import { Job, type JobArgs } from './job-model.ts';

/** Returns a page of the tenant's jobs, newest first. */
export async function listJobs(ctx: RequestContext, args: JobArgs): Promise<Connection<Job>> {
  const request = pageRequest(args);
  const rows = await inTenantOnce(ctx, ({ manager }) => {
    const query = newestFirst(manager.createQueryBuilder(Job, 'row'), request, 'job');
    if (args.state != null) query.andWhere('row.state = :state', { state: args.state });
    if (args.kind != null) query.andWhere('row.kind = :kind', { kind: args.kind });
    return query.getMany();
  });
  return pageOf(rows, request);
}

/** Returns a job of the tenant, or null where she has none of that id. */
export async function findJob(ctx: RequestContext, id: string): Promise<Job | null> {
  return (await findJobs(ctx, [id]))[0] ?? null;
}

/** Returns the tenant's jobs among the ids. */
export async function findJobs(ctx: RequestContext, ids: readonly string[]): Promise<Job[]> {
  const known = ids.filter((id): id is Id<'job'> => uuidOrNull('job', id) !== null);
  return inTenantOnce(ctx, ({ manager }) => manager.findBy(Job, { id: In(known) }));
}

/**
 * Asks once more for a job that failed, in the name of whoever asks now, with as many attempts as at first. A job in any
 * other state is CONFLICT, as one of whose key another is under way; an unknown one NOT_FOUND.
 */
export async function retryJob(ctx: RequestContext, id: string): Promise<Job> {
  return inTenant(ctx, async (tx) => {
    const job = await lockJob(tx, id);
    requireState(job, ['failed', 'dead'], 'Only a job that failed can be tried again.');
    await tx.query(
      `update jobs set state = 'queued', attempts = 0, error_code = null, error = null, finished_at = null,
              cancel_requested_at = null, handed_on_at = null, token = $2 where id = $1`,
      [uuidOf('job', job.id), jobToken(ctx, { id: job.id, kind: job.kind, input: job.input as JsonValue })],
    );
    await appendAudit(tx, ctx, {
      action: 'job.retry',
      resource: { type: 'job', id: job.id, name: job.kind },
      context: { attempts: job.attempts },
    });
    await handOnNext(tx, job.lane, ctx.clock());
    return tx.manager.findOneByOrFail(Job, { id: job.id });
  });
}

/**
 * Calls a job off. One that waits is cancelled at once; one that runs is told to stop, and is cancelled when it has, unless
 * it was done before. A job that has ended is CONFLICT, an unknown one NOT_FOUND.
 */
export async function cancelJob(ctx: RequestContext, id: string): Promise<Job> {
  return inTenant(ctx, async (tx) => {
    const job = await lockJob(tx, id);
    requireState(job, ['queued', 'failed', 'running'], 'It has ended.');
    await tx.query(
      `update jobs set cancel_requested_at = $2::timestamptz, state = case when state = 'running' then state else 'cancelled' end,
              finished_at = case when state = 'running' then null else $2::timestamptz end where id = $1`,
      [uuidOf('job', job.id), ctx.clock()],
    );
    await appendAudit(tx, ctx, {
      action: 'job.cancel',
      resource: { type: 'job', id: job.id, name: job.kind },
      context: { was: job.state },
    });
    if (job.state !== 'running') await handOnNext(tx, job.lane, ctx.clock());
    return tx.manager.findOneByOrFail(Job, { id: job.id });
  });
}

async function lockJob(tx: TenantTransaction, id: string): Promise<Job> {
  const known = isId('job', id) ? id : fail('NOT_FOUND', 'not an id of a job');
  const job = await tx.manager.findOne(Job, { where: { id: known }, lock: { mode: 'pessimistic_write' } });
  return job ?? fail('NOT_FOUND', 'the tenant has no such job');
}

function requireState({ state }: Job, states: readonly JobState[], hint: string): void {
  if (!states.includes(state)) fail('CONFLICT', `the job is ${state}`, { hint });
}
