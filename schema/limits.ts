import { fail } from './errors.ts';
import type { ErrorCode } from './errors.ts';

/** One limit: what may be at most, the code of what is beyond, and the sentence of the README's table. */
export interface LimitRow {
  readonly code: ErrorCode;
  readonly default: number;
  readonly what: string;
}

/** Every limit of a request, whoever sends it: far above what a screen needs, far below what hurts. */
export const LIMITS = {
  bodyBytes: { code: 'PAYLOAD_TOO_LARGE', default: 1024 * 1024, what: 'Bytes of a request body.' },
  headers: { code: 'TOO_MANY_HEADERS', default: 100, what: 'Headers of a request.' },
  batch: { code: 'BATCH_LIMIT_EXCEEDED', default: 10, what: 'Operations in one request.' },
  documentChars: { code: 'MAX_DOCUMENT_LIMIT', default: 100_000, what: 'Characters of a document, comments included.' },
  tokens: { code: 'MAX_TOKENS_LIMIT', default: 10_000, what: 'Tokens of a document.' },
  depth: { code: 'MAX_DEPTH_LIMIT', default: 15, what: 'Fields within fields; `{ a { b } }` is 2 deep.' },
  aliases: { code: 'MAX_ALIASES_LIMIT', default: 50, what: 'Aliased fields, those of a fragment at every spread.' },
  rootFields: { code: 'MAX_ROOT_FIELDS_LIMIT', default: 20, what: 'Fields of the root type, through fragments too.' },
  directives: { code: 'MAX_DIRECTIVES_LIMIT', default: 50, what: 'Directives in use, counted like aliases.' },
  fields: {
    code: 'MAX_FIELDS_LIMIT',
    default: 2_000,
    what: 'Fields of a document, those of a fragment at every spread.',
  },
  overlaps: {
    code: 'MAX_OVERLAPS_LIMIT',
    default: 5_000,
    what: 'Pairs of fields with one response key at one place; validation compares each pair.',
  },
  definitions: { code: 'MAX_DEFINITIONS_LIMIT', default: 100, what: 'Operations and fragments of a document.' },
  variables: { code: 'MAX_VARIABLES_LIMIT', default: 100, what: 'Variables that an operation declares.' },
  literals: { code: 'MAX_LITERALS_LIMIT', default: 1_000, what: 'Values written in arguments, those in lists too.' },
  operationName: { code: 'MAX_NAME_LIMIT', default: 256, what: 'Characters of the name of an operation.' },
  inputDepth: { code: 'MAX_INPUT_LIMIT', default: 32, what: 'Levels of lists and objects in the variables.' },
  inputValues: { code: 'MAX_INPUT_LIMIT', default: 20_000, what: 'Values in the variables of a request.' },
  responseBytes: { code: 'RESPONSE_TOO_LARGE', default: 16 * 1024 * 1024, what: 'Bytes of an answer.' },
} as const satisfies Record<string, LimitRow>;

/** The name of a limit, as LIMITS in the environment writes it. */
export type LimitName = keyof typeof LIMITS;

/** `enforce` refuses what is beyond the limit; `measure` lets it through and reports it. */
export type LimitMode = 'measure' | 'enforce';

/** One limit as it holds now. */
export interface Limit {
  readonly max: number;
  readonly mode: LimitMode;
}

/** All limits as they hold now. */
export type Limits = Readonly<Record<LimitName, Limit>>;

/** The table's limits, all enforced. */
export const DEFAULT_LIMITS: Limits = changedLimits([]);

/**
 * Returns the table's limits with what a text like `depth=20,aliases=measure` changes: a number is the maximum, `measure`
 * or `enforce` the mode; a limit may be named twice. Throws RangeError with one line that names the part it cannot read.
 */
export function parseLimits(text: string): Limits {
  return changedLimits(text.split(',').filter((part) => part.trim() !== ''));
}

/**
 * Returns whether more was found than the limit allows, in measure mode; in enforce mode that fails with the limit's
 * code.
 */
export function isBeyond(limits: Limits, name: LimitName, found: number): boolean {
  const { max, mode } = limits[name];
  if (found <= max) return false;
  if (mode === 'measure') return true;
  return fail(LIMITS[name].code, `${name}: ${found} of at most ${max}`, {
    hint: `It has ${found}, at most ${max} are allowed.`,
  });
}

function changedLimits(parts: readonly string[]): Limits {
  const limits = Object.fromEntries(
    Object.entries(LIMITS).map(([name, row]) => [name, { max: row.default, mode: 'enforce' }]),
  ) as Record<LimitName, { max: number; mode: LimitMode }>;
  for (const part of parts) {
    const [name = '', value = '', more] = part.split('=').map((one) => one.trim());
    if (!isLimitName(name))
      throw new RangeError(`"${part}": no such limit; there are ${Object.keys(LIMITS).join(', ')}`);
    if (more !== undefined) throw new RangeError(`"${part}": more than one "="`);
    if (value === 'measure' || value === 'enforce') limits[name].mode = value;
    else if (/^\d{1,12}$/.test(value)) limits[name].max = Number(value);
    else throw new RangeError(`"${part}": takes a whole number, measure or enforce`);
  }
  return limits;
}

function isLimitName(name: string): name is LimitName {
  return Object.hasOwn(LIMITS, name);
}
