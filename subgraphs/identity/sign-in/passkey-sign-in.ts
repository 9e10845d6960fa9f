import {
  generateAuthenticationOptions,
  verifyAuthenticationResponse,
  type AuthenticationResponseJSON,
  type PublicKeyCredentialRequestOptionsJSON,
} from '@simplewebauthn/server';
import type { RequestOrigin } from '#kit/credential.ts';
import type { TenantTransaction } from '#kit/database.ts';
import type { Platform, RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import type { Continuation } from '../sessions/continuation.ts';
import { anonymousContext, openSession, type OpenedSession } from '../sessions/session.ts';
import { attemptSignIn, type Attempt } from './attempts.ts';
import { LocalMethod } from './model.ts';
import {
  CHALLENGE_LIFETIME_MS,
  newChallenge,
  readChallenge,
  spendChallenge,
  type ChallengeUse,
} from './passkey-challenge.ts';
import { challengeIn, readAuthentication, readUserHandle, type UserHandle } from './passkey-response.ts';
import { methodRefusal } from './policy.ts';
import type { RefusalReason } from './refusal.ts';
import { relyingParty } from './relying-party.ts';

/**
 * Returns what a browser needs to sign in with a passkey (`PublicKeyCredentialRequestOptionsJSON`). With an address the
 * sign-in has to be that person's. The answer is of the same form for every address: all passkeys of ours are found by
 * the authenticator itself, so there is no list of hers to tell who is known here.
 */
export async function passkeySignInOptions(
  { config, publicUrl, databases, clock }: Platform,
  address: string | null,
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  return generateAuthenticationOptions({
    rpID: relyingParty({ config, publicUrl }).id,
    challenge: newChallenge(databases.keys, useOf(address?.toLowerCase() ?? ''), clock()),
    timeout: CHALLENGE_LIFETIME_MS,
    userVerification: 'required',
  });
}

/**
 * Opens a session for whoever answers a challenge with a passkey that has verified her, which stands for both factors. All
 * that proves nothing is UNAUTHENTICATED, is recorded, and counts against the address that it came from.
 */
export async function signInWithPasskey(
  platform: Platform,
  sent: { readonly credential: unknown; readonly continuation: Continuation | null },
  origin: RequestOrigin,
): Promise<OpenedSession> {
  const response = readAuthentication(sent.credential);
  const handle = readUserHandle(response);
  if (handle === null) return fail('UNAUTHENTICATED', 'the passkey names nobody');
  const ctx = await anonymousContext(platform, handle.tenant, origin);
  return attemptSignIn(ctx, { userId: handle.userId, countsForAccount: false }, (tx) =>
    answer(tx, ctx, { response, handle, continuation: sent.continuation }),
  );
}

interface Answer {
  readonly response: AuthenticationResponseJSON;
  readonly handle: UserHandle;
  readonly continuation: Continuation | null;
}

async function answer(
  tx: TenantTransaction,
  ctx: RequestContext,
  { response, handle: { userId }, continuation }: Answer,
): Promise<Attempt<OpenedSession>> {
  const person = await findPerson(tx, userId);
  const proven = await prove(tx, ctx, { response, userId, address: person?.email_folded ?? null });
  if ('refused' in proven) return proven;
  const { passkey, counter, backedUp } = proven.done;
  const factorId = idOf('fct', passkey.id);
  const barred = person?.active === true ? await methodRefusal(tx, userId, LocalMethod.PASSKEY) : 'user_inactive';
  if (barred !== null) return { refused: { method: 'passkey', reason: barred, userId, factorId } };
  await tx.query('update sign_in_factors set sign_count = $2, backed_up = $3, last_used_at = $4 where id = $1', [
    passkey.id,
    counter,
    backedUp,
    ctx.clock(),
  ]);
  const amr = [backedUp ? 'swk' : 'hwk', 'user', 'mfa'];
  const proof = { userId, method: 'passkey', amr, identityProvider: null, context: { factor: factorId } } as const;
  return { done: await openSession(tx, ctx, { ...proof, continuation }) };
}

interface Proven {
  readonly passkey: PasskeyRow;
  readonly counter: number;
  readonly backedUp: boolean;
}

/** Passes an answer to a challenge of ours, given once, by a passkey of this person that nobody has copied. */
async function prove(
  tx: Query,
  ctx: RequestContext,
  { response, userId, address }: { response: AuthenticationResponseJSON; userId: Id<'usr'>; address: string | null },
): Promise<Attempt<Proven>> {
  const refused = (reason: RefusalReason, row?: PasskeyRow) => ({
    refused: { method: 'passkey' as const, reason, userId, ...(row && { factorId: idOf('fct', row.id) }) },
  });
  const challenge = challengeIn(response.response.clientDataJSON) ?? '';
  const uses = [useOf(''), ...(address === null ? [] : [useOf(address)])];
  const given = readChallenge(ctx.databases.keys, challenge, { uses, now: ctx.clock() });
  if (given === null) return refused('challenge_unknown');
  if (!(await spendChallenge(tx, given, ctx.clock()))) return refused('challenge_used');
  const passkey = await lockPasskey(tx, response.id, userId);
  if (passkey === null) return refused('credential_unknown');
  const verified = await verify(ctx, { response, challenge, passkey });
  if (verified === null) return refused('response_invalid', passkey);
  // WebAuthn section 6.1.1: two authenticators have this key, and only one of them is hers.
  const last = Number(passkey.sign_count);
  if ((verified.counter > 0 || last > 0) && verified.counter <= last) return refused('counter_regressed', passkey);
  return { done: { passkey, ...verified } };
}

type Query = Pick<TenantTransaction, 'query'>;

interface PersonRow {
  readonly email_folded: string | null;
  readonly active: boolean;
}

async function findPerson(tx: Query, userId: Id<'usr'>): Promise<PersonRow | null> {
  const [row] = await tx.query<PersonRow>('select email_folded, active from users where id = $1', [
    uuidOf('usr', userId),
  ]);
  return row ?? null;
}

interface PasskeyRow {
  readonly id: string;
  readonly public_key: Buffer;
  readonly sign_count: string;
}

/** Of this person alone: another's passkey says nothing of her. */
async function lockPasskey(tx: Query, credentialId: string, userId: Id<'usr'>): Promise<PasskeyRow | null> {
  const [row] = await tx.query<PasskeyRow>(
    'select id, public_key, sign_count from sign_in_factors where credential_id = $1 and user_id = $2 for update',
    [Buffer.from(credentialId, 'base64url'), uuidOf('usr', userId)],
  );
  return row ?? null;
}

/** Returns what a response says of the authenticator once all else in it has verified, or null. */
async function verify(
  { platform }: RequestContext,
  { response, challenge, passkey }: { response: AuthenticationResponseJSON; challenge: string; passkey: PasskeyRow },
): Promise<{ counter: number; backedUp: boolean } | null> {
  const { id, origins } = relyingParty(platform);
  try {
    const { verified, authenticationInfo } = await verifyAuthenticationResponse({
      response,
      expectedChallenge: challenge,
      expectedOrigin: [...origins],
      expectedRPID: id,
      requireUserVerification: true,
      // The counter is compared by the caller, once the signature says that it is the authenticator's.
      credential: { id: response.id, publicKey: new Uint8Array(passkey.public_key), counter: 0 },
    });
    const { newCounter, credentialBackedUp } = authenticationInfo;
    return verified ? { counter: newCounter, backedUp: credentialBackedUp } : null;
  } catch {
    return null;
  }
}

function useOf(subject: string): ChallengeUse {
  return { purpose: 'sign-in', subject };
}
