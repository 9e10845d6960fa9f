import type { RequestOrigin } from '#kit/credential.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { Platform, RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { localSignInAllowed } from '../connections/local-sign-in.ts';
import type { Continuation } from '../sessions/continuation.ts';
import type { OneTimeToken } from '../sessions/one-time-token.ts';
import { anonymousContext, openSession, type OpenedSession } from '../sessions/session.ts';
import { attemptSignIn, type Attempt } from './attempts.ts';
import { notify, type PersonalNotice } from './notice.ts';
import { ownerOf } from './owner.ts';
import {
  closePendingSignIn,
  openPendingSignIn,
  readPendingSignIn,
  readPendingToken,
  type PendingSignIn,
  type PendingState,
} from './pending-sign-in.ts';
import { readSignInPolicy } from './policy.ts';
import { recoveryCodesLeft, useRecoveryCode } from './recovery-codes.ts';
import { confirmEnrolment, enrolTotp, useTotpCode, type TotpEnrolment } from './totp.ts';

/** How the second factor that is owed can be shown. */
export type SecondFactorMethod = 'totp' | 'recovery_code' | 'totp_enrolment';

/** A sign-in that lacks its second factor. */
export interface OwedFactor extends PendingSignIn {
  readonly methods: readonly SecondFactorMethod[];
}

/** A sign-in that is complete; the recovery codes of an enrolment on the way are shown this once. */
export interface CompletedSignIn {
  readonly opened: OpenedSession;
  readonly recoveryCodes: readonly string[];
}

/** Returns what somebody owes after a first factor that is one alone; null where it is enough. */
export async function requireSecondFactor(
  tx: TenantTransaction,
  ctx: RequestContext,
  first: Omit<PendingState, 'uuid'>,
): Promise<OwedFactor | null> {
  const methods = await methodsOwed(tx, first.userId);
  return methods.length === 0 ? null : { ...(await openPendingSignIn(tx, ctx, first)), methods };
}

/**
 * Completes a sign-in by a code of her authenticator application; where she is asked to have one and is enrolling, by its
 * first code. A wrong code is UNAUTHENTICATED and counts, a token that stands for nothing is UNAUTHENTICATED.
 */
export async function completeByTotp(
  platform: Platform,
  sent: { token: string; code: string },
  origin: RequestOrigin,
): Promise<CompletedSignIn> {
  const { ctx, pending } = await startCompletion(platform, sent.token, origin);
  return complete(ctx, pending, async (tx, { userId }) => {
    if ((await methodsOwed(tx, userId)).includes('totp_enrolment')) {
      const confirmed = await confirmEnrolment(tx, ctx, { userId, factorId: null, code: sent.code });
      if ('refused' in confirmed) return confirmed;
      const { factorId, recoveryCodes } = confirmed.done;
      const notice = { userId, event: 'totp_added' } as const;
      return { done: { proof: { ...BY_TOTP, context: { factor: factorId } }, recoveryCodes, notice } };
    }
    const used = await useTotpCode(tx, ctx, { userId, code: sent.code });
    if ('refused' in used) return used;
    return { done: { proof: { ...BY_TOTP, context: { factor: used.done } }, recoveryCodes: [], notice: null } };
  });
}

/** Completes a sign-in by a recovery code, which is used up, audited and mailed; the errors are those of `completeByTotp`. */
export async function completeByRecoveryCode(
  platform: Platform,
  sent: { token: string; code: string },
  origin: RequestOrigin,
): Promise<CompletedSignIn> {
  const { ctx, pending } = await startCompletion(platform, sent.token, origin);
  return complete(ctx, pending, async (tx, { userId }) => {
    const used = await useRecoveryCode(tx, ctx, { userId, code: sent.code });
    if ('refused' in used) return used;
    const notice = { userId, event: 'recovery_code_used', left: used.done } as const;
    return { done: { proof: BY_RECOVERY_CODE, recoveryCodes: [], notice } };
  });
}

/**
 * Gives somebody a seed who has to have an authenticator application and has none; `completeByTotp` with its first code
 * completes her sign-in. Whoever has one, or need not, is FORBIDDEN.
 */
export async function enrolOnSignIn(
  platform: Platform,
  token: string,
  origin: RequestOrigin,
): Promise<{ enrolment: TotpEnrolment; continuation: Continuation | null }> {
  const { ctx, pending } = await startCompletion(platform, token, origin);
  return inTenant(ctx, async (tx) => {
    const { userId, continuation } = await readPendingSignIn(tx, pending, ctx.clock());
    const owner = await ownerOf(tx, userId);
    if (!(await methodsOwed(tx, userId)).includes('totp_enrolment'))
      return fail('FORBIDDEN', 'nothing is to be enrolled', { hint: 'An authenticator application is there already.' });
    return { enrolment: await enrolTotp(tx, ctx, { ...owner, name: 'Authenticator application' }), continuation };
  });
}

interface SecondProof {
  readonly method: 'totp' | 'recovery_code';
  readonly amr: readonly string[];
  readonly context: Readonly<Record<string, JsonValue>>;
}

const BY_TOTP = { method: 'totp', amr: ['otp', 'mfa'] } as const;
const BY_RECOVERY_CODE: SecondProof = { method: 'recovery_code', amr: ['mfa'], context: {} };

async function startCompletion(
  platform: Platform,
  token: string,
  origin: RequestOrigin,
): Promise<{ ctx: RequestContext; pending: OneTimeToken }> {
  const pending = readPendingToken(token);
  return { ctx: await anonymousContext(platform, pending.tenant, origin), pending };
}

interface Proven {
  readonly proof: SecondProof;
  readonly recoveryCodes: readonly string[];
  readonly notice: PersonalNotice | null;
}

/** Only whoever has proven the first factor can fail here, so that nobody else shuts an account out. */
async function complete(
  ctx: RequestContext,
  token: OneTimeToken,
  prove: (tx: TenantTransaction, state: PendingState) => Promise<Attempt<Proven>>,
): Promise<CompletedSignIn> {
  const { userId } = await inTenant(ctx, (tx) => readPendingSignIn(tx, token, ctx.clock()));
  const { notice, ...completed } = await attemptSignIn(ctx, { userId, countsForAccount: true }, async (tx) => {
    const state = await readPendingSignIn(tx, token, ctx.clock());
    if (!(await localSignInAllowed(tx, userId))) return { refused: { method: 'totp', reason: 'sso_enforced', userId } };
    const proven = await prove(tx, state);
    if ('refused' in proven) return proven;
    const { proof, ...rest } = proven.done;
    await closePendingSignIn(tx, state);
    const { continuation } = state;
    const context = { ...state.context, ...proof.context };
    const opened = await openSession(tx, ctx, { ...proof, userId, identityProvider: null, context, continuation });
    return { done: { opened, ...rest } };
  });
  if (notice !== null) notify(ctx, notice);
  return completed;
}

async function methodsOwed(tx: Pick<TenantTransaction, 'query'>, userId: Id<'usr'>): Promise<SecondFactorMethod[]> {
  const held = await tx.query(
    `select id from sign_in_factors where user_id = $1 and kind = 'totp' and confirmed_at is not null`,
    [uuidOf('usr', userId)],
  );
  if (held.length > 0) return (await recoveryCodesLeft(tx, userId)) > 0 ? ['totp', 'recovery_code'] : ['totp'];
  return (await readSignInPolicy(tx)).requireSecondFactor ? ['totp_enrolment'] : [];
}
