import { logError } from '#kit/log.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { resolved, withoutReferences, type BulkOperation, type BulkRequest } from './bulk-request.ts';
import { ENDPOINTS, type Endpoint } from './endpoints.ts';
import { loggedOperation } from './request-log.ts';
import { scimAddress } from './request.ts';
import type { ResourceAnswer } from './resource-answer.ts';
import { errorBody } from './resource.ts';
import type { ScimObject } from './schema.ts';

/**
 * Runs the operations of a bulk request (RFC 7644 section 3.7), each in a transaction of its own with its own audit
 * event, and returns a result for each that was tried, in the order of the request. One that refers to what another one
 * creates waits for that; where such references form a circle, somebody in it is created without them and completed
 * when the others are there. What refers to nothing that exists then is CONFLICT.
 */
export async function runBulk(ctx: RequestContext, { operations, failOnErrors }: BulkRequest): Promise<ScimObject> {
  const created = operations.filter(({ method }) => method === 'POST').map(({ bulkId }) => bulkId);
  const run: BulkRun = { ctx, pending: new Set(created.filter((id) => id !== undefined)), ids: new Map(), failures: 0 };
  const results = new Map<BulkOperation, ScimObject>();
  const incomplete: { operation: BulkOperation; id: string }[] = [];
  const waiting = [...operations];
  while (waiting.length > 0 && run.failures < failOnErrors) {
    const operation = takeNext(waiting, run);
    const isPartial = !isReady(operation, run);
    results.set(operation, await tryOperation(run, operation, isPartial));
    const id = operation.bulkId === undefined ? undefined : run.ids.get(operation.bulkId);
    if (isPartial && id !== undefined) incomplete.push({ operation, id });
  }
  for (const { operation, id } of incomplete) results.set(operation, await tryCompletion(run, operation, id));
  const Operations = operations.map((operation) => results.get(operation)).filter((result) => result !== undefined);
  return { schemas: ['urn:ietf:params:scim:api:messages:2.0:BulkResponse'], Operations };
}

interface BulkRun {
  readonly ctx: RequestContext;
  /** The bulkIds whose creation was not tried yet. */
  readonly pending: Set<string>;
  /** The ids of what was created, by bulkId. */
  readonly ids: Map<string, string>;
  failures: number;
}

function isReady({ references }: BulkOperation, { pending }: BulkRun): boolean {
  return [...references].every((bulkId) => !pending.has(bulkId));
}

/** The first that waits for nothing; where all do, a creation: whoever waits does so for one. */
function takeNext(waiting: BulkOperation[], run: BulkRun): BulkOperation {
  const ready = waiting.findIndex((operation) => isReady(operation, run));
  const index = ready >= 0 ? ready : waiting.findIndex(({ method }) => method === 'POST');
  const [next] = waiting.splice(Math.max(index, 0), 1);
  if (next === undefined) throw new Error('there is an operation left');
  return next;
}

async function tryOperation(run: BulkRun, operation: BulkOperation, isPartial: boolean): Promise<ScimObject> {
  const { method, bulkId } = operation;
  try {
    const { path, data } = isPartial
      ? { path: operation.path, data: withoutReferences(operation.data) }
      : resolvedOrRefused(run, operation);
    return await loggedOperation(run.ctx, { method, path }, (ctx) =>
      perform({ ...run, ctx }, operation, { path, data }),
    );
  } catch (error) {
    return failureOf(run, operation, error);
  } finally {
    if (method === 'POST' && bulkId !== undefined) run.pending.delete(bulkId);
  }
}

async function tryCompletion(run: BulkRun, operation: BulkOperation, id: string): Promise<ScimObject> {
  try {
    const { path, data } = resolvedOrRefused(run, operation);
    const { endpoint } = targetOf(path);
    return await loggedOperation(run.ctx, { method: 'PUT', path: `${endpoint.path}/${id}` }, async (ctx) => {
      const { etag } = await endpoint.replace(ctx, id, changeOf(run, data, undefined));
      return resultOf(operation, { status: 201, etag, location: locationOf(run, endpoint, id) });
    });
  } catch (error) {
    return failureOf(run, operation, error);
  }
}

