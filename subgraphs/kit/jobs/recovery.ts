import type pg from 'pg';
import { systemContext } from '#kit/credential.ts';
import { inTenant } from '#kit/database.ts';
import { log } from '#kit/log.ts';
import type { Platform } from '#kit/request-context.ts';
import { asTenonError } from '#schema/errors.ts';
import { idOf, mintId } from '#schema/ids.ts';
import { handOnNext } from './hand-on.ts';
import type { Lane } from './job-kind.ts';

/** What a queue and the rows behind it are reached by. */
type QueuePool = Pick<pg.Pool, 'query' | 'connect'>;

/** "jobs" in ASCII: nothing else in these databases locks under this number. */
export const RUNNER_LOCK_CLASS = 0x6a6f6273;
/** A process takes its lock before its first job; so long it may take from the queue's lock to ours. */
const LOCKED_FOR = `interval '10 seconds'`;
/** What is done is shown for so long. */
const KEPT_MS = 30 * 24 * 3_600_000;
const BATCH = 500;

/**
 * Gives back to the queue what processes held that are no more: who lives holds a lock of her name. Returns how many
 * processes were found dead. The pool is of the worker's role, without any tenant's context.
 */
export async function releaseDead(pool: QueuePool): Promise<number> {
  const { rows } = await pool.query<{ runner: string }>(
    `select runner from app.jobs where state = 'running' and runner is not null
      union select locked_by from graphile_worker._private_jobs where locked_at < now() - ${LOCKED_FOR}`,
  );
  let dead = 0;
  for (const { runner } of rows) if (await releaseRunner(pool, runner)) dead += 1;
  return dead;
}

async function releaseRunner(pool: QueuePool, runner: string): Promise<boolean> {
  const client = await pool.connect();
  let broken = true;
  try {
    await client.query('begin');
    const { rows } = await client.query<{ dead: boolean }>(
      'select pg_try_advisory_xact_lock($1, hashtext($2)) as dead',
      [RUNNER_LOCK_CLASS, runner],
    );
    const isDead = rows[0]?.dead === true;
    if (isDead) {
      await client.query(
        `update app.jobs set state = 'queued', runner = null where state = 'running' and runner = $1`,
        [runner],
      );
      await client.query('select graphile_worker.force_unlock_workers(array[$1])', [runner]);
    }
    await client.query('commit');
    broken = false;
    return isDead;
  } finally {
    client.release(broken);
  }
}

/**
 * Finds jobs that wait though nothing is before them, and hands them on: those asked for in the moment in which the one
 * before ended, and those that the queue has lost, as after a restore of its tables.
 */
export async function handOnStuck(platform: Platform, pool: QueuePool): Promise<void> {
  await pool.query(
    `update app.jobs as lost set handed_on_at = null
      where state = 'queued' and handed_on_at < now() - ${LOCKED_FOR} and not exists (
        select from graphile_worker._private_jobs q where q.key = lost.tenant_id || ':' || lost.id)`,
  );
  await pool.query(
    `update app.jobs as lost set state = 'queued', handed_on_at = null
      where state = 'failed' and handed_on_at < now() - ${LOCKED_FOR} and not exists (
        select from graphile_worker._private_jobs q where q.key = lost.tenant_id || ':' || lost.id)`,
  );
  const { rows } = await pool.query<{ tenant: string; lane: Lane }>(
    `select distinct tenant_id as tenant, lane from app.jobs waiting where state = 'queued' and handed_on_at is null
        and not exists (select from app.jobs q where q.tenant_id = waiting.tenant_id and q.lane = waiting.lane
          and q.handed_on_at is not null and q.state in ('queued', 'running')) limit ${BATCH}`,
  );
  for (const { tenant, lane } of rows) {
    try {
      const context = await systemContext(platform.databases, idOf('tnt', tenant), {
        name: 'jobs',
        requestId: mintId('req'),
      });
      const scope = { databases: platform.databases, tenant: context };
      await inTenant(scope, (tx) => handOnNext(tx, lane, platform.clock()));
    } catch (error) {
      log('warn', `a waiting job was not handed on: ${asTenonError(error).message}`, { tenant: idOf('tnt', tenant) });
    }
  }
}

/** Deletes jobs that ended 30 days ago. */
export async function deleteOld(pool: Pick<pg.Pool, 'query'>, now: Date): Promise<void> {
  await pool.query(
    `delete from app.jobs where (tenant_id, id) in (
       select tenant_id, id from app.jobs where finished_at < $1 limit ${BATCH})`,
    [new Date(now.getTime() - KEPT_MS)],
  );
}
