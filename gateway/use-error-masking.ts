import { GraphQLError, type GraphQLFormattedError } from 'graphql';
import { logError } from '#kit/log.ts';
import { asTenonError, ERRORS, TenonError, type ErrorCode } from '#schema/errors.ts';
import { withoutSuggestions } from '#schema/operation-limits.ts';
import { throttledExtensions } from './budget/problem-details.ts';
import { ThrottledError } from './budget/throttled-error.ts';
import { CallerGoneError } from './links/request-signal.ts';

/** An error that a request was refused with, as the client reads it. */
export interface RefusalAnswer {
  readonly error: GraphQLFormattedError;
  readonly code: ErrorCode;
  readonly status: number;
}

/** Codes of Apollo Server that stand in our table under another name. */
const APOLLO_CODES: Readonly<Record<string, ErrorCode>> = {
  OPERATION_RESOLUTION_FAILURE: 'BAD_REQUEST',
  PERSISTED_QUERY_NOT_SUPPORTED: 'PERSISTED_QUERY_NOT_FOUND',
};
/** Codes whose text, written by the GraphQL library, speaks of the caller's own document alone. */
const OWN_DOCUMENT_CODES: ReadonlySet<string> = new Set([
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'BAD_USER_INPUT',
  'BAD_REQUEST',
]);

/** Returns what a client reads of a refusal: the public text; the rest stays behind, in the log where it is our fault. */
export function refusalAnswer(thrown: unknown, requestId: string): RefusalAnswer {
  const known = asTenonError(thrown);
  const { code, status } = known;
  // Anybody can go away as often as she likes: that fills no log.
  if (status >= 500 && !(known instanceof CallerGoneError)) logError(known, requestId);
  const extensions =
    known instanceof ThrottledError
      ? { ...throttledExtensions(known.refusal, { requestId, now: new Date() }) }
      : {
          code,
          requestId,
          ...(known.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: known.retryAfterSeconds }),
        };
  return { code, status, error: { message: known.publicMessage, extensions } };
}

/** Returns a refusal as Apollo Server carries it. */
export function toGraphqlError(thrown: unknown, requestId: string): GraphQLError {
  const { error, status } = refusalAnswer(thrown, requestId);
  return new GraphQLError(error.message, { extensions: { ...error.extensions, http: { status } } });
}

/**
 * Last step on the way out of an error: a code of the table keeps its text, everything else becomes
 * INTERNAL_SERVER_ERROR and is logged under the request id.
 */
export function maskError(error: GraphQLFormattedError, requestId: string): GraphQLFormattedError {
  const code = tableCode(error.extensions?.['code']);
  const place = {
    ...(error.path === undefined ? {} : { path: error.path }),
    ...(error.locations === undefined ? {} : { locations: error.locations }),
  };
  if (code === null) {
    const { message } = ERRORS.INTERNAL_SERVER_ERROR;
    // With this text it has been masked, and logged with its cause, where it happened.
    if (error.message !== message) logError(new TenonError('INTERNAL_SERVER_ERROR', error.message), requestId);
    return { ...place, message, extensions: { code: 'INTERNAL_SERVER_ERROR', requestId } };
  }
  const message = OWN_DOCUMENT_CODES.has(code) ? withoutSuggestions(withoutStack(error.message)) : error.message;
  const problem = code === 'THROTTLED' ? error.extensions?.['problem'] : undefined;
  const retry = error.extensions?.['retryAfterSeconds'];
  const more = {
    ...(problem === undefined ? {} : { problem }),
    ...(typeof retry === 'number' ? { retryAfterSeconds: retry } : {}),
  };
  return { ...place, message, extensions: { code, requestId, ...more } };
}

/** Returns the code of a masked error. */
export function codeOf(error: GraphQLFormattedError | undefined): ErrorCode {
  return tableCode(error?.extensions?.['code']) ?? 'INTERNAL_SERVER_ERROR';
}

function tableCode(code: unknown): ErrorCode | null {
  if (typeof code !== 'string') return null;
  const known = APOLLO_CODES[code] ?? code;
  return Object.hasOwn(ERRORS, known) && known !== 'INTERNAL_SERVER_ERROR' ? (known as ErrorCode) : null;
}

function withoutStack(message: string): string {
  return message.split('\n    at ')[0] ?? message;
}
