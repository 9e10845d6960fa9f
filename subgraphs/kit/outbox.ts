import { canonicalJson, type JsonValue } from '#schema/canonical-json.ts';
import { checkEvent, type AuditEvent } from '#schema/audit-event.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { inTenant, type TenantScope, type TenantTransaction } from './database.ts';
import type { RequestContext } from './request-context.ts';

/** What a service says of the thing it did; who, where and when come from the request. */
export interface AuditNote {
  /** `<noun>.<verb>`, the action that the mutation's @audit directive names. */
  readonly action: string;
  readonly resource: { readonly type: string; readonly id: string; readonly name: string | null };
  readonly context?: Record<string, JsonValue>;
  /** By default `success`; a refusal that is worth a record is `denied`. */
  readonly outcome?: 'success' | 'denied' | 'failure';
}

/** Who does something, and when. */
export type AuditContext = Pick<RequestContext, 'tenant' | 'clock'>;

/**
 * Writes an audit event into the transaction it speaks of: both are committed or neither is. An event the log would
 * refuse fails the transaction with AUDIT_EVENT_REFUSED.
 */
export async function appendAudit(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: AuditContext,
  note: AuditNote,
): Promise<AuditEvent> {
  const event = auditEvent(ctx, note);
  await tx.query('insert into outbox (id, outcome, event) values ($1, $2, $3)', [
    uuidOf('aud', event.id),
    note.outcome ?? 'success',
    canonicalJson(event as unknown as JsonValue),
  ]);
  return event;
}

/** Writes an event that speaks of no change, such as a refusal, in a transaction of its own. */
export async function recordAudit(ctx: AuditContext & TenantScope, note: AuditNote): Promise<AuditEvent> {
  return inTenant(ctx, (tx) => appendAudit(tx, ctx, note));
}

function auditEvent(ctx: AuditContext, note: AuditNote): AuditEvent {
  const { tenant } = ctx;
  const event: AuditEvent = {
    id: mintId('aud'),
    tenant_id: tenant.tenant,
    actor: {
      type: tenant.actor.type,
      id: tenant.actor.type === 'anonymous' ? null : tenant.actor.id,
      ip: tenant.actor.ip,
      ua: tenant.actor.ua,
    },
    action: note.action,
    resource: { type: note.resource.type, id: note.resource.id, name: note.resource.name },
    context: note.context ?? {},
    session_id: tenant.sessionId,
    request_id: tenant.requestId,
    ts: ctx.clock().toISOString(),
  };
  checkEvent(event);
  return event;
}
