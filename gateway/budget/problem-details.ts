import type { PolicyName, PolicyStatus, Reservation } from './budgets.ts';

/** What was refused and by what: a refused reservation, or a place in the queue that was not to be had. */
export type Refusal = Pick<Reservation, 'status' | 'refusedBy' | 'violated' | 'retryAfterSeconds'>;

/** Problem details (RFC 9457) of an exceeded quota (draft-ietf-httpapi-ratelimit-headers-10, section 5.1). */
export interface ProblemDetails {
  readonly type: 'https://iana.org/assignments/http-problem-types#quota-exceeded';
  readonly title: string;
  readonly status: 429;
  /** Says in one sentence which policy refused and when to come back. */
  readonly detail: string;
  readonly 'violated-policies': readonly PolicyName[];
  /** Whole seconds from now, as in the header of that name. */
  readonly 'retry-after': number;
  /** The same as a time (RFC 3339), by the clock of this process. */
  readonly 'retry-at': string;
  /** The policies that refused, the one that lets wait longest first. */
  readonly policies: readonly Pick<PolicyStatus, 'name' | 'unit' | 'limit' | 'remaining' | 'restorePerSecond'>[];
  readonly 'request-id': string;
}

/** `extensions` of the error that a throttled operation is answered with. */
export interface ThrottledExtensions {
  readonly code: 'THROTTLED';
  readonly requestId: string;
  readonly problem: ProblemDetails;
}

/** Returns the problem details of a refusal. */
export function problemDetails(refusal: Refusal, { requestId, now }: { requestId: string; now: Date }): ProblemDetails {
  const { violated, retryAfterSeconds } = refusal;
  const first = refusal.refusedBy ?? violated[0];
  const refusing = refusal.status.policies
    .filter(({ name }) => violated.includes(name))
    .toSorted((one, other) => Number(other.name === first) - Number(one.name === first));
  return {
    type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
    title: 'Request cannot be satisfied as assigned quota has been exceeded',
    status: 429,
    detail: `The budget ${first} is used up; it lets this operation pass in ${retryAfterSeconds} s.`,
    'violated-policies': refusing.map(({ name }) => name),
    'retry-after': retryAfterSeconds,
    'retry-at': new Date(now.getTime() + retryAfterSeconds * 1000).toISOString(),
    policies: refusing.map(({ name, unit, limit, remaining, restorePerSecond }) => ({
      name,
      unit,
      limit,
      remaining,
      restorePerSecond,
    })),
    'request-id': requestId,
  };
}

/**
 * Returns `extensions` of the error that says THROTTLED; with status 429 and the headers of `budgetHeaders` it goes into
 * `application/graphql-response+json` and `application/json` alike.
 */
export function throttledExtensions(refusal: Refusal, at: { requestId: string; now: Date }): ThrottledExtensions {
  return { code: 'THROTTLED', requestId: at.requestId, problem: problemDetails(refusal, at) };
}
