import type { TenantTransaction } from '#kit/database.ts';
import { LANES, type Lane } from './job-kind.ts';

/**
 * Lets the tenant's oldest waiting jobs of a lane into the queue, as far as her places there are free. So the queue holds
 * no more than those of each tenant, however many she waits for, and who comes next stands behind one round of the others.
 */
export async function handOnNext(tx: Pick<TenantTransaction, 'query'>, lane: Lane, now: Date): Promise<void> {
  await tx.query(HAND_ON, [lane, LANES[lane].perTenant, now]);
}

const HAND_ON = `
  with next as (
    select id from jobs where lane = $1 and state = 'queued' and handed_on_at is null order by id
     limit greatest(0, $2 - (select count(*) from jobs
       where lane = $1 and handed_on_at is not null and state in ('queued', 'running')))
       for update skip locked),
  handed as (
    update jobs set handed_on_at = $3 from next where jobs.id = next.id returning jobs.id, jobs.kind, jobs.token)
  select tenon.add_job(id, kind, token) from (select * from handed order by id) as ordered`;
