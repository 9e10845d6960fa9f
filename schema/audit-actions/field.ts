import type { IdPrefix } from '#schema/ids.ts';

/** Whose data a personal value is. */
export type PersonalSubject =
  /** Whoever did it. */
  | 'actor'
  /** The user whom the event is about. */
  | 'resource'
  /** Somebody without an account: the key of the tenant seals it. */
  | 'tenant'
  /** The user whom this field of the context names. */
  | `context.${string}`;

/** What a value may be. */
export type FieldType =
  | { readonly type: 'text'; readonly maxLength: number }
  | { readonly type: 'id'; readonly prefixes: readonly IdPrefix[] }
  | { readonly type: 'choice'; readonly values: readonly string[] }
  | { readonly type: 'count' }
  | { readonly type: 'number' }
  | { readonly type: 'flag' }
  | { readonly type: 'time' }
  | { readonly type: 'hash' }
  | { readonly type: 'list'; readonly of: FieldType; readonly maxItems: number }
  | { readonly type: 'object'; readonly fields: Fields };

/** One field of a context, or of an object in it. */
export type Field = FieldType & {
  /** May be left out. */
  readonly optional?: true;
  readonly nullable?: true;
  /** For a field of the context itself: the value is sealed with the key of this subject. */
  readonly personal?: PersonalSubject;
};

/** Fields by their names, which are of the form a_name. */
export type Fields = Readonly<Record<string, Field>>;

/** Text of at most so many characters (Unicode code points, as JSON Schema counts them). */
export function text(maxLength: number): FieldType {
  return { type: 'text', maxLength };
}

/** A public id with one of the prefixes. */
export function id(...prefixes: readonly IdPrefix[]): FieldType {
  return { type: 'id', prefixes };
}

/** One of the texts. */
export function choice(...values: readonly string[]): FieldType {
  return { type: 'choice', values };
}

/** A list of at most so many values. */
export function list(of: FieldType, maxItems: number): FieldType {
  return { type: 'list', of, maxItems };
}

/** An object of exactly these fields. */
export function object(fields: Fields): FieldType {
  return { type: 'object', fields };
}

/** An integer from 0 to 2^53 - 1. */
export const count: FieldType = { type: 'count' };

/** A finite number, 0 or more. */
export const number: FieldType = { type: 'number' };

/** True or false. */
export const flag: FieldType = { type: 'flag' };

/** RFC 3339 in UTC with `Z`, to the millisecond. */
export const time: FieldType = { type: 'time' };

/** SHA-256 as 64 lower-case hex digits. */
export const hash: FieldType = { type: 'hash' };

/** A field that may be left out. */
export function optional<F extends Field>(field: F): F & { readonly optional: true } {
  return { ...field, optional: true };
}

/** A field that may be null. */
export function nullable<F extends Field>(field: F): F & { readonly nullable: true } {
  return { ...field, nullable: true };
}

/** A field of the context that holds personal data of the subject. */
export function personal<F extends Field>(
  subject: PersonalSubject,
  field: F,
): F & { readonly personal: PersonalSubject } {
  return { ...field, personal: subject };
}
