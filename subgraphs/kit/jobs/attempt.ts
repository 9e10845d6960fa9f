import { asTenonError, fail, type TenonError } from '#schema/errors.ts';
import { idOf, isId, uuidOf, type Id } from '#schema/ids.ts';
import { hashInput, openJob } from '#schema/job-token.ts';
import { systemContext } from '#kit/credential.ts';
import { log } from '#kit/log.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import {
  beginAttempt,
  endAttempt,
  isCancelled,
  writeProgress,
  type Attempt,
  type AttemptEnd,
} from './attempt-state.ts';
import type { JobKind, JobReport } from './job-kind.ts';

/** Who runs jobs. */
export interface AttemptHost {
  readonly platform: Platform;
  /** By name. */
  readonly kinds: ReadonlyMap<string, JobKind>;
  /** How other processes know this one while it lives. */
  readonly runner: string;
  /** Jobs that run in this process now. */
  readonly running: Set<Id<'job'>>;
  /** Aborted when the process ends and waits no longer. */
  readonly ending: AbortSignal;
}

/** What the queue holds of a job. */
interface QueuedJob {
  readonly tenant: Id<'tnt'>;
  readonly job: Id<'job'>;
  readonly token: string;
}

/** How often a running job is looked up for its cancellation. */
const CANCEL_CHECK_MS = 2_000;
/** Progress is written at most once in this time. */
const PROGRESS_MS = 1_000;
/** So long a job that was told to stop may take to do so. */
const STOP_GRACE_MS = 5_000;

/**
 * Takes one attempt at a job that the queue handed out. What is not signed for the tenant, job, kind and input that it is
 * found with is not run. It throws where the queue shall hand it out again, later each time; all else is written in the row.
 */
export async function attemptJob(host: AttemptHost, kindName: string, payload: unknown): Promise<void> {
  const queued = readPayload(payload);
  if (queued === null) return log('error', 'the queue held a job of no known form', { kind: kindName });
  const { job } = queued;
  if (host.running.has(job)) throw new Error(`job ${job} runs already`);
  host.running.add(job);
  try {
    await takeAttempt(host, queued, kindName);
  } finally {
    host.running.delete(job);
  }
}

async function takeAttempt(host: AttemptHost, queued: QueuedJob, kindName: string): Promise<void> {
  const { tenant, job } = queued;
  const ctx = await contextOf(host.platform, queued);
  if (ctx === null) return log('error', 'the queue held a job of no known tenant', { kind: kindName });
  const begun = await beginAttempt(ctx, {
    job,
    runner: host.runner,
    evenEnded: host.kinds.get(kindName)?.evenEnded === true,
  });
  if (begun === null) return log('info', 'a job in the queue was not to be run', { tenant, job });
  const end = await settle(host, ctx, { queued, attempt: begun, kindName });
  const state = await endAttempt(ctx, { attempt: begun, end, runner: host.runner });
  if (end.error !== null) report(begun, ctx, end.error);
  // The queue writes this down too, so it says nothing of the matter.
  if (state === 'failed' || state === 'queued') throw new Error(`job ${job} is ${state}`);
}

