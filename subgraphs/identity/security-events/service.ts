import { authorize } from '#kit/authorize.ts';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import { checkOutgoingUrl } from '#kit/outgoing-http.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOrNull, type Id } from '#schema/ids.ts';
import { sealSecret } from '#schema/sealed-secret.ts';
import { authorizationPlace } from './delivery.ts';
import { defaultEvents, EVENTS_OF, scimEventOf, type ReceiverKind } from './event-types.ts';
import type { CreateSecurityEventReceiverInput, UpdateSecurityEventReceiverInput } from './inputs.ts';
import { ReceiverState, SecurityEventReceiver } from './model.ts';

/** More than anybody has applications to tell; it bounds what one change of a person may cost. */
const MOST_RECEIVERS = 20;

/** Returns the tenant's receivers, oldest first. */
export async function listReceivers(ctx: RequestContext): Promise<SecurityEventReceiver[]> {
  return inTenantOnce(ctx, ({ manager }) =>
    manager.find(SecurityEventReceiver, { order: { createdAt: 'ASC', id: 'ASC' } }),
  );
}

/** Returns a receiver, or null where the tenant has none of that id. */
export async function findReceiver(ctx: RequestContext, id: string): Promise<SecurityEventReceiver | null> {
  if (uuidOrNull('rcv', id) === null) return null;
  return inTenantOnce(ctx, ({ manager }) => manager.findOneBy(SecurityEventReceiver, { id: id as Id<'rcv'> }));
}

/** Returns a receiver inside a transaction; one of no such id, or of another tenant, is NOT_FOUND. */
export async function requireReceiver(
  { manager }: Pick<TenantTransaction, 'manager'>,
  id: string,
): Promise<SecurityEventReceiver> {
  const known = uuidOrNull('rcv', id) === null ? null : (id as Id<'rcv'>);
  const receiver = known === null ? null : await manager.findOneBy(SecurityEventReceiver, { id: known });
  return receiver ?? fail('NOT_FOUND', 'no such receiver in this tenant');
}

/**
 * Registers a receiver. An address that may not be reached, or an event that its kind does not know, is BAD_USER_INPUT; a
 * receiver of what resources hold takes the right to see users (FORBIDDEN); one more than 20 is CONFLICT.
 */
export async function createReceiver(
  ctx: RequestContext,
  input: CreateSecurityEventReceiverInput,
): Promise<SecurityEventReceiver> {
  const { kind, name, audience, authorization = null } = input;
  const id = mintId('rcv');
  const endpoint = checkOutgoingUrl(ctx.platform, input.endpoint).href;
  const events = checkedEvents(ctx, kind, input.events ?? defaultEvents(kind));
  const sealedAuthorization = authorization === null ? null : sealed(ctx, id, authorization);
  const receiver = { id, kind, name, endpoint, audience, events, sealedAuthorization };
  return inTenant(ctx, async (tx) => {
    // Two who register at once queue up here, so that the bound holds.
    await tx.query('select from tenants for update');
    if ((await tx.manager.count(SecurityEventReceiver)) >= MOST_RECEIVERS)
      fail('CONFLICT', 'too many receivers', { hint: `A tenant has at most ${MOST_RECEIVERS} receivers.` });
    await tx.manager.insert(SecurityEventReceiver, receiver);
    await auditReceiver(tx, ctx, { action: 'security_event_receiver.create', receiver: await requireReceiver(tx, id) });
    return requireReceiver(tx, id);
  });
}

/**
 * Changes a receiver; the rules of `createReceiver` hold. At another origin the Authorization header has to be given anew
 * (BAD_USER_INPUT), so that nobody has a secret sent to where it was not meant for. What was pending stays pending.
 */
