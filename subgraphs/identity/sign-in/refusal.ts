import type { TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { Id } from '#schema/ids.ts';
import type { SignInMethod } from '../sessions/session.ts';

/** Why a sign-in without an identity provider was refused; the log is told, whoever asked is not. */
export type RefusalReason =
  | 'challenge_unknown'
  | 'challenge_used'
  | 'credential_unknown'
  | 'response_invalid'
  | 'counter_regressed'
  | 'code_wrong'
  | 'code_used'
  | 'method_not_allowed'
  | 'sso_enforced'
  | 'user_inactive';

/** A refused sign-in. */
export interface Refusal {
  readonly method: SignInMethod;
  readonly reason: RefusalReason;
  /** Who it would have been; null where the text names nobody. */
  readonly userId: Id<'usr'> | null;
  /** The factor that it was tried with, where it is known. */
  readonly factorId?: Id<'fct'>;
}

/** Records a refused sign-in. */
export async function auditRefusal(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: RequestContext,
  { method, reason, userId, factorId }: Refusal,
): Promise<void> {
  await appendAudit(tx, ctx, {
    action: 'sign_in.refuse',
    resource: { type: 'user', id: userId ?? 'unknown', name: null },
    context: { method, reason, ...(factorId === undefined ? {} : { factor: factorId }) },
    outcome: 'denied',
  });
}
