import { TenonError } from '#schema/errors.ts';
import type { Refusal } from './problem-details.ts';

/** A refusal by a budget or by the fair queue: THROTTLED, with the policies that refused. */
export class ThrottledError extends TenonError {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super('THROTTLED', `refused by ${refusal.refusedBy}`, { hint: `Retry after ${refusal.retryAfterSeconds} s.` });
    this.refusal = refusal;
  }
}