export async function updateReceiver(
  ctx: RequestContext,
  input: UpdateSecurityEventReceiverInput,
): Promise<SecurityEventReceiver> {
  return inTenant(ctx, async (tx) => {
    await tx.query('select from security_event_receivers where id = $1 for update', [
      uuidOrNull('rcv', input.receiverId),
    ]);
    const before = await requireReceiver(tx, input.receiverId);
    const changes = changesOf(ctx, before, input);
    const state = changes.state ?? before.state;
    const resumed = state === ReceiverState.ACTIVE ? { failures: 0, retryAt: null } : {};
    await tx.manager.update(
      SecurityEventReceiver,
      { id: before.id },
      { ...changes, ...resumed, updatedAt: ctx.clock() },
    );
    await tx.query(`select pg_notify('tenon_deliveries', '')`);
    const receiver = await requireReceiver(tx, before.id);
    const context = { changed: Object.keys(changes).toSorted(), state: receiver.state };
    await auditReceiver(tx, ctx, { action: 'security_event_receiver.update', receiver, context });
    return receiver;
  });
}

/** Deletes a receiver with all that it is owed; again is NOT_FOUND. */
export async function deleteReceiver(ctx: RequestContext, id: string): Promise<string> {
  return inTenant(ctx, async (tx) => {
    const receiver = await requireReceiver(tx, id);
    await tx.manager.delete(SecurityEventReceiver, { id: receiver.id });
    await auditReceiver(tx, ctx, { action: 'security_event_receiver.delete', receiver });
    return receiver.id;
  });
}

/** What the audit log says of a receiver. */
export interface ReceiverNote {
  readonly action: string;
  readonly receiver: SecurityEventReceiver;
  readonly context?: Record<string, string | string[]>;
}

/** Writes an audit event about a receiver; an address may hold a secret, so the log has its origin alone. */
export async function auditReceiver(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: RequestContext,
  { action, receiver, context = {} }: ReceiverNote,
): Promise<void> {
  const { id, name, kind, endpoint, audience, events } = receiver;
  await appendAudit(tx, ctx, {
    action,
    resource: { type: 'security_event_receiver', id, name },
    context: { kind, origin: new URL(endpoint).origin, audience, events: [...events], ...context },
  });
}

type Changes = Partial<
  Pick<SecurityEventReceiver, 'name' | 'endpoint' | 'audience' | 'events' | 'sealedAuthorization' | 'state'>
>;

function changesOf(
  ctx: RequestContext,
  before: SecurityEventReceiver,
  input: UpdateSecurityEventReceiverInput,
): Changes {
  const { name, audience, state, authorization } = input;
  const endpoint = typeof input.endpoint === 'string' ? checkOutgoingUrl(ctx.platform, input.endpoint).href : null;
  const isElsewhere = endpoint !== null && new URL(endpoint).origin !== new URL(before.endpoint).origin;
  if (isElsewhere && before.sealedAuthorization !== null && authorization === undefined)
    fail('BAD_USER_INPUT', 'a secret would go elsewhere', {
      hint: 'At another host the authorization has to be given anew, or null for none.',
    });
  return {
    ...(typeof name === 'string' && { name }),
    ...(typeof audience === 'string' && { audience }),
    ...(endpoint !== null && { endpoint }),
    ...(Array.isArray(input.events) && { events: checkedEvents(ctx, before.kind, input.events) }),
    ...(authorization !== undefined && {
      sealedAuthorization: authorization === null ? null : sealed(ctx, before.id, authorization),
    }),
    ...(typeof state === 'string' && { state }),
  };
}

function sealed(ctx: RequestContext, id: Id<'rcv'>, authorization: string): string {
  return sealSecret(ctx.databases.keys, authorizationPlace(ctx.tenant.tenant, id), authorization);
}

function checkedEvents(ctx: RequestContext, kind: ReceiverKind, wanted: readonly string[]): string[] {
  const events = [...new Set(wanted)].toSorted();
  const unknown = events.find((event) => !EVENTS_OF[kind].includes(event));
  if (unknown !== undefined)
    fail('BAD_USER_INPUT', 'no event of this kind', {
      hint: `This kind of receiver takes ${EVENTS_OF[kind].join(', ')}.`,
    });
  const full = events.filter((event) => scimEventOf(event)?.detail === 'full');
  if (full.length > 0) authorize(ctx, 'users:read');
  const twice = full.some((event) => events.includes(event.replace(/full$/, 'notice')));
  if (twice)
    fail('BAD_USER_INPUT', 'notice and full', { hint: 'Of one change it takes the notice or the full event.' });
  return events;
}
