import { isEnumType, isSpecifiedScalarType, type GraphQLLeafType } from 'graphql';

/** Returns the JSON text of a value that is not null; null where the type cannot hold it. */
export type LeafText = (value: unknown) => string | null;

/** Returns how values of a leaf type are written: built-in scalars as graphql-js serialises them, enums by their visible names alone. */
export function leafTextOf(type: GraphQLLeafType): LeafText {
  if (isEnumType(type)) {
    const texts = new Map<unknown, string>(type.getValues().map(({ name }) => [name, `"${name}"`]));
    return (value) => texts.get(value) ?? null;
  }
  if (!isSpecifiedScalarType(type)) return anyText;
  const slow = (value: unknown) => serialized(type, value);
  switch (type.name) {
    case 'Int':
      return (value) => (typeof value === 'number' && (value | 0) === value ? `${value}` : slow(value));
    case 'Float':
      return (value) => (typeof value === 'number' && Number.isFinite(value) ? `${value}` : slow(value));
    case 'Boolean':
      return (value) => (typeof value === 'boolean' ? (value ? 'true' : 'false') : slow(value));
    default:
      return (value) => (typeof value === 'string' ? quoted(value) : slow(value));
  }
}

/** Characters that JSON text spells otherwise than they are; lone surrogates among them. */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const ESCAPED = /[\u0000-\u001f"\\\ud800-\udfff]/;

/** Returns a string as JSON text. */
export function quoted(text: string): string {
  return ESCAPED.test(text) ? JSON.stringify(text) : `"${text}"`;
}

function anyText(value: unknown): string | null {
  if (typeof value === 'string') return quoted(value);
  const text: string | undefined = JSON.stringify(value);
  return text ?? null;
}

function serialized(type: GraphQLLeafType, value: unknown): string | null {
  try {
    return anyText(type.serialize(value));
  } catch {
    return null;
  }
}
