/** One row of the error table: what a caller may see and the HTTP status that carries it. */
export interface ErrorRow {
  /** HTTP status of an answer that fails with this code alone. */
  readonly status: number;
  /** The sentence a caller reads; it helps her and reveals nothing. */
  readonly message: string;
  /** `scimType` of RFC 7644 section 3.12, where one fits. */
  readonly scimType?: string;
}

/** Every error the platform answers with, once; the README's table is generated from it. */
export const ERRORS = {
  UNAUTHENTICATED: { status: 401, message: 'The credential is missing, unknown, expired or revoked.' },
  FORBIDDEN: { status: 403, message: 'The credential does not carry the scope that this needs.' },
  NOT_FOUND: { status: 404, message: 'There is no such thing in this tenant.' },
  CSRF_PREVENTION_FAILED: {
    status: 400,
    message:
      'A browser could be made to send this unasked; send application/json, or the header apollo-require-preflight.',
  },
  METHOD_NOT_ALLOWED: { status: 405, message: 'This address does not take that method.' },
  NOT_IMPLEMENTED: { status: 501, message: 'The service does not offer this.' },
  PRECONDITION_FAILED: {
    status: 412,
    message: 'It has changed meanwhile, or the condition of the request does not hold.',
  },
  CONFLICT: { status: 409, message: 'The request conflicts with what is already stored.' },
  UNIQUENESS: { status: 409, message: 'Another one with the same unique value exists.', scimType: 'uniqueness' },
  IDEMPOTENCY_CONFLICT: {
    status: 409,
    message: 'This idempotency key was used before with another body; nothing was stored.',
  },
  BAD_USER_INPUT: { status: 400, message: 'A value in the request is not valid.', scimType: 'invalidValue' },
  BAD_REQUEST: { status: 400, message: 'The request cannot be read.', scimType: 'invalidSyntax' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, message: 'The content type is not one that this address takes.' },
  PAYLOAD_TOO_LARGE: { status: 413, message: 'The request body is larger than allowed.' },
  INVALID_FILTER: { status: 400, message: 'The filter is not valid.', scimType: 'invalidFilter' },
  INVALID_PATH: { status: 400, message: 'The path is not valid.', scimType: 'invalidPath' },
  INVALID_VERSION: {
    status: 400,
    message: 'This version of the SCIM protocol is not served.',
    scimType: 'invalidVers',
  },
  INVALID_CURSOR: { status: 400, message: 'The cursor does not belong to this query.', scimType: 'invalidCursor' },
  EXPIRED_CURSOR: {
    status: 400,
    message: 'The cursor has expired; start with the first page.',
    scimType: 'expiredCursor',
  },
  INVALID_COUNT: { status: 400, message: 'The number of results asked for is not valid.', scimType: 'invalidCount' },
  SENSITIVE: {
    status: 403,
    message: 'What is secret can neither be searched nor stand in an address.',
    scimType: 'sensitive',
  },
  NO_TARGET: { status: 400, message: 'The path matches nothing that could be changed.', scimType: 'noTarget' },
  MUTABILITY: { status: 400, message: 'The attribute cannot be changed.', scimType: 'mutability' },
  TOO_MANY: { status: 400, message: 'The request asks for more than one answer may hold.', scimType: 'tooMany' },
  UNKNOWN_METRIC: { status: 400, message: 'No price plan knows this metric.' },
  INVALID_TRANSITION: { status: 409, message: 'The state of the tenant does not allow this step.' },
  TENANT_READ_ONLY: { status: 403, message: 'The tenant is read-only; payment, export and administration still work.' },
  TENANT_SUSPENDED: { status: 403, message: 'The tenant is suspended; only payment and export still work.' },
  THROTTLED: { status: 429, message: 'A budget is used up; retry after the time in Retry-After.' },
  COST_ESTIMATED_TOO_EXPENSIVE: { status: 400, message: 'The operation costs more than a single request may.' },
  COST_INVALID_SLICING_ARGUMENTS: { status: 400, message: 'A list field needs exactly one of its slicing arguments.' },
  MAX_DEPTH_LIMIT: { status: 400, message: 'The operation is nested deeper than allowed.' },
  MAX_ALIASES_LIMIT: { status: 400, message: 'The operation has more aliases than allowed.' },
  MAX_ROOT_FIELDS_LIMIT: { status: 400, message: 'The operation has more root fields than allowed.' },
  MAX_DIRECTIVES_LIMIT: { status: 400, message: 'The operation has more directives than allowed.' },
  MAX_TOKENS_LIMIT: { status: 400, message: 'The document has more tokens than allowed.' },
  MAX_DOCUMENT_LIMIT: { status: 400, message: 'The document is longer than allowed.' },
  MAX_FIELDS_LIMIT: { status: 400, message: 'The document has more fields than allowed.' },
  MAX_OVERLAPS_LIMIT: { status: 400, message: 'The document selects the same fields more often than allowed.' },
  MAX_DEFINITIONS_LIMIT: { status: 400, message: 'The document has more operations and fragments than allowed.' },
  MAX_VARIABLES_LIMIT: { status: 400, message: 'The operation declares more variables than allowed.' },
  MAX_LITERALS_LIMIT: { status: 400, message: 'The operation holds more literal values than allowed.' },
  MAX_NAME_LIMIT: { status: 400, message: 'The name of the operation is longer than allowed.' },
  MAX_INPUT_LIMIT: { status: 400, message: 'The variables hold more values or levels than allowed.' },
  BATCH_LIMIT_EXCEEDED: { status: 400, message: 'The batch holds more operations than allowed.' },
  TOO_MANY_HEADERS: { status: 431, message: 'The request has more headers than allowed.' },
  RESPONSE_TOO_LARGE: { status: 400, message: 'The answer would be larger than allowed; ask for less at a time.' },
  INTROSPECTION_DISABLED: { status: 403, message: 'This credential may not ask the schema about itself.' },
  PERSISTED_QUERY_NOT_FOUND: { status: 404, message: 'No operation is registered under this id.' },
  PERSISTED_QUERY_NOT_IN_LIST: { status: 403, message: 'This client may run its registered operations only.' },
  PERSISTED_QUERY_ID_REQUIRED: { status: 400, message: 'This client must name a registered operation by its id.' },
  GRAPHQL_PARSE_FAILED: { status: 400, message: 'The GraphQL document cannot be parsed.' },
  GRAPHQL_VALIDATION_FAILED: { status: 400, message: 'The operation does not fit the schema.' },
  GATEWAY_TIMEOUT: { status: 504, message: 'A part of the platform did not answer in time.' },
  SERVICE_UNAVAILABLE: { status: 503, message: 'A part of the platform is not available; try again soon.' },
  SUBGRAPH_CIRCUIT_BREAKER_REJECTED: {
    status: 503,
    message: 'A part of the platform fails too often and is left alone for some seconds; try again soon.',
  },
  AUDIT_EVENT_REFUSED: { status: 500, message: 'The change was undone because it could not be audited.' },
  RETENTION_LOCKED: { status: 409, message: 'The object is under retention and cannot be changed or deleted.' },
  INTERNAL_SERVER_ERROR: { status: 500, message: 'Something failed inside; the request id finds it in the logs.' },
} as const satisfies Record<string, ErrorRow>;

