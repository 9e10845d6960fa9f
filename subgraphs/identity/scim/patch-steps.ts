import { TenonError, fail } from '#schema/errors.ts';
import { parsePath } from './filter.ts';
import type { Filter, PatchPath } from './filter.ts';
import type { AttributeReference, ResourceType, Schema } from './schema.ts';
import { boundedBody, isObject, memberOf, refuse } from './value.ts';

/**
 * How a provisioning client is to be understood where its requests leave room: `strict` follows RFC 7644 to the
 * letter; `okta` and `entra` pass over names this service does not know and readOnly ones in an operation without a
 * path, so that a deactivation never fails over an attribute beside it; `entra` also creates what a replace selects
 * in vain.
 */
export type Profile = 'strict' | 'okta' | 'entra';

/** One operation of a PATCH request. */
export interface PatchOperation {
  readonly op: 'add' | 'replace' | 'remove';
  readonly path?: string;
  readonly value?: unknown;
}

/** How operations are read: for which kind of resource and which client. */
export interface PatchContext {
  readonly type: ResourceType;
  readonly profile: Profile;
}

/** One change of one attribute: what an operation comes down to. */
export interface PatchStep {
  readonly op: PatchOperation['op'];
  readonly target: AttributeReference;
  /** Selects elements of a multi-valued attribute. */
  readonly filter?: Filter;
  readonly value: unknown;
  /** Set where the attribute was named by a key of the value and not by the path. */
  readonly implicit: boolean;
}

/** The steps of a request, and the names in it that were passed over. */
export interface PatchSteps {
  readonly steps: readonly PatchStep[];
  readonly ignored: readonly string[];
}

/** The most operations that one request takes. */
const MAX_OPERATIONS = 1000;

/** The most names that one request changes: names differ by case alone too, so the schemas set no bound. */
const MAX_NAMES = 2000;

/** Of all paths together: a filter runs over each element, so that 1000 long ones would hold up everybody else. */
const MAX_PATH_CHARACTERS = 131_072;

const PATCH_URN = 'urn:ietf:params:scim:api:messages:2.0:patchop';

/**
 * Returns the operations of a PATCH body (RFC 7644 section 3.5.2). Hostile input enters here. Keys and the name of
 * the operation may be in any case. A body of another shape, or without any operation, is BAD_REQUEST; more than
 * 1000 are TOO_MANY.
 */
export function readOperations(body: unknown): PatchOperation[] {
  const message = boundedBody(body);
  const schemas = memberOf(message, 'schemas');
  if (schemas !== undefined && !isPatchMessage(schemas)) malformed('"schemas" has to name the PatchOp message.');
  const operations = memberOf(message, 'Operations');
  if (!Array.isArray(operations) || operations.length === 0) return malformed('At least one operation is expected.');
  if (operations.length > MAX_OPERATIONS) {
    fail('TOO_MANY', 'too many PATCH operations', { hint: `At most ${MAX_OPERATIONS} operations are taken.` });
  }
  return operations.map(readOperation);
}

/**
 * Returns the steps that operations come down to: one for a path, one for each key of the value where there is no path
 * or the path is the URN of a schema. The keys may be plain, dotted or behind a URN. An unknown path is INVALID_PATH;
 * so is an unknown key in the `strict` profile, while the others report it as ignored.
 */
export function stepsOf(operations: readonly PatchOperation[], context: PatchContext): PatchSteps {
  const found: FoundSteps = { steps: [], ignored: [] };
  const pathCharacters = operations.reduce((sum, { path }) => sum + (path?.length ?? 0), 0);
  if (pathCharacters > MAX_PATH_CHARACTERS) {
    fail('TOO_MANY', 'paths of a PATCH too long', { hint: `Paths take at most ${MAX_PATH_CHARACTERS} characters.` });
  }
  for (const operation of operations) {
    collect(operation, context, found);
    if (found.steps.length + found.ignored.length > MAX_NAMES) {
      fail('TOO_MANY', 'too many names in a PATCH', { hint: `At most ${MAX_NAMES} attributes are taken.` });
    }
  }
  return found;
}

