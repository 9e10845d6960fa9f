import { Big } from 'big.js';
import { fail } from '#schema/errors.ts';

/** A longer number is no quantity, and looking at it exactly would cost more than it is worth. */
const NUMBER_MAX_LENGTH = 40;
/** JSON for a number that no double holds: it is read as Infinity. */
const NO_NUMBER = '1e999';

/**
 * Parses a JSON text whose numbers must not change on the way: one that a double cannot hold exactly, such as
 * 9007199254740993, comes out as Infinity, which no check of a quantity lets pass. Text that is not JSON is
 * BAD_REQUEST and named in the hint as `name`. Hostile input enters here; the caller bounds its length.
 */
export function parseExactJson(text: string, name: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    const spots = inexactNumbers(text);
    return spots.length === 0 ? value : JSON.parse(withoutNumbers(text, spots));
  } catch (cause) {
    return fail('BAD_REQUEST', 'the text is not JSON', { hint: `${name} is not JSON.`, cause });
  }
}

interface Spot {
  readonly start: number;
  readonly end: number;
}

/** Walks over a text that is known to be JSON, so a quote opens a string and a digit outside of one starts a number. */
function inexactNumbers(text: string): Spot[] {
  const spots: Spot[] = [];
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '"') at = endOfString(text, at);
    else if (char === '-' || isDigit(char)) {
      const end = endOfNumber(text, at);
      if (!isExact(text.slice(at, end))) spots.push({ start: at, end });
      at = end - 1;
    }
  }
  return spots;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text.charAt(at) !== '"') at += text.charAt(at) === '\\' ? 2 : 1;
  return at;
}

function endOfNumber(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && '0123456789.eE+-'.includes(text.charAt(at))) at++;
  return at;
}

function isDigit(char: string): boolean {
  return char >= '0' && char <= '9';
}

function isExact(token: string): boolean {
  const number = Number(token);
  return token.length <= NUMBER_MAX_LENGTH && Number.isFinite(number) && new Big(token).eq(String(number));
}

function withoutNumbers(text: string, spots: readonly Spot[]): string {
  let rest = 0;
  let result = '';
  for (const { start, end } of spots) {
    result += text.slice(rest, start) + NO_NUMBER;
    rest = end;
  }
  return result + text.slice(rest);
}
