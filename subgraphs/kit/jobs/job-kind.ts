import type { JsonValue } from '#schema/canonical-json.ts';
import type { Platform, RequestContext } from '#kit/request-context.ts';

/**
 * How many jobs a process runs at once for each cell, and how many of one tenant stand in the queue at a time; the others
 * wait in her own line. `long` ones do not hold up `quick` ones.
 */
export const LANES = {
  quick: { atOnce: 4, perTenant: 2 },
  long: { atOnce: 2, perTenant: 1 },
} as const;

/** A class of jobs that share what they are run with. */
export type Lane = keyof typeof LANES;

/** States of a job: `failed` waits for its next attempt, `dead` has had its last. */
export const JOB_STATES = ['queued', 'running', 'succeeded', 'failed', 'dead', 'cancelled'] as const;
/** A state of a job. */
export type JobState = (typeof JOB_STATES)[number];

/** Tells how far the work is; `total` is null while nobody knows it. What is written is at most a second old. */
export type JobReport = (done: number, total: number | null) => Promise<void>;

/** Work that is done beside requests, for one tenant, as often as it takes. */
export interface JobKind<Input extends JsonValue = JsonValue> {
  /** `<noun>.<verb>`; no two kinds have the same. */
  readonly name: string;
  readonly lane: Lane;
  /** Between two attempts lie about 3, 7, 20, 55, 150, ... seconds. */
  readonly attempts: number;
  /** Of one attempt; below four hours, after which the queue thinks it lost. */
  readonly timeoutMs: number;
  /** Whether it is done for a tenant who has ended too; by default such a job is cancelled. */
  readonly evenEnded?: boolean;
  /** Returns the input; one that is not as the kind expects is BAD_USER_INPUT. It is asked at enqueuing and again at running. */
  check(input: unknown): Input;
  /**
   * Does the work, at least once: a process may die in the middle, so doing it again must do no harm. It runs in the role
   * of the worker, under the tenant's context, for the actor who asked, without any right of hers: what she may do was
   * decided when she asked. The signal of the context is aborted at a timeout, a cancellation or the end of the process.
   */
  run(ctx: RequestContext, input: Input, report: JobReport): Promise<void>;
}

/** Where and until when a turn over a whole cell works. */
export interface CellTurnContext {
  readonly platform: Platform;
  readonly cell: string;
  readonly signal: AbortSignal;
}

/** Work that the clock asks for, once in each cell; it acts for a tenant only under her own context. */
export interface CellTurn {
  /** `<noun>.<verb>`, another than that of any job. */
  readonly name: string;
  /** Minute, hour, day, month and weekday in UTC, as in a crontab. A turn that was missed is made up for within a day. */
  readonly schedule: string;
  /** Does the work, at least once. */
  run(turn: CellTurnContext): Promise<void>;
}
