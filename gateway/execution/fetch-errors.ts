import type { Abortable } from '#kit/request-ending.ts';
import { GraphQLError, type GraphQLFormattedError } from 'graphql';
import { asTenonError, ERRORS, TenonError } from '#schema/errors.ts';
import type { AnswerPath } from './run-state.ts';

/** Keys that the planner invents begin so; no client knows them. */
const INNER_KEY = '_internal_qp_alias';

/** Returns an error of a subgraph at its place in the whole answer; a place in the subgraph's document means nothing there. */
export function placed(error: GraphQLFormattedError, path: AnswerPath | undefined): GraphQLFormattedError {
  const visible = path === undefined ? undefined : upToInnerKey(path);
  return {
    message: error.message,
    ...(visible === undefined || visible.length === 0 ? {} : { path: visible }),
    ...(error.extensions === undefined ? {} : { extensions: error.extensions }),
  };
}

/** Returns what a rejected call is to the caller. */
export function failureError(failure: unknown): GraphQLFormattedError {
  if (failure instanceof GraphQLError) return { message: failure.message, extensions: failure.extensions };
  const known = asTenonError(failure);
  return { message: known.publicMessage, extensions: { code: known.code } };
}

/** Returns why no call is sent any more once the caller has gone or the time is over. */
export function abortError(signal: Abortable): GraphQLFormattedError {
  return failureError(
    signal.reason instanceof TenonError ? signal.reason : new TenonError('GATEWAY_TIMEOUT', 'the request was aborted'),
  );
}

/** The error for a subgraph that answers neither data nor an error, or is not there. */
export const NO_ANSWER: GraphQLFormattedError = {
  message: ERRORS.SERVICE_UNAVAILABLE.message,
  extensions: { code: 'SERVICE_UNAVAILABLE' },
};

function upToInnerKey(path: AnswerPath): AnswerPath {
  const at = path.findIndex((element) => typeof element === 'string' && element.startsWith(INNER_KEY));
  return at < 0 ? path : path.slice(0, at);
}
