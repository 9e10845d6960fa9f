import { FILTER_LIMITS } from './filter.ts';
import { booleanIn } from './normaliser-value.ts';
import type { Rewriting } from './rewrites.ts';
import { attributeNamed, findAttribute, valueOf } from './schema.ts';
import type { Attribute, ResourceType } from './schema.ts';
import { numberOf } from './value.ts';

/** A text, a bracket, a word, or spaces: together they are every filter that can be parsed. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[()[\]]|[^\s()[\]"]+|\s+/gy;
const OPERATORS: ReadonlySet<string> = new Set(['eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le']);
/** What JSON knows without quotes; RFC 7644 section 3.4.2.2 takes it from there. */
const JSON_WORDS: ReadonlySet<string> = new Set(['true', 'false', 'null']);

/**
 * Returns a filter, or a path with filters in it, in the form of RFC 7644: literals have the type of their attribute, and
 * what stands behind brackets stands between them. Takes time linear in the length; what cannot be understood stays for
 * the parser to refuse.
 */
export function normaliseFilter(text: string, type: ResourceType, rewriting: Rewriting): string {
  if (text.length > FILTER_LIMITS.characters) return text;
  const tokens = text.match(TOKEN) ?? [];
  if (tokens.join('') !== text) return text;
  const walk: Walk = { tokens, out: [], type, rewriting, opened: [] };
  for (let at = 0; at < tokens.length;) at = step(walk, at);
  return walk.out.join('');
}

interface Walk {
  readonly tokens: readonly string[];
  readonly out: string[];
  readonly type: ResourceType;
  readonly rewriting: Rewriting;
  /** The brackets around: where they stand in `out`, and whose elements they select. */
  readonly opened: { readonly at: number; readonly attribute: Attribute | undefined }[];
}

/** Returns where the next step begins. */
function step(walk: Walk, at: number): number {
  const { tokens, out, opened } = walk;
  const token = tokens[at] ?? '';
  if (token === '[') {
    opened.push({ at: out.length, attribute: named(walk, tokens[at - 1] ?? '') });
  } else if (token === ']') {
    return closeBracket(walk, at);
  } else if (isComparison(tokens, at)) {
    out.push(...comparison(walk, { attribute: named(walk, token), at }));
    return at + 5;
  }
  out.push(token);
  return at + 1;
}

/** Name, space, operator, space, literal. */
function isComparison(tokens: readonly string[], at: number): boolean {
  const [, before = '', operator = '', behind = '', literal = ''] = tokens.slice(at, at + 5);
  const isLiteral = literal !== '' && !/^[\s()[\]]/.test(literal);
  return isSpace(before) && OPERATORS.has(operator.toLowerCase()) && isSpace(behind) && isLiteral;
}

function isSpace(token: string): boolean {
  return /^ +$/.test(token);
}

function named({ type, opened }: Walk, name: string): Attribute | undefined {
  const scope = opened.at(-1);
  if (scope !== undefined) return attributeNamed(scope.attribute?.subAttributes, name);
  const target = findAttribute(type, name);
  return target?.sub ?? target?.attribute;
}

function comparison(walk: Walk, { attribute, at }: { attribute: Attribute | undefined; at: number }): string[] {
  const [name = '', before = '', operator = '', behind = '', literal = ''] = walk.tokens.slice(at, at + 5);
  return [name, before, operator, behind, normaliseLiteral(walk.rewriting, attribute, literal)];
}

function normaliseLiteral({ note }: Rewriting, attribute: Attribute | undefined, literal: string): string {
  // A complex attribute is compared by its value.
  const compared = attribute?.type === 'complex' ? valueOf(attribute) : attribute;
  if (compared === undefined) return literal;
  if (compared.type === 'boolean') {
    const boolean = booleanIn(literal.replace(/^"(.*)"$/, '$1'));
    if (boolean === undefined || literal === String(boolean)) return literal;
    note('string_boolean');
    return String(boolean);
  }
  const isNumber = compared.type === 'integer' || compared.type === 'decimal';
  if (literal.startsWith('"') || JSON_WORDS.has(literal) || isNumber) return literal;
  // A number is JSON; and of a text without quotes nobody knows where it was to end, unless it is a word.
  if (numberOf(literal) !== undefined || !/^[\w@.+:/-]+$/.test(literal)) return literal;
  note('unquoted_literal');
  return JSON.stringify(literal);
}

/** `emails[type eq "work"].value eq "x"` becomes `emails[type eq "work" and value eq "x"]`. */
function closeBracket(walk: Walk, at: number): number {
  const { tokens, out, opened } = walk;
  const begun = opened.at(-1);
  const behind = tokens[at + 1] ?? '';
  const isCompared = begun !== undefined && behind.startsWith('.') && isComparison(tokens, at + 1);
  if (!isCompared) {
    opened.pop();
    out.push(']');
    return at + 1;
  }
  walk.rewriting.note('element_sub_filter');
  const name = behind.slice(1);
  const [, ...rest] = comparison(walk, { attribute: named(walk, name), at: at + 1 });
  opened.pop();
  const isAlternative = out.slice(begun.at).some((token) => token.toLowerCase() === 'or');
  if (isAlternative) {
    out.splice(begun.at + 1, 0, '(');
    out.push(')');
  }
  out.push(' and ', name, ...rest, ']');
  return at + 6;
}
