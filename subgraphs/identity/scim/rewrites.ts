import type { ErrorCode } from '#schema/errors.ts';

/** A form that RFC 7643 and 7644 do not know, and what a client that may not send it is answered. */
export interface Deviation {
  /** What was sent; read by the customer's administrator, after "The client sent". */
  readonly form: string;
  readonly code: ErrorCode;
}

/** Every deviation from the RFCs that some identity provider is known to send, by the name of its rewrite. */
export const DEVIATIONS = {
  op_case: { form: 'the name of an operation in another case, such as "Replace"', code: 'BAD_REQUEST' },
  schemas_added: { form: 'a body without "schemas"', code: 'BAD_REQUEST' },
  legacy_schema: { form: "the URN of Entra's old group schema", code: 'BAD_REQUEST' },
  unknown_dropped: { form: 'an attribute that no schema knows', code: 'BAD_REQUEST' },
  read_only_dropped: { form: 'a readOnly attribute among those to be changed', code: 'MUTABILITY' },
  password_dropped: { form: 'a password, which is never stored', code: 'MUTABILITY' },
  blank_required_kept: {
    form: 'a required attribute without a value, which was kept as it is',
    code: 'BAD_USER_INPUT',
  },
  blank_as_null: { form: 'an empty text for an attribute with parts, which unassigns it', code: 'BAD_USER_INPUT' },
  string_boolean: { form: 'text such as "True" for a boolean', code: 'BAD_USER_INPUT' },
  string_number: { form: 'text for a number', code: 'BAD_USER_INPUT' },
  bare_value: { form: 'a bare value for an attribute with parts', code: 'BAD_USER_INPUT' },
  wrapped_value: { form: 'a simple value wrapped in an object', code: 'BAD_USER_INPUT' },
  list_as_single: { form: 'a list for an attribute with one value', code: 'BAD_USER_INPUT' },
  single_as_list: { form: 'one value for an attribute with several', code: 'BAD_USER_INPUT' },
  packed_role: { form: 'a role as JSON in a text', code: 'BAD_USER_INPUT' },
  dotted_key: { form: 'a key such as "name.givenName"', code: 'INVALID_PATH' },
  urn_key: { form: 'a key that is the URN of an attribute', code: 'INVALID_PATH' },
  path_as_key: { form: 'a key that is a path with a filter', code: 'INVALID_PATH' },
  unqualified_extension: { form: 'an attribute of an extension without its URN', code: 'INVALID_PATH' },
  remove_by_value: { form: 'a removal with a value in place of a filter', code: 'BAD_REQUEST' },
  replace_as_add: { form: 'a replacement of an element that need not be there', code: 'NO_TARGET' },
  unquoted_literal: { form: 'a text without quotes in a filter', code: 'INVALID_FILTER' },
  element_sub_filter: { form: 'a filter such as emails[type eq "work"].value eq "x"', code: 'INVALID_FILTER' },
} as const satisfies Record<string, Deviation>;

/** The name of a rewrite. */
export type Rewrite = keyof typeof DEVIATIONS;

/** Tells whether a text is the name of a rewrite. */
export function isRewrite(text: string): text is Rewrite {
  return Object.hasOwn(DEVIATIONS, text);
}

/** What a normaliser asks and tells while it reads a request. */
export interface Rewriting {
  /** Whether the client may send this. */
  readonly allows: (rewrite: Rewrite) => boolean;
  /** Notes that the form was there; from a client that may not send it, this throws the error of the deviation. */
  readonly note: (rewrite: Rewrite) => void;
}
