import { LRUCache } from 'lru-cache';
import { inTenant, inTenantOnce, type TenantScope, type TenantTransaction } from '#kit/database.ts';
import { logError } from '#kit/log.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { RouteResponse, TenantRoute } from '#kit/route.ts';
import { asTenonError, fail, type TenonError } from '#schema/errors.ts';
import { isId, mintId, uuidOf, type Id } from '#schema/ids.ts';
import { connectionOfToken, type ScimConnection } from './connection.ts';
import { exchangeOf, openExchange, type Exchange } from './exchange.ts';
import type { ScimObject } from './schema.ts';

/** How many requests of a connection are kept, and for how long; it is trimmed at every hundredth. */
export const LOG_LIMITS = { requests: 10_000, days: 30, trimmedAt: 100 } as const;

/** Written beside the answers; beyond so many at once further ones are lost, since nobody may wait for a log. */
const MAX_PENDING = 200;
const MAX_CONNECTIONS = 10_000;
const MAX_ATTRIBUTES = 100;
const DAY_MS = 86_400_000;

/**
 * Returns the door with its requests written down: what was asked, how it was read, what changed and why it was refused,
 * without any value. They are written behind the answer, in a transaction of their own, so that refused ones are there
 * and no answer waits; what a change was is in the audit log in any case. A disabled connection is FORBIDDEN.
 */
export function loggedRoute(route: TenantRoute): TenantRoute {
  return {
    ...route,
    handle: async (ctx, req) => {
      const connection = await connectionOfToken(ctx);
      const exchange = openExchange(ctx, { connection, resourceId: resourceIdIn(req.params['id'] ?? '') });
      const request = {
        ctx,
        exchange,
        method: route.method,
        path: templateOf(route.path),
        startedMs: performance.now(),
      };
      try {
        requireActive(connection);
        const response = await route.handle(ctx, req);
        writeDown({ ...request, outcome: response });
        return response;
      } catch (error) {
        writeDown({ ...request, outcome: asTenonError(error) });
        throw error;
      }
    },
  };
}

/** Runs one operation of a bulk request as a request of its own: it is read, audited and written down by itself. */
export async function loggedOperation(
  bulk: RequestContext,
  { method, path }: { readonly method: TenantRoute['method']; readonly path: string },
  work: (ctx: RequestContext) => Promise<ScimObject>,
): Promise<ScimObject> {
  const ctx = { ...bulk };
  const [, place = '', id = ''] = path.split('/');
  const exchange = openExchange(ctx, { connection: exchangeOf(bulk).connection, resourceId: resourceIdIn(id) });
  const template = `/${place.slice(0, 50)}${id === '' ? '' : '/:id'}`;
  const request = { ctx, exchange, method, path: template, startedMs: performance.now() };
  try {
    const result = await work(ctx);
    writeDown({ ...request, outcome: { status: Number(result['status']) } });
    return result;
  } catch (error) {
    writeDown({ ...request, outcome: asTenonError(error) });
    throw error;
  }
}

/** Resolves once every request that was answered before is written down, or has failed to be. */
export async function requestLogSettled(): Promise<void> {
  await Promise.all(pending);
}

const pending = new Set<Promise<void>>();
/** Requests written down by this process since the log of a connection was trimmed. */
const sinceTrim = new LRUCache<string, number>({ max: MAX_CONNECTIONS });

/** A request that has been answered. */
export interface AnsweredRequest {
  readonly ctx: RequestContext;
  readonly exchange: Exchange;
  readonly method: TenantRoute['method'];
  /** The address with `:id` in place of ids. */
  readonly path: string;
  readonly startedMs: number;
  readonly outcome: Pick<RouteResponse, 'status'> | TenonError;
}

/** Writes a request down while its sender has her answer; one without a connection leaves nothing. */
export function writeDown({ exchange, ...request }: AnsweredRequest): void {
  const { connection } = exchange;
  if (connection === null || pending.size >= MAX_PENDING) return;
  const { tenant, databases } = request.ctx;
  // Without the signal of the request: that one is aborted as soon as the answer has left.
  const scope = { tenant, databases };
  const write = insert(scope, { ...request, exchange, connection })
    .catch((error: unknown) => logError(asTenonError(error), tenant.requestId))
    .finally(() => pending.delete(write));
  pending.add(write);
}

function requireActive(connection: ScimConnection | null): void {
  if (connection?.state === 'disabled')
    fail('FORBIDDEN', 'the SCIM connection is disabled', { hint: 'The connection of this token is disabled.' });
}

function resourceIdIn(id: string): string | null {
  return isId('usr', id) || isId('grp', id) ? id : null;
}

function templateOf(path: string): string {
  const below = path.replace('/scim/v2', '');
  return below === '' ? '/' : below;
}

type Query = Pick<TenantTransaction, 'query'>;

async function insert(
  scope: TenantScope,
  request: AnsweredRequest & { readonly connection: ScimConnection },
): Promise<void> {
  const values = valuesOf(request);
  const { connection } = request;
  const written = sinceTrim.get(connection.id) ?? LOG_LIMITS.trimmedAt;
  const isDue = written >= LOG_LIMITS.trimmedAt;
  sinceTrim.set(connection.id, isDue ? 1 : written + 1);
  if (!isDue) return inTenantOnce(scope, (tx) => insertRow(tx, values));
  await inTenant(scope, async (tx) => {
    await insertRow(tx, values);
    await trim(tx, connection.id, request.ctx.clock());
  });
}

async function insertRow(tx: Query, values: readonly unknown[]): Promise<void> {
  await tx.query(
    `insert into scim_requests (id, connection_id, token_id, at, method, path, resource_id, status, code, refused_form,
            duration_ms, actions, attributes, rewrites, request_id, revocation_id)
     select $1, c.id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16 from scim_connections c where c.id = $2`,
    values,
  );
}

async function trim(tx: Query, connection: Id<'con'>, now: Date): Promise<void> {
  await tx.query(
    `delete from scim_requests r where r.connection_id = $1 and (r.at < $2 or r.id < (
       select oldest.id from scim_requests oldest where oldest.connection_id = $1 order by oldest.id desc offset $3 limit 1))`,
    [uuidOf('con', connection), new Date(now.getTime() - LOG_LIMITS.days * DAY_MS), LOG_LIMITS.requests - 1],
  );
}

/** What a refused request would have changed was not changed. */
function valuesOf({
  ctx,
  exchange,
  connection,
  ...request
}: AnsweredRequest & { connection: ScimConnection }): unknown[] {
  const { outcome } = request;
  const code = 'code' in outcome ? outcome.code : null;
  const changed = code === null && outcome.status < 400;
  return [
    uuidOf('scr', mintId('scr')),
    uuidOf('con', connection.id),
    uuidOf('scm', ctx.tenant.actor.id ?? ''),
    ctx.clock(),
    request.method,
    request.path,
    exchange.resourceId,
    outcome.status,
    code,
    exchange.refusedForm,
    Math.max(0, Math.round(performance.now() - request.startedMs)),
    changed ? [...exchange.actions].toSorted() : [],
    changed ? [...exchange.attributes].toSorted().slice(0, MAX_ATTRIBUTES) : [],
    [...exchange.rewrites].toSorted(),
    ctx.tenant.requestId,
    changed ? exchange.revocation : null,
  ];
}