function resolvedOrRefused({ ids }: BulkRun, operation: BulkOperation): Pick<BulkOperation, 'path' | 'data'> {
  const missing = [...operation.references].find((bulkId) => !ids.has(bulkId));
  if (missing === undefined) return resolved(operation, ids);
  return fail('CONFLICT', 'unresolved bulkId', { hint: `"bulkId:${missing.slice(0, 100)}" was not created.` });
}

async function perform(
  run: BulkRun,
  operation: BulkOperation,
  { path, data }: Pick<BulkOperation, 'path' | 'data'>,
): Promise<ScimObject> {
  const { endpoint, id } = targetOf(path);
  const { method, version, bulkId } = operation;
  if (method === 'POST') {
    if (id !== null) fail('METHOD_NOT_ALLOWED', 'POST to a resource');
    if (bulkId === undefined) fail('BAD_REQUEST', 'POST without bulkId', { hint: 'A POST needs a "bulkId".' });
    const { id: made, etag } = await endpoint.create(run.ctx, changeOf(run, data, version));
    run.ids.set(bulkId, made);
    return resultOf(operation, { status: 201, etag, location: locationOf(run, endpoint, made) });
  }
  if (id === null) return fail('METHOD_NOT_ALLOWED', `${method} to an endpoint`);
  const location = locationOf(run, endpoint, id);
  if (method === 'DELETE') {
    await endpoint.remove(run.ctx, id, { ifMatch: version });
    return resultOf(operation, { status: 204, location });
  }
  const act: Endpoint['replace'] = method === 'PUT' ? endpoint.replace : endpoint.patch;
  const { etag }: ResourceAnswer = await act(run.ctx, id, changeOf(run, data, version));
  return resultOf(operation, { status: 200, etag, location });
}

/** Of the outcome only the id is wanted: the members of a large group would be read for nothing. */
function changeOf({ ctx }: BulkRun, body: unknown, ifMatch: string | undefined) {
  return { body, view: { baseUrl: scimAddress(ctx), attributes: 'id' }, conditions: { ifMatch } };
}

function targetOf(path: string): { endpoint: Endpoint; id: string | null } {
  const [, place, id, ...rest] = path.split('/');
  const endpoint = ENDPOINTS.find((known) => known.path === `/${place}`);
  if (endpoint === undefined || !path.startsWith('/') || rest.length > 0 || id === '') {
    return fail('NOT_FOUND', 'no such bulk path', { hint: 'A path is such as /Users or /Users/<id>.' });
  }
  return { endpoint, id: id ?? null };
}

function locationOf({ ctx }: BulkRun, { path }: Endpoint, id: string): string {
  return `${scimAddress(ctx)}${path}/${id}`;
}

interface Outcome {
  readonly status: number;
  readonly etag?: string;
  readonly location?: string;
  readonly response?: ScimObject;
}

function resultOf({ method, bulkId }: BulkOperation, { status, etag, location, response }: Outcome): ScimObject {
  return {
    method,
    ...(bulkId !== undefined && { bulkId }),
    ...(etag !== undefined && { version: etag }),
    ...(location !== undefined && { location }),
    status: String(status),
    ...(response !== undefined && { response }),
  };
}

/** RFC 7644 section 3.7.3: a failed result names where it was to happen, except for what was not created. */
function failureOf(run: BulkRun, operation: BulkOperation, thrown: unknown): ScimObject {
  const error = asTenonError(thrown);
  if (run.ctx.signal?.aborted === true) throw error;
  if (error.status >= 500) logError(error, run.ctx.tenant.requestId);
  run.failures += 1;
  const location = operation.method === 'POST' ? {} : { location: `${scimAddress(run.ctx)}${operation.path}` };
  return resultOf(operation, { status: error.status, response: errorBody(error), ...location });
}
