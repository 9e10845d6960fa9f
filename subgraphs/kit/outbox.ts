import type { JsonValue } from '#schema/canonical-json.ts';
import { checkAction } from '#schema/audit-actions/index.ts';
import { eventText, requireEvent, type AuditEvent } from '#schema/audit-event.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { inTenant, type TenantScope, type TenantTransaction } from './database.ts';
import { sealPersonal } from './personal-values.ts';
import { asApplication, supportIn } from './support-role.ts';
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

/** Who does something, when, and with which keys what is personal about it is sealed. */
export type AuditContext = Pick<RequestContext, 'tenant' | 'clock' | 'databases' | 'asPlatform'>;

/**
 * Writes an audit event into the transaction it speaks of: both are committed or neither is. What is personal in it is
 * sealed before it is written anywhere. An event that does not fit its action's schema, or that the log would refuse,
 * fails the transaction with AUDIT_EVENT_REFUSED. Where the transaction can, the event is sealed and written while the
 * next statement is waited for.
 */
export async function appendAudit(
  tx: Pick<TenantTransaction, 'query'> & Partial<Pick<TenantTransaction, 'later'>>,
  ctx: AuditContext,
  note: AuditNote,
): Promise<Pick<AuditEvent, 'id'>> {
  const plain = auditEvent(ctx, note);
  const { version, personal } = checkAction(note.action, plain);
  const values = async (): Promise<unknown[]> => {
    const { event, tokens } = await sealPersonal(tx, ctx.databases.personalKeys, { event: plain, personal });
    const outcome = note.outcome ?? 'success';
    return [uuidOf('tnt', ctx.tenant.tenant), uuidOf('aud', event.id), outcome, version, eventText(event), tokens];
  };
  const session = supportIn(ctx);
  // An operator's rights come back behind it, so it cannot wait.
  if (tx.later !== undefined && session === undefined) tx.later(INSERT, values);
  else await asApplication(tx, session, async () => tx.query(INSERT, await values()));
  return { id: plain.id };
}

/** The tenant is named, for the database checks her against the context either way, and working her out costs more. */
const INSERT = 'select tenon.append_event($1, $2, $3, $4, $5, $6)';

/** Writes an event that speaks of no change, such as a refusal, in a transaction of its own. */
export async function recordAudit(ctx: AuditContext & TenantScope, note: AuditNote): Promise<Pick<AuditEvent, 'id'>> {
  const own = { ...ctx, asPlatform: true };
  return inTenant(own, (tx) => appendAudit(tx, own, note));
}

function auditEvent(ctx: AuditContext, note: AuditNote): AuditEvent {
  const { tenant } = ctx;
  return requireEvent({
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
  });
}
