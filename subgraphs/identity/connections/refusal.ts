import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { recordAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { TenonError } from '#schema/errors.ts';
import type { Id } from '#schema/ids.ts';

/** Why a sign-in is refused, for the audit log; whoever tries learns none of it. */
export type RefusalReason =
  /** What came back belongs to no sign-in that this browser began, or to one that is over. */
  | 'unknown_flow'
  /** The identity provider refused it, such as when she cancelled. */
  | 'provider_refused'
  /** The identity provider did not answer. */
  | 'provider_unavailable'
  /** A signature, issuer, audience, nonce, time or other rule of the protocol does not hold. */
  | 'invalid_assertion'
  /** The assertion was used before. */
  | 'replayed_assertion'
  | 'no_email'
  | 'unverified_email'
  /** The domain of her e-mail address is not one that the tenant has proven. */
  | 'foreign_domain'
  | 'unknown_person'
  | 'inactive_person'
  /** Several people have this address. */
  | 'ambiguous_person'
  /** The person of this address is known there under another subject. */
  | 'other_subject'
  /** People of her domain sign in over a connection alone. */
  | 'sso_enforced';

/** What the audit event of a refusal says. */
export interface Refusal {
  readonly reason: RefusalReason;
  /** The connection that it came over; null for the methods of our own. */
  readonly connection: { readonly id: Id<'con'>; readonly name: string } | null;
  /** Whom it would have signed in, where that is known. */
  readonly userId?: Id<'usr'>;
  /** Such as the rule that failed; neither secrets nor personal data. */
  readonly context?: Readonly<Record<string, JsonValue>>;
}

/** A sign-in that is refused: UNAUTHENTICATED to the outside, with all that the audit event says. */
export class SignInRefusal extends TenonError {
  readonly refusal: Refusal;

  constructor(refusal: Refusal, options: { hint?: string; cause?: unknown } = {}) {
    super('UNAUTHENTICATED', `the sign-in is refused: ${refusal.reason}`, options);
    this.refusal = refusal;
  }
}

/** Throws the refusal; `inSignIn` records it. */
export function refuseSignIn(refusal: Refusal, options: { hint?: string; cause?: unknown } = {}): never {
  throw new SignInRefusal(refusal, options);
}

/**
 * Like `inTenant`, for the work of a sign-in: where it throws a refusal, all is rolled back and then the audit event
 * `sign_in.refuse` is written by itself.
 */
export async function inSignIn<T>(ctx: RequestContext, work: (tx: TenantTransaction) => Promise<T>): Promise<T> {
  return recordingRefusals(ctx, () => inTenant(ctx, work));
}

/** Runs the work of a sign-in outside a transaction; a refusal that it throws becomes an audit event. */
export async function recordingRefusals<T>(ctx: RequestContext, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // After the rollback, so that a refusal never holds two connections to the database.
    if (error instanceof SignInRefusal) await recordRefusal(ctx, error.refusal);
    throw error;
  }
}

async function recordRefusal(ctx: RequestContext, { reason, connection, userId, context }: Refusal): Promise<void> {
  await recordAudit(ctx, {
    action: 'sign_in.refuse',
    outcome: 'denied',
    resource:
      connection === null
        ? { type: 'user', id: userId ?? 'unknown', name: null }
        : { type: 'identity_connection', id: connection.id, name: connection.name },
    context: { reason, ...(userId === undefined ? {} : { user: userId }), ...context },
  });
}