function readPayload(payload: unknown): QueuedJob | null {
  const { tenant, job, token } = (payload ?? {}) as Record<string, unknown>;
  if (typeof tenant !== 'string' || typeof job !== 'string' || typeof token !== 'string') return null;
  if (!UUID.test(tenant) || !UUID.test(job)) return null;
  return { tenant: idOf('tnt', tenant), job: idOf('job', job), token };
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

async function contextOf(platform: Platform, { tenant, job }: QueuedJob): Promise<RequestContext | null> {
  if (!isId('tnt', tenant)) return null;
  try {
    return requestContext(
      platform,
      await systemContext(platform.databases, tenant, { name: 'jobs', requestId: `job-${uuidOf('job', job)}` }),
    );
  } catch (error) {
    if (asTenonError(error).code === 'UNAUTHENTICATED') return null;
    throw error;
  }
}

interface Begun {
  readonly queued: QueuedJob;
  readonly attempt: Attempt;
  readonly kindName: string;
}

async function settle(host: AttemptHost, ctx: RequestContext, begun: Begun): Promise<AttemptEnd> {
  const { attempt } = begun;
  const stop = new AbortController();
  const progress = { done: 0, total: null as number | null, writtenMs: 0 };
  const tell: JobReport = async (done, total) => {
    Object.assign(progress, { done, total });
    stop.signal.throwIfAborted();
    if (performance.now() - progress.writtenMs < PROGRESS_MS) return;
    progress.writtenMs = performance.now();
    await writeProgress(ctx, { attempt, runner: host.runner, done, total });
  };
  try {
    await runUntil(stop, { host, ctx, begun }, tell);
    return { outcome: 'succeeded', error: null, ...progress };
  } catch (thrown) {
    const error = asTenonError(stop.signal.aborted ? stop.signal.reason : thrown);
    if (error === CANCELLED) return { outcome: 'cancelled', error: null, ...progress };
    if (error === ENDING) return { outcome: 'interrupted', error: null, ...progress };
    return { outcome: error.code === 'UNAUTHENTICATED' ? 'refused' : 'failed', error, ...progress };
  }
}

const CANCELLED = reason(() => fail('GATEWAY_TIMEOUT', 'the job was cancelled'));
const ENDING = reason(() => fail('GATEWAY_TIMEOUT', 'the process ends'));

async function runUntil(
  stop: AbortController,
  { host, ctx, begun: { queued, attempt, kindName } }: { host: AttemptHost; ctx: RequestContext; begun: Begun },
  tell: JobReport,
): Promise<void> {
  const kind = host.kinds.get(attempt.kind);
  if (kind === undefined || attempt.kind !== kindName) fail('UNAUTHENTICATED', `no kind ${kindName} for this job`);
  const { tenant, clock, databases } = ctx;
  const found = {
    tenant: tenant.tenant,
    job: attempt.job,
    kind: attempt.kind,
    inputHash: hashInput(attempt.input),
  };
  const claims = openJob(queued.token, found, { keys: databases.keys, nowMs: Date.now() });
  const actor = { ...claims.actor, ip: null, ua: null };
  const own = { ...tenant, actor, sessionId: claims.sessionId, requestId: claims.requestId };
  const onEnding = () => stop.abort(ENDING);
  const timer = setTimeout(() => stop.abort(timeoutOf(kind)), kind.timeoutMs);
  const check = setInterval(() => {
    isCancelled(ctx, attempt).then((yes) => yes && stop.abort(CANCELLED), ignore);
  }, CANCEL_CHECK_MS);
  host.ending.addEventListener('abort', onEnding);
  try {
    if (host.ending.aborted) onEnding();
    stop.signal.throwIfAborted();
    const work = kind.run(
      { ...requestContext(host.platform, own, stop.signal), clock },
      kind.check(attempt.input),
      tell,
    );
    await Promise.race([work, deadline(stop.signal)]);
  } finally {
    host.ending.removeEventListener('abort', onEnding);
    clearTimeout(timer);
    clearInterval(check);
  }
}

/** Rejects a while after the signal, whatever the work makes of it: a job that does not listen must not hold its place. */
function deadline(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener(
      'abort',
      () => void setTimeout(() => reject(asTenonError(signal.reason)), STOP_GRACE_MS).unref(),
    );
  });
}

function timeoutOf({ name, timeoutMs }: JobKind): TenonError {
  return reason(() => fail('GATEWAY_TIMEOUT', `${name} took longer than ${timeoutMs} ms`));
}

function reason(throwing: () => never): TenonError {
  try {
    return throwing();
  } catch (error) {
    return asTenonError(error);
  }
}

function report({ job, kind, number }: Attempt, { tenant }: RequestContext, { code, message }: TenonError): void {
  log('warn', `an attempt at a job failed: ${message}`, { tenant: tenant.tenant, job, kind, attempt: number, code });
}

function ignore(): void {}
