import { validateSync } from 'class-validator';
import type { ConnectionArgs } from '#kit/connection.ts';
import { mediaTypeOf } from '#kit/route-body.ts';
import type { RouteRequest } from '#kit/route.ts';
import { OUTCOMES, type AuditOutcome } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import { RequestEvidenceInput, EvidenceKindEnum } from './evidence-pack.ts';
import { AuditFilter } from './inputs.ts';

const FILTER_LISTS = ['actorId', 'action', 'resourceType', 'resourceId'] as const;
const FILTER_NAMES: readonly string[] = [...FILTER_LISTS, 'outcome', 'text', 'from', 'to'];
/** Parameters that may come several times: one of their values must fit. */
const REPEATED: ReadonlySet<string> = new Set([...FILTER_LISTS, 'outcome']);
const EVIDENCE_NAMES: readonly string[] = ['kind', 'from', 'to', 'subject'];
const DEFAULT_PAGE_SIZE = 20;
/** RFC 3339: a day, or a time with its zone, so that no server's own zone has a say. */
const TIME = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/;

/**
 * Returns the filter of a query string, under the names and rules of the graph; what is a list there is a parameter that
 * is repeated here. Any other that is repeated, or unknown, is BAD_USER_INPUT, since a filter that is passed over would
 * show more than was asked for.
 */
export function filterOf({ query }: RouteRequest): AuditFilter {
  const lists = listsOf(query);
  const filter = new AuditFilter();
  for (const name of FILTER_LISTS) {
    const values = lists.get(name);
    if (values !== undefined) filter[name] = values;
  }
  const outcomes = lists.get('outcome');
  if (outcomes !== undefined) filter.outcome = outcomes.map(outcomeOf);
  const { text, from, to } = textsOf(
    Object.fromEntries(Object.entries(query).filter(([name]) => !REPEATED.has(name))),
    FILTER_NAMES,
  );
  if (text !== undefined) filter.text = text;
  if (from !== undefined) filter.from = timeOf('from', from);
  if (to !== undefined) filter.to = timeOf('to', to);
  return requireValid(filter);
}

/** Returns the page that a query string asks for with `first` and `after`. */
export function pageArgsOf({ query }: RouteRequest): ConnectionArgs {
  const { first, after } = textsOf(query, ['first', 'after']);
  if (first !== undefined && !/^\d{1,4}$/.test(first)) refuse('"first" takes a number.');
  return { first: first === undefined ? DEFAULT_PAGE_SIZE : Number(first), after: after ?? null };
}

/** Returns the request for evidence inside a JSON body, under the rules of the graph. */
export function evidenceInputOf(req: RouteRequest): RequestEvidenceInput {
  const type = mediaTypeOf(req);
  if (type !== 'application/json')
    fail('UNSUPPORTED_MEDIA_TYPE', `content type ${type}`, { hint: 'It takes application/json.' });
  const { kind, from, to, subject } = textsOf(parseObject(req.body), EVIDENCE_NAMES);
  const kinds = Object.values(EvidenceKindEnum);
  const input = new RequestEvidenceInput();
  input.kind = kinds.find((known) => known === kind) ?? refuse(`"kind" takes ${kinds.join(', ')}.`);
  input.from = timeOf('from', from ?? '');
  input.to = timeOf('to', to ?? '');
  if (subject !== undefined) input.subject = subject;
  return requireValid(input);
}

function listsOf(query: RouteRequest['query']): Map<string, string[]> {
  const lists = new Map<string, string[]>();
  for (const [name, value] of Object.entries(query)) {
    if (!REPEATED.has(name) || value === undefined) continue;
    lists.set(name, Array.isArray(value) ? value : [value]);
  }
  return lists;
}

function outcomeOf(text: string): AuditOutcome {
  return OUTCOMES.find((known) => known === text) ?? refuse(`"outcome" takes ${OUTCOMES.join(', ')}.`);
}

/** Values are copied by known names alone, so that no name of a prototype can come along. */
function textsOf(
  values: Readonly<Record<string, unknown>>,
  known: readonly string[],
): Readonly<Record<string, string | undefined>> {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  for (const [name, value] of given) {
    if (!known.includes(name)) refuse(`It takes ${known.join(', ')} and nothing else.`);
    if (typeof value !== 'string') refuse(`"${name}" takes one text.`);
  }
  return Object.fromEntries(given) as Record<string, string>;
}

function parseObject(body: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch (cause) {
    return fail('BAD_REQUEST', 'the body is not JSON', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse('The body must be a JSON object.');
  return value as Record<string, unknown>;
}

function timeOf(name: string, text: string): Date {
  const time = new Date(TIME.test(text) ? text : Number.NaN);
  return Number.isNaN(time.getTime()) ? refuse(`"${name}" takes a day or a time with its zone (RFC 3339).`) : time;
}

function requireValid<T extends object>(input: T): T {
  const hints = validateSync(input).flatMap((fault) => Object.values(fault.constraints ?? {}));
  return hints.length === 0 ? input : refuse(`${hints.join('; ')}.`);
}

function refuse(hint: string): never {
  return fail('BAD_USER_INPUT', 'a parameter is refused', { hint });
}
