import type { JsonValue } from '#schema/canonical-json.ts';
import type { TenonError } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { handOnNext } from './hand-on.ts';
import type { JobState, Lane } from './job-kind.ts';

/** One attempt that has begun. */
export interface Attempt {
  readonly job: Id<'job'>;
  readonly kind: string;
  readonly lane: Lane;
  readonly input: JsonValue;
  /** 1 for the first. */
  readonly number: number;
  readonly maxAttempts: number;
}

/** How an attempt ended: `refused` is never tried again, `interrupted` did not count. */
export interface AttemptEnd {
  readonly outcome: 'succeeded' | 'failed' | 'refused' | 'cancelled' | 'interrupted';
  readonly error: TenonError | null;
  readonly done: number;
  readonly total: number | null;
}

/** States of tenants for whom nothing is done any more. */
const ENDED = new Set(['erasing', 'erased']);
/** What is said of a job whose process died at its last attempt. */
const DIED = 'The process that ran it ended in the middle, at its last attempt.';

/**
 * Takes a job that waits, for one attempt of this runner. Null where there is nothing to do: it is done, cancelled, another
 * runs it, its tenant has ended, or it has had its attempts, which is written down.
 */
export async function beginAttempt(
  ctx: RequestContext,
  { job, runner, evenEnded }: { readonly job: Id<'job'>; readonly runner: string; readonly evenEnded: boolean },
): Promise<Attempt | null> {
  return inTenant(ctx, async (tx) => {
    const [row] = await tx.query<Row>(
      `select kind, lane, input, state, runner, attempts as number, max_attempts as "maxAttempts" from jobs
        where id = $1 for update`,
      [uuidOf('job', job)],
    );
    // One that this process has begun and does not run any more ended without a word: the database was away.
    const isOpen = row?.state === 'queued' || row?.state === 'failed' || row?.runner === runner;
    if (row === undefined || !isOpen) return null;
    const attempt = { ...row, job, number: row.number + 1 };
    const isOver = !evenEnded && ENDED.has(ctx.tenant.state);
    if (isOver || row.number >= row.maxAttempts) {
      const end = isOver ? { state: 'cancelled' as const } : { state: 'dead' as const, error: DIED };
      await finish(tx, ctx, { attempt, ...end });
      return null;
    }
    await tx.query(
      `update jobs set state = 'running', attempts = $2, runner = $3, started_at = $4, progress_done = 0,
              progress_total = null, handed_on_at = coalesce(handed_on_at, $4) where id = $1`,
      [uuidOf('job', job), attempt.number, runner, ctx.clock()],
    );
    return attempt;
  });
}

/** Who holds an attempt. */
interface Held {
  readonly attempt: Attempt;
  readonly runner: string;
}

/**
 * Writes how an attempt ended and lets the tenant's next job into the queue. Returns the state that the job is in; null
 * where it was taken from this runner meanwhile.
 */
export async function endAttempt(
  ctx: RequestContext,
  { attempt, runner, end }: Held & { readonly end: AttemptEnd },
): Promise<JobState | null> {
  return inTenant(ctx, async (tx) => {
    const [held] = await tx.query(`select id from jobs where ${HELD} for update`, heldBy({ attempt, runner }));
    if (held === undefined) return null;
    const state = stateAfter(attempt, end);
    await tx.query('update jobs set progress_done = $2, progress_total = $3 where id = $1', [
      uuidOf('job', attempt.job),
      end.done,
      end.total,
    ]);
    await finish(tx, ctx, { attempt, state, error: end.error });
    return state;
  });
}

/** Writes how far an attempt is. */
export async function writeProgress(
  ctx: RequestContext,
  { attempt, runner, done, total }: Held & { readonly done: number; readonly total: number | null },
): Promise<void> {
  await inTenantOnce(ctx, (tx) =>
    tx.query(`update jobs set progress_done = $4, progress_total = $5 where ${HELD}`, [
      ...heldBy({ attempt, runner }),
      done,
      total,
    ]),
  );
}

/** Tells whether somebody wants the job to stop. */
export async function isCancelled(ctx: RequestContext, { job }: Attempt): Promise<boolean> {
  const [row] = await inTenantOnce(ctx, (tx) =>
    tx.query('select id from jobs where id = $1 and cancel_requested_at is not null', [uuidOf('job', job)]),
  );
  return row !== undefined;
}

type Row = Omit<Attempt, 'job'> & { readonly state: JobState; readonly runner: string | null };

/** An attempt is known by its number too: the same process may have begun it again. */
const HELD = `id = $1 and state = 'running' and runner = $2 and attempts = $3`;

function heldBy({ attempt, runner }: Held): unknown[] {
  return [uuidOf('job', attempt.job), runner, attempt.number];
}

function stateAfter({ number, maxAttempts }: Attempt, { outcome }: AttemptEnd): JobState {
  if (outcome === 'interrupted') return 'queued';
  if (outcome === 'refused') return 'dead';
  if (outcome === 'failed') return number >= maxAttempts ? 'dead' : 'failed';
  return outcome;
}

async function finish(
  tx: TenantTransaction,
  ctx: RequestContext,
  { attempt, state, error = null }: { attempt: Attempt; state: JobState; error?: TenonError | string | null },
): Promise<void> {
  const { job, kind, number } = attempt;
  const text = typeof error === 'string' ? error : (error?.publicMessage ?? null);
  const code = typeof error === 'string' ? 'INTERRUPTED' : (error?.code ?? null);
  const isOver = state !== 'queued' && state !== 'failed';
  await tx.query(
    `update jobs set state = $2, runner = null, error_code = $3, error = $4, finished_at = $5,
            attempts = case when $2 = 'queued' then attempts - 1 else attempts end where id = $1`,
    [uuidOf('job', job), state, code, text?.slice(0, 1000) ?? null, isOver ? ctx.clock() : null],
  );
  if (state === 'dead') {
    await appendAudit(tx, ctx, {
      action: 'job.fail',
      outcome: 'failure',
      resource: { type: 'job', id: job, name: kind },
      context: { attempts: Math.min(number, attempt.maxAttempts), code: code ?? 'INTERNAL_SERVER_ERROR' },
    });
  }
  await handOnNext(tx, attempt.lane, ctx.clock());
}
