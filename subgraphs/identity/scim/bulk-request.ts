import { fail } from '#schema/errors.ts';
import { boundedBody, isObject, memberOf, refuse } from './value.ts';

/** Bounds of a bulk request, as ServiceProviderConfig tells them. */
export const BULK_LIMITS = { operations: 1000, bytes: 1_048_576 } as const;

/** One operation of a bulk request; its path and data are yet to be understood. */
export interface BulkOperation {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  /** The name under which others of the request refer to what it creates. */
  readonly bulkId: string | undefined;
  /** Entity tag of the version that it is meant for. */
  readonly version: string | undefined;
  readonly data: unknown;
  /** The bulkIds in path and data. */
  readonly references: ReadonlySet<string>;
}

/** A bulk request (RFC 7644 section 3.7). */
export interface BulkRequest {
  readonly operations: readonly BulkOperation[];
  /** After so many failures nothing more is tried. */
  readonly failOnErrors: number;
}

const BULK_URN = 'urn:ietf:params:scim:api:messages:2.0:bulkrequest';
const METHODS = ['POST', 'PUT', 'PATCH', 'DELETE'] as const;
const REFERENCE = /^bulkId:([^"\\]{1,256})$/;
/** In the filter of a PATCH path. */
const QUOTED_REFERENCE = /"bulkId:([^"\\]{1,256})"/g;
const IN_PATH = /^(\/[^/]+\/)bulkId:([^/]{1,256})$/;

/**
 * Returns the operations of a bulk body. Hostile input enters here. More than 1000 operations are PAYLOAD_TOO_LARGE; a
 * body of another form, or a bulkId that two operations have, is BAD_REQUEST.
 */
export function readBulkRequest(body: unknown): BulkRequest {
  const message = boundedBody(body);
  const schemas = memberOf(message, 'schemas');
  const isBulk = Array.isArray(schemas) && schemas.some((urn) => String(urn).toLowerCase() === BULK_URN);
  if (schemas !== undefined && !isBulk) malformed('"schemas" has to name the BulkRequest message.');
  const raw = memberOf(message, 'Operations');
  if (!Array.isArray(raw) || raw.length === 0) return malformed('At least one operation is expected.');
  if (raw.length > BULK_LIMITS.operations) {
    fail('PAYLOAD_TOO_LARGE', 'too many bulk operations', {
      hint: `At most ${BULK_LIMITS.operations} operations are taken (maxOperations).`,
    });
  }
  const operations = raw.map(readOperation);
  const named = operations.map(({ bulkId }) => bulkId).filter((bulkId) => bulkId !== undefined);
  if (new Set(named).size < named.length) malformed('Two operations have the same "bulkId".');
  return { operations, failOnErrors: readFailOnErrors(memberOf(message, 'failOnErrors')) };
}

/** Returns path and data with the ids that its references stand for; a reference without one stays as it is. */
export function resolved(
  { path, data }: BulkOperation,
  ids: ReadonlyMap<string, string>,
): Pick<BulkOperation, 'path' | 'data'> {
  const idOf = (whole: string, bulkId: string): string => ids.get(bulkId) ?? whole;
  const pathId = IN_PATH.exec(path)?.[2];
  const target = pathId === undefined ? undefined : ids.get(pathId);
  return {
    path: target === undefined ? path : path.replace(IN_PATH, (_, start: string) => `${start}${target}`),
    data: mapTexts(data, (text, key) => {
      const whole = text.replace(REFERENCE, idOf);
      return key === 'path'
        ? whole.replaceAll(QUOTED_REFERENCE, (all, id: string) => `"${idOf(all.slice(1, -1), id)}"`)
        : whole;
    }),
  };
}

/** Returns the data without the values that refer to something, so that a circle can be broken at this operation. */
export function withoutReferences(data: unknown): unknown {
  if (Array.isArray(data)) return data.filter((part) => !isReference(part)).map(withoutReferences);
  if (!isObject(data)) return data;
  const kept = Object.entries(data).filter(([, part]) => !isReference(part));
  return Object.fromEntries(kept.map(([name, part]) => [name, withoutReferences(part)]));
}

/** A reference, or an element that stands for one. */
function isReference(value: unknown): boolean {
  if (typeof value === 'string') return REFERENCE.test(value);
  if (Array.isArray(value) && value.length > 0) return value.every(isReference);
  return isObject(value) && isReference(memberOf(value, 'value'));
}

function readOperation(operation: unknown): BulkOperation {
  if (!isObject(operation)) return malformed('An operation is an object.');
  const given = memberOf(operation, 'method');
  const word = typeof given === 'string' ? given.toUpperCase() : '';
  const method = METHODS.find((known) => known === word) ?? malformed('"method" is POST, PUT, PATCH or DELETE.');
  const path = textIn(operation, 'path') ?? malformed('An operation needs a "path".');
  const data = memberOf(operation, 'data');
  return {
    method,
    path,
    bulkId: textIn(operation, 'bulkId'),
    version: textIn(operation, 'version'),
    data,
    references: referencesIn(path, data),
  };
}

function referencesIn(path: string, data: unknown): Set<string> {
  const found = new Set<string>();
  const note = (bulkId: string | undefined): void => {
    if (bulkId !== undefined) found.add(bulkId);
  };
  note(IN_PATH.exec(path)?.[2]);
  mapTexts(data, (text, key) => {
    note(REFERENCE.exec(text)?.[1]);
    if (key === 'path') for (const [, bulkId] of text.matchAll(QUOTED_REFERENCE)) note(bulkId);
    return text;
  });
  return found;
}

/** The nesting was bounded when the body was read. */
function mapTexts(value: unknown, change: (text: string, key: string) => string, key = ''): unknown {
  if (typeof value === 'string') return change(value, key);
  if (Array.isArray(value)) return value.map((part) => mapTexts(part, change, key));
  if (!isObject(value)) return value;
  const parts = Object.entries(value).map(
    ([name, part]) => [name, mapTexts(part, change, name.toLowerCase())] as const,
  );
  return Object.fromEntries(parts);
}

function textIn(operation: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = memberOf(operation, name) ?? undefined;
  if (value === undefined) return undefined;
  return typeof value === 'string' && value.length <= 512 ? value : malformed(`"${name}" takes text.`);
}

function readFailOnErrors(value: unknown): number {
  if (value === undefined || value === null) return Number.POSITIVE_INFINITY;
  const isCount = typeof value === 'number' && Number.isInteger(value) && value >= 1;
  return isCount ? value : refuse('"failOnErrors" takes a whole number from 1.');
}

function malformed(hint: string): never {
  fail('BAD_REQUEST', 'SCIM bulk request malformed', { hint });
}
