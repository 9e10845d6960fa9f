import { createHash } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { SecurityEventType } from '#kit/security-event-token.ts';
import { idOf } from '#schema/ids.ts';
import type { DueDelivery } from './delivery-queue.ts';
import {
  CREDENTIAL_CHANGE,
  LOGOUT_EVENT,
  ReceiverKind,
  TOKEN_CLAIMS_CHANGE,
  VERIFICATION_EVENT,
} from './event-types.ts';
import { provisioningEvents } from './provisioning-events.ts';

/** What is signed for a delivery. */
export interface EventToken {
  readonly type: SecurityEventType;
  readonly claims: JWTPayload;
}

/** A logout token is made for the moment that it is sent in. */
const LOGOUT_TOKEN_SECONDS = 120;

/**
 * Returns the claims of a delivery as they are now: whom it is about by ids, what happened and when, and no more of her than
 * its type of event needs. Every attempt has the same `jti`.
 */
export async function eventTokenOf(ctx: RequestContext, delivery: DueDelivery): Promise<EventToken> {
  const issuedAt = seconds(ctx.clock());
  const iss = ctx.platform.publicUrl;
  const common = { iss, aud: delivery.receiver.audience, iat: issuedAt, jti: delivery.id };
  if (delivery.receiver.kind === ReceiverKind.BACKCHANNEL_LOGOUT) {
    const exp = issuedAt + LOGOUT_TOKEN_SECONDS;
    return { type: 'logout+jwt', claims: { ...common, exp, ...loggedOut(delivery), events: { [LOGOUT_EVENT]: {} } } };
  }
  const happened = { toe: seconds(delivery.occurredAt), txn: transactionOf(delivery) };
  const events = await eventsOf(ctx, delivery);
  return { type: 'secevent+jwt', claims: { ...common, ...happened, sub_id: subjectOf(iss, delivery), events } };
}

/** A test names a session that there is not, which an application answers as it answers any that it does not know. */
function loggedOut({ subjectType, subject, session }: DueDelivery): JWTPayload {
  if (subjectType === 'test') return { sid: idOf('ses', subject) };
  return { sub: idOf('usr', subject), ...(session === null ? {} : { sid: session }) };
}

/** RFC 9493, RFC 9967 section 2.1. */
function subjectOf(iss: string, { receiver, subjectType, subject, session }: DueDelivery): object {
  if (subjectType === 'test') return { format: 'opaque', id: receiver.id };
  if (receiver.kind === ReceiverKind.SCIM_EVENTS)
    return {
      format: 'scim',
      uri: subjectType === 'user' ? `/Users/${idOf('usr', subject)}` : `/Groups/${idOf('grp', subject)}`,
    };
  const user = { format: 'iss_sub', iss, sub: idOf('usr', subject) };
  return session === null ? user : { format: 'complex', user, session: { format: 'opaque', id: session } };
}

async function eventsOf(ctx: RequestContext, delivery: DueDelivery): Promise<Readonly<Record<string, object>>> {
  if (delivery.subjectType === 'test') return { [VERIFICATION_EVENT]: { state: delivery.id } };
  if (delivery.receiver.kind === ReceiverKind.SCIM_EVENTS) return provisioningEvents(ctx, delivery);
  const roles = delivery.events.includes(TOKEN_CLAIMS_CHANGE) ? await rolesOf(ctx, delivery.subject) : [];
  return Object.fromEntries(delivery.events.map((event) => [event, caepEvent(event, delivery, roles)]));
}

function caepEvent(event: string, { occurredAt, credentialType, changeType }: DueDelivery, roles: string[]): object {
  const common = { event_timestamp: seconds(occurredAt) };
  if (event === CREDENTIAL_CHANGE) return { ...common, credential_type: credentialType, change_type: changeType };
  return event === TOKEN_CLAIMS_CHANGE ? { ...common, claims: { roles } } : common;
}

async function rolesOf(ctx: RequestContext, user: string): Promise<string[]> {
  const rows = await inTenant(ctx, (tx) => readRoles(tx, user));
  return rows.map(({ name }) => name);
}

function readRoles(tx: Pick<TenantTransaction, 'query'>, user: string): Promise<{ name: string }[]> {
  return tx.query<{ name: string }>(
    `select name from roles where id in (
       select role_id from user_roles where user_id = $1
       union select gr.role_id from group_members gm join group_roles gr on gr.group_id = gm.group_id
              where gm.user_id = $1) order by name limit 200`,
    [user],
  );
}

/** The number itself would tell how much the whole database is written to. */
function transactionOf({ tenant, transaction }: DueDelivery): string {
  return createHash('sha256').update(`${tenant}\n${transaction}`).digest('base64url').slice(0, 22);
}

function seconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
