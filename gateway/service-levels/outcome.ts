import { ERRORS, type ErrorCode } from '#schema/errors.ts';

/** How a request ended: carried out, refused for the caller's own sake, or failed inside. */
export const OUTCOMES = ['ok', 'refused', 'failed'] as const;
/** One of them. */
export type Outcome = (typeof OUTCOMES)[number];

/**
 * Returns how a request ended. An answer of status 200 that carries the code of a fault inside has failed as well: GraphQL
 * answers so where a part of the data is missing.
 */
export function outcomeOf(status: number, code: string | null): Outcome {
  if (status >= 500 || (code !== null && isErrorCode(code) && ERRORS[code].status >= 500)) return 'failed';
  return status >= 400 ? 'refused' : 'ok';
}

/** Returns the code as a label: codes that are not in the error table are one, since subgraphs may send any. */
export function codeLabel(code: string): string {
  return isErrorCode(code) ? code : 'OTHER';
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}