/** A code of the error table. */
export type ErrorCode = keyof typeof ERRORS;

/** What an error may carry beside its code and internal text. */
export interface TenonErrorOptions {
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  readonly retryAfterSeconds?: number | undefined;
}

/**
 * The one error that may reach a caller: `message` is the internal text and stays inside, the public text comes from
 * the table, followed by `hint` where the caller's own input explains the fault.
 */
export class TenonError extends Error {
  override readonly name = 'TenonError';
  readonly code: ErrorCode;
  /** Public: names the caller's own field or value, never another tenant's, never an inner one. */
  readonly hint: string | undefined;
  /** When it is worth trying again, where that is known: `Retry-After`. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, internal: string, options: TenonErrorOptions = {}) {
    super(internal, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  /** HTTP status of the table. */
  get status(): number {
    return ERRORS[this.code].status;
  }

  /** `scimType` of the table, where one fits. */
  get scimType(): string | undefined {
    return (ERRORS[this.code] as ErrorRow).scimType;
  }

  /** What the caller reads. */
  get publicMessage(): string {
    return this.hint === undefined ? ERRORS[this.code].message : `${ERRORS[this.code].message} ${this.hint}`;
  }
}

/** Throws the error of the table; `internal` goes to the logs alone, `hint` to the caller. */
export function fail(code: ErrorCode, internal: string, options?: TenonErrorOptions): never {
  throw new TenonError(code, internal, options);
}

/** Returns any thrown value as a TenonError; what the table does not know becomes INTERNAL_SERVER_ERROR. */
export function asTenonError(thrown: unknown): TenonError {
  if (thrown instanceof TenonError) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new TenonError('INTERNAL_SERVER_ERROR', text, { cause: thrown });
}
