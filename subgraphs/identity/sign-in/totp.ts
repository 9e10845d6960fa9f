import { Secret, TOTP } from 'otpauth';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf, type Id } from '#schema/ids.ts';
import { openSecret, sealSecret, type SecretPlace } from '#schema/sealed-secret.ts';
import { attemptSignIn, type Attempt } from './attempts.ts';
import { requireFactor } from './factor.ts';
import type { SignInFactor } from './model.ts';
import type { Owner } from './owner.ts';
import { renewRecoveryCodes } from './recovery-codes.ts';

/** A new authenticator application, which counts once a code has confirmed it; the seed is shown this once. */
export interface TotpEnrolment {
  readonly factorId: Id<'fct'>;
  /** `otpauth://totp/...`, mostly shown as a QR code. */
  readonly uri: string;
  /** The seed in base 32. */
  readonly secret: string;
}

const PERIOD_SECONDS = 30;
/** RFC 4226 section 4: as long as the hash. */
const SEED_BYTES = 20;
/** RFC 6238 section 5.2: a clock may be one step away. */
const WINDOW = 1;
const CODE_SHAPE = /^[0-9]{6}$/;

/** Makes a new seed for her in place of an unconfirmed one; the application that counts goes on counting until it is confirmed. */
export async function enrolTotp(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: RequestContext,
  { userId, label, name }: Owner & { readonly name: string },
): Promise<TotpEnrolment> {
  const factorId = mintId('fct');
  const secret = new Secret({ size: SEED_BYTES });
  const sealed = sealSecret(ctx.databases.keys, placeOf(ctx, factorId), secret.base32);
  await tx.query(`delete from sign_in_factors where user_id = $1 and kind = 'totp' and confirmed_at is null`, [
    uuidOf('usr', userId),
  ]);
  await tx.query(
    `insert into sign_in_factors (id, user_id, kind, name, created_at, sealed_seed) values ($1, $2, 'totp', $3, $4, $5)`,
    [uuidOf('fct', factorId), uuidOf('usr', userId), name, ctx.clock(), sealed],
  );
  await appendAudit(tx, ctx, {
    action: 'factor.enrol',
    resource: { type: 'factor', id: factorId, name },
    context: { user: userId, kind: 'totp' },
  });
  const issuer = ctx.platform.config.deployment;
  return { factorId, uri: totpOf(secret, { issuer, label }).toString(), secret: secret.base32 };
}

/** The factor that a code confirmed, and the recovery codes that came with it. */
export interface ConfirmedTotp {
  readonly factorId: Id<'fct'>;
  readonly recoveryCodes: readonly string[];
}

/**
 * Makes a new seed count, by a code of it, instead of the one before; her recovery codes are renewed. A wrong code counts
 * as a failed attempt, an unknown or confirmed factor is NOT_FOUND.
 */
export async function confirmEnrolment(
  tx: TenantTransaction,
  ctx: RequestContext,
  { userId, factorId, code }: { userId: Id<'usr'>; factorId: Id<'fct'> | null; code: string },
): Promise<Attempt<ConfirmedTotp>> {
  const row = await lockSeed(tx, userId, false);
  if (row === null || (factorId !== null && uuidOf('fct', factorId) !== row.id))
    return fail('NOT_FOUND', 'no authenticator application waits for its first code');
  const id = idOf('fct', row.id);
  const step = stepOf(ctx, row, code);
  if (step === null) return { refused: { method: 'totp', reason: 'code_wrong', userId, factorId: id } };
  await tx.query(`delete from sign_in_factors where user_id = $1 and kind = 'totp' and confirmed_at is not null`, [
    uuidOf('usr', userId),
  ]);
  await tx.query('update sign_in_factors set confirmed_at = $2, last_used_at = $2, last_step = $3 where id = $1', [
    row.id,
    ctx.clock(),
    step,
  ]);
  await appendAudit(tx, ctx, {
    action: 'factor.create',
    resource: { type: 'factor', id, name: row.name },
    context: { user: userId, kind: 'totp' },
  });
  return { done: { factorId: id, recoveryCodes: await renewRecoveryCodes(tx, ctx, userId) } };
}

/** Confirms her new authenticator application in a session of hers. */
export async function confirmTotp(
  ctx: RequestContext,
  confirmed: { userId: Id<'usr'>; factorId: Id<'fct'>; code: string },
): Promise<{ factor: SignInFactor; recoveryCodes: string[] }> {
  const { userId } = confirmed;
  const { factorId, recoveryCodes } = await attemptSignIn(ctx, { userId, countsForAccount: true }, (tx) =>
    confirmEnrolment(tx, ctx, confirmed),
  );
  return inTenant(ctx, async (tx) => ({
    factor: await requireFactor(tx, { userId, factorId }),
    recoveryCodes: [...recoveryCodes],
  }));
}

/** Uses a code of her authenticator application; each is taken once (RFC 6238 section 5.2), on whatever replica. */
export async function useTotpCode(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: RequestContext,
  { userId, code }: { userId: Id<'usr'>; code: string },
): Promise<Attempt<Id<'fct'>>> {
  const row = await lockSeed(tx, userId, true);
  if (row === null) return { refused: { method: 'totp', reason: 'credential_unknown', userId } };
  const factorId = idOf('fct', row.id);
  const step = stepOf(ctx, row, code);
  if (step === null) return { refused: { method: 'totp', reason: 'code_wrong', userId, factorId } };
  if (row.last_step !== null && step <= Number(row.last_step))
    return { refused: { method: 'totp', reason: 'code_used', userId, factorId } };
  await tx.query('update sign_in_factors set last_step = $2, last_used_at = $3 where id = $1', [
    row.id,
    step,
    ctx.clock(),
  ]);
  return { done: factorId };
}

interface SeedRow {
  readonly id: string;
  readonly name: string;
  readonly sealed_seed: string;
  readonly last_step: string | null;
}

async function lockSeed(
  tx: Pick<TenantTransaction, 'query'>,
  userId: Id<'usr'>,
  confirmed: boolean,
): Promise<SeedRow | null> {
  const [row] = await tx.query<SeedRow>(
    `select id, name, sealed_seed, last_step from sign_in_factors
      where user_id = $1 and kind = 'totp' and (confirmed_at is not null) = $2 for update`,
    [uuidOf('usr', userId), confirmed],
  );
  return row ?? null;
}

/** Returns the step that a code is of, the newest one where it is of several, or null where it is of none. */
function stepOf(ctx: RequestContext, row: SeedRow, code: string): number | null {
  if (!CODE_SHAPE.test(code)) return null;
  const seed = openSecret(ctx.databases.keys, placeOf(ctx, idOf('fct', row.id)), row.sealed_seed);
  const totp = totpOf(Secret.fromBase32(seed));
  const timestamp = ctx.clock().getTime();
  const delta = totp.validate({ token: code, timestamp, window: WINDOW });
  return delta === null ? null : totp.counter({ timestamp }) + delta;
}

function totpOf(secret: Secret, shown: { issuer?: string; label?: string } = {}): TOTP {
  return new TOTP({ ...shown, secret, algorithm: 'SHA1', digits: 6, period: PERIOD_SECONDS });
}

function placeOf({ tenant }: RequestContext, factorId: Id<'fct'>): SecretPlace {
  return { tenant: tenant.tenant, purpose: 'totp seed', id: factorId };
}