interface FoundSteps {
  readonly steps: PatchStep[];
  readonly ignored: string[];
}

function collect(operation: PatchOperation, context: PatchContext, found: FoundSteps): void {
  const { op, path, value } = operation;
  const parsed = path === undefined ? undefined : parsePath(path, context.type);
  if (parsed?.kind === 'attribute') {
    found.steps.push(stepOf({ op, value, implicit: false }, parsed));
  } else if (op !== 'remove') {
    collectObject({ op, value, schema: parsed?.schema }, context, found);
  } else if (parsed === undefined) {
    fail('NO_TARGET', 'remove without path', { hint: 'A remove needs a path.' });
  } else {
    collectRemoval(parsed.schema, context, found);
  }
}

function readOperation(operation: unknown): PatchOperation {
  if (!isObject(operation)) return malformed('An operation is an object.');
  const name = memberOf(operation, 'op');
  const op = typeof name === 'string' ? name.toLowerCase() : '';
  if (op !== 'add' && op !== 'replace' && op !== 'remove') return malformed('"op" is one of add, replace, remove.');
  const path = memberOf(operation, 'path') ?? undefined;
  if (path !== undefined && typeof path !== 'string') return malformed('"path" takes text.');
  const value = memberOf(operation, 'value');
  if (value === undefined && op !== 'remove') return malformed(`"${op}" needs a value.`);
  return { op, value, ...(path !== undefined && path !== '' && { path }) };
}

function isPatchMessage(schemas: unknown): boolean {
  return Array.isArray(schemas) && schemas.some((urn) => typeof urn === 'string' && urn.toLowerCase() === PATCH_URN);
}

function malformed(hint: string): never {
  fail('BAD_REQUEST', 'SCIM PATCH malformed', { hint });
}

function stepOf(
  change: Pick<PatchStep, 'op' | 'value' | 'implicit'>,
  { target, filter }: Extract<PatchPath, { kind: 'attribute' }>,
): PatchStep {
  return { ...change, target, ...(filter !== undefined && { filter }) };
}

interface ObjectChange {
  readonly op: PatchOperation['op'];
  readonly value: unknown;
  /** The schema whose attributes the keys are; undefined at the top. */
  readonly schema: Schema | undefined;
}

function collectObject({ op, value, schema }: ObjectChange, context: PatchContext, found: FoundSteps): void {
  const parts = isObject(value) ? Object.entries(value) : undefined;
  if (parts === undefined || parts.length > MAX_NAMES) {
    return refuse(`Without a path to an attribute, an object of at most ${MAX_NAMES} attributes is expected.`);
  }
  for (const [key, part] of parts) {
    const path = pathOfKey(schema === undefined ? key : `${schema.id}:${key}`, context);
    if (path === undefined) {
      found.ignored.push(key.slice(0, 200));
    } else if (path.kind === 'attribute') {
      found.steps.push(stepOf({ op, value: part, implicit: true }, path));
    } else if (part !== null) {
      collectObject({ op, value: part, schema: path.schema }, context, found);
    }
  }
}

/** A key with a value filter is a path that somebody wrote on purpose, so it is never passed over. */
function pathOfKey(key: string, { type, profile }: PatchContext): PatchPath | undefined {
  try {
    return parsePath(key, type);
  } catch (error) {
    const unknown = error instanceof TenonError && error.code === 'INVALID_PATH' && !key.includes('[');
    if (unknown && profile !== 'strict') return undefined;
    throw error;
  }
}

function collectRemoval(schema: Schema, { type }: PatchContext, found: FoundSteps): void {
  if (schema === type.schema) {
    fail('MUTABILITY', 'remove of the core schema', { hint: 'The core schema cannot be removed.' });
  }
  for (const attribute of schema.attributes) {
    const target = { attribute, extension: schema.id };
    found.steps.push({ op: 'remove', target, value: undefined, implicit: false });
  }
}
