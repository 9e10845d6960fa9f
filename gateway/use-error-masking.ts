import type { ApolloServerPlugin } from '@apollo/server';
import { GraphQLError, type GraphQLFormattedError } from 'graphql';
import { logError } from '#kit/log.ts';
import { asTenonError, ERRORS, TenonError, type ErrorCode } from '#schema/errors.ts';
import type { GatewayContext } from './gateway-context.ts';

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

/** Returns an error as Apollo Server carries it; the text is the public one, the rest stays behind. */
export function toGraphqlError(error: unknown, requestId: string): GraphQLError {
  const known = asTenonError(error);
  if (known.status >= 500) logError(known, requestId);
  return new GraphQLError(known.publicMessage, { extensions: { code: known.code, http: { status: known.status } } });
}

/**
 * Last step on the way out of an error: a code of the table keeps its text, everything else becomes
 * INTERNAL_SERVER_ERROR and is logged under the request id.
 */
export function formatError(formatted: GraphQLFormattedError, requestId: string): GraphQLFormattedError {
  const code = tableCode(formatted.extensions?.['code']);
  const place = {
    ...(formatted.path === undefined ? {} : { path: formatted.path }),
    ...(formatted.locations === undefined ? {} : { locations: formatted.locations }),
  };
  if (code === null) {
    logError(new TenonError('INTERNAL_SERVER_ERROR', formatted.message), requestId);
    return {
      ...place,
      message: ERRORS.INTERNAL_SERVER_ERROR.message,
      extensions: { code: 'INTERNAL_SERVER_ERROR', requestId },
    };
  }
  const message = OWN_DOCUMENT_CODES.has(code) ? withoutStack(formatted.message) : formatted.message;
  return { ...place, message, extensions: { code, requestId } };
}

/** Masks every error of an answer; a request that was refused before it ran answers with the status of its code. */
export function useErrorMasking(): ApolloServerPlugin<GatewayContext> {
  return {
    requestDidStart: async () => ({
      willSendResponse: async ({ response, contextValue }) => {
        if (response.body.kind !== 'single') return;
        const { singleResult } = response.body;
        const { errors } = singleResult;
        if (errors === undefined || errors.length === 0) return;
        const { requestId } = contextValue.request.tenant;
        // Apollo Server answers a mutation by GET with this status and a general code.
        const masked =
          response.http.status === 405
            ? [wrongMethod(requestId)]
            : errors.map((error) => formatError(error, requestId));
        singleResult.errors = masked;
        if (singleResult.data === undefined)
          response.http.status = ERRORS[masked[0]?.extensions?.['code'] as ErrorCode].status;
      },
    }),
  };
}

function wrongMethod(requestId: string): GraphQLFormattedError {
  const code: ErrorCode = 'METHOD_NOT_ALLOWED';
  return { message: ERRORS[code].message, extensions: { code, requestId } };
}

function tableCode(code: unknown): ErrorCode | null {
  if (typeof code !== 'string') return null;
  const known = APOLLO_CODES[code] ?? code;
  return Object.hasOwn(ERRORS, known) && known !== 'INTERNAL_SERVER_ERROR' ? (known as ErrorCode) : null;
}

function withoutStack(message: string): string {
  return message.split('\n    at ')[0] ?? message;
}
