import { UNCHANGED } from '#schema/mutation-note.ts';
import type { TenantTransaction } from './database.ts';
import { appendAudit, type AuditContext } from './outbox.ts';

/**
 * Writes, into the transaction that found nothing to change, that a mutation was let through and changed nothing. Every
 * mutation with an audit action that answers without an error writes either an event of that action or this one: so the
 * mutations that gateways count can be held against the log, and one that leaves no trace is told from one that had
 * nothing to do.
 */
export async function appendUnchanged(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: AuditContext,
  action: string,
): Promise<void> {
  await appendAudit(tx, ctx, {
    action: UNCHANGED,
    resource: { type: 'mutation', id: action, name: null },
    context: { action },
  });
}
