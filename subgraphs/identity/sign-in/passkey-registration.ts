import {
  generateRegistrationOptions,
  verifyRegistrationResponse,
  type PublicKeyCredentialCreationOptionsJSON,
  type RegistrationResponseJSON,
  type VerifiedRegistrationResponse,
} from '@simplewebauthn/server';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { requireFactor, requireRoom } from './factor.ts';
import { FactorKind, type SignInFactor } from './model.ts';
import { notify } from './notice.ts';
import { ownerOf } from './owner.ts';
import {
  CHALLENGE_LIFETIME_MS,
  newChallenge,
  readChallenge,
  spendChallenge,
  type ChallengeUse,
} from './passkey-challenge.ts';
import { challengeIn, hasNoCertificates, readRegistration, userHandleOf } from './passkey-response.ts';
import { relyingParty } from './relying-party.ts';

/** ES256 is what nearly all authenticators have; EdDSA and RS256 are what the others have. */
const ALGORITHMS = [-8, -7, -257];

/**
 * Returns what a browser needs to make a passkey for the person who asks (`PublicKeyCredentialCreationOptionsJSON`): one
 * that the authenticator finds by itself, that it uses only for whoever it knows, and that lies on no authenticator that
 * holds one of hers.
 */
export async function passkeyRegistrationOptions(
  ctx: RequestContext,
  userId: Id<'usr'>,
): Promise<PublicKeyCredentialCreationOptionsJSON> {
  const { id: rpID, name: rpName } = relyingParty(ctx.platform);
  const { label, held } = await inTenant(ctx, async (tx) => ({
    label: (await ownerOf(tx, userId)).label,
    held: await heldPasskeys(tx, userId),
  }));
  return generateRegistrationOptions({
    rpName,
    rpID,
    userName: label,
    userDisplayName: label,
    userID: userHandleOf({ tenant: ctx.tenant.tenant, userId }),
    challenge: newChallenge(ctx.databases.keys, useOf(userId), ctx.clock()),
    timeout: CHALLENGE_LIFETIME_MS,
    attestationType: 'none',
    excludeCredentials: held,
    authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
    supportedAlgorithmIDs: ALGORITHMS,
  });
}

/**
 * Keeps the passkey that a browser has made for the person who asks, and tells her by mail. An answer to no challenge of
 * hers, or one that proves nothing, is BAD_USER_INPUT; a passkey that is known already is UNIQUENESS.
 */
export async function addPasskey(
  ctx: RequestContext,
  { userId, name, credential }: { userId: Id<'usr'>; name: string; credential: unknown },
): Promise<SignInFactor> {
  const response = readRegistration(credential);
  const challenge = challengeIn(response.response.clientDataJSON) ?? refuse('no challenge');
  const given = readChallenge(ctx.databases.keys, challenge, { uses: [useOf(userId)], now: ctx.clock() });
  if (given === null) return refuse('no challenge of hers, or one that is out of time');
  const info = await verify(ctx, response, challenge);
  const factor = await inTenant(ctx, async (tx) => {
    await ownerOf(tx, userId);
    if (!(await spendChallenge(tx, given, ctx.clock()))) refuse('the challenge was used before');
    await requireRoom(tx, userId);
    return keep(tx, ctx, { userId, name, info });
  });
  notify(ctx, { userId, event: 'passkey_added' });
  return factor;
}

type RegistrationInfo = NonNullable<VerifiedRegistrationResponse['registrationInfo']>;

async function verify(
  { platform }: RequestContext,
  response: RegistrationResponseJSON,
  expectedChallenge: string,
): Promise<RegistrationInfo> {
  if (!hasNoCertificates(response.response.attestationObject)) return refuse('an attestation that was not asked for');
  const { id, origins } = relyingParty(platform);
  try {
    const { verified, registrationInfo } = await verifyRegistrationResponse({
      response,
      expectedChallenge,
      expectedOrigin: [...origins],
      expectedRPID: id,
      requireUserVerification: true,
      supportedAlgorithmIDs: ALGORITHMS,
    });
    return verified ? registrationInfo : refuse('the attestation does not verify');
  } catch (cause) {
    return refuse('the response does not verify', cause);
  }
}

async function keep(
  tx: TenantTransaction,
  ctx: RequestContext,
  { userId, name, info }: { userId: Id<'usr'>; name: string; info: RegistrationInfo },
): Promise<SignInFactor> {
  const factorId = mintId('fct');
  const { credential, credentialBackedUp, credentialDeviceType, aaguid } = info;
  await tx.query(
    `insert into sign_in_factors (id, user_id, kind, name, confirmed_at, created_at, credential_id, public_key, sign_count,
       transports, backed_up) values ($1, $2, 'passkey', $3, $4, $4, $5, $6, $7, $8, $9)`,
    [
      uuidOf('fct', factorId),
      uuidOf('usr', userId),
      name,
      ctx.clock(),
      Buffer.from(credential.id, 'base64url'),
      Buffer.from(credential.publicKey),
      credential.counter,
      credential.transports ?? [],
      credentialBackedUp,
    ],
  );
  await appendAudit(tx, ctx, {
    action: 'factor.create',
    resource: { type: 'factor', id: factorId, name },
    context: { user: userId, kind: 'passkey', aaguid, device_type: credentialDeviceType },
  });
  return requireFactor(tx, { userId, factorId });
}

async function heldPasskeys(
  tx: Pick<TenantTransaction, 'query'>,
  userId: Id<'usr'>,
): Promise<{ id: string; transports: string[] }[]> {
  const rows = await tx.query<{ credential_id: Buffer; transports: string[] }>(
    'select credential_id, transports from sign_in_factors where user_id = $1 and kind = $2 order by id',
    [uuidOf('usr', userId), FactorKind.PASSKEY],
  );
  return rows.map(({ credential_id: id, transports }) => ({ id: id.toString('base64url'), transports }));
}

function useOf(userId: Id<'usr'>): ChallengeUse {
  return { purpose: 'registration', subject: userId };
}

function refuse(reason: string, cause?: unknown): never {
  return fail('BAD_USER_INPUT', reason, { hint: 'The passkey cannot be added; ask for new options.', cause });
}
