import { systemContext } from '#kit/credential.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { findTenant } from '#kit/directory.ts';
import { appendAudit, type AuditContext } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOrNull } from '#schema/ids.ts';
import type { TenantState } from '#schema/tenant-context.ts';
import { STATE_DOORS } from '#schema/tenant-doors.ts';

/** What both logs say of a step of an agreement. */
export interface OfferStep {
  readonly action:
    | 'document.offer'
    | 'document.withdraw'
    | 'document.accept'
    | 'document.return'
    | 'document.read_offered';
  readonly offer: string;
  readonly owner: string;
  readonly recipient: string;
}

/** A transaction of the other side of an agreement, with whom its events name: the platform, for the tenant who asks. */
export interface PartnerTransaction {
  readonly tx: TenantTransaction;
  readonly audit: AuditContext;
}

/**
 * Runs work in the cell of the other side of an agreement. Nothing of its context is handed on: what the work may say is
 * in this folder, and each statement names the one offer and the two tenants. A tenant who is not there, or whose state lets
 * nobody read, is NOT_FOUND, as an offer that never was; a cell that this process does not serve is SERVICE_UNAVAILABLE.
 */
export async function atPartner<T>(
  ctx: RequestContext,
  partner: string,
  work: (at: PartnerTransaction) => Promise<T>,
): Promise<T> {
  const uuid = uuidOrNull('tnt', partner);
  const place = uuid === null ? null : await findTenant(ctx.databases, idOf('tnt', uuid));
  if (place === null) return fail('NOT_FOUND', 'the other side is not there');
  const { databases, clock, signal } = ctx;
  const tenant = await systemContext(databases, place.id, {
    name: ctx.tenant.tenant,
    requestId: ctx.tenant.requestId,
  });
  return inTenant({ tenant, databases, signal }, async (tx) => {
    // The directory's copy of her state may be behind.
    const [own] = await tx.query<{ state: TenantState }>('select state from tenants');
    if (own === undefined || !STATE_DOORS[own.state].has('read')) fail('NOT_FOUND', 'the other side is not open');
    return work({ tx, audit: { tenant, databases, clock } });
  });
}

/** Writes a step into the log of the transaction's tenant. */
export async function recordStep(tx: TenantTransaction, ctx: AuditContext, step: OfferStep): Promise<void> {
  const { action, offer, owner, recipient } = step;
  const resource = { type: 'offer', id: offer, name: null };
  await appendAudit(tx, ctx, { action, resource, context: { owner, recipient } });
}
