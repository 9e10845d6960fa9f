import { Big } from 'big.js';
import { GraphQLError, GraphQLScalarType, Kind, print } from 'graphql';

/** Longer than any amount or quantity of ours; bounds the work a hostile text can ask for. */
const DECIMAL_TEXT = /^-?\d{1,40}(\.\d{1,40})?$/;
/** Every decimal of so many significant digits survives the way into a double and back (DBL_DIG of IEEE 754). */
const EXACT_DIGITS = 15;

/**
 * Returns the plain text of a decimal, without exponent, leading or trailing zeros: `'12.50'`, `'12.5'` and `12.5` all
 * yield `'12.5'`. Null for anything else: exponents in text, integers beyond 2^53 as numbers, infinities, NaN.
 */
export function decimalText(value: unknown): string | null {
  if (typeof value === 'string') return DECIMAL_TEXT.test(value) ? plain(value) : null;
  if (typeof value !== 'number' || !Number.isFinite(value)) return null;
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? null : plain(String(value));
}

/** A decimal number as text, exact at any size: GraphQL's Float is binary and its Int ends at 2^31. */
export const Decimal = new GraphQLScalarType<string, string>({
  name: 'Decimal',
  description:
    'An exact decimal number, written as a string such as "44.209873". Input may also be a JSON number of at most 15 significant digits.',
  serialize: (value) => decimalText(value) ?? refuse(value),
  parseValue: (value) =>
    typeof value === 'number' && isDoubtful(value) ? refuse(value) : (decimalText(value) ?? refuse(value)),
  parseLiteral: (node) => {
    const isText = node.kind === Kind.STRING || node.kind === Kind.INT || node.kind === Kind.FLOAT;
    return (isText ? decimalText(node.value) : null) ?? refuse(print(node));
  },
});

/** The text of a number in variables is gone when it gets here: only few digits prove that nothing was rounded away. */
function isDoubtful(value: number): boolean {
  if (Number.isInteger(value)) return !Number.isSafeInteger(value);
  return value.toExponential().replace(/e.*$/, '').replace(/\D/g, '').length > EXACT_DIGITS;
}

function plain(text: string): string {
  const number = new Big(text);
  // Minus zero would be another text for the same number.
  return number.eq(0) ? '0' : number.toFixed();
}

function refuse(value: unknown): never {
  const shown =
    typeof value === 'string' || typeof value === 'number' ? JSON.stringify(value).slice(0, 60) : typeof value;
  throw new GraphQLError(`Decimal takes a decimal number as a string, not ${shown}`);
}
