import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { TenantTransaction } from '#kit/database.ts';
import { deriveKey, type ContextKey, type ContextKeys } from '#schema/tenant-context.ts';

/** How long a challenge may be answered. */
export const CHALLENGE_LIFETIME_MS = 5 * 60_000;

/** What a challenge is for: an answer to one is never taken for another. */
export interface ChallengeUse {
  readonly purpose: 'registration' | 'sign-in';
  /** Whom it is bound to: her id or her folded e-mail address; empty where nobody said. */
  readonly subject: string;
}

/** A challenge of ours, still in time. */
export interface GivenChallenge {
  readonly hash: Buffer;
  readonly expiresAt: Date;
}

const EXPIRY_BYTES = 6;
const BODY_BYTES = EXPIRY_BYTES + 16;
const CHALLENGE_BYTES = BODY_BYTES + 32;

/**
 * Returns a new challenge (WebAuthn section 13.4.3): its end, 128 random bits and an HMAC-SHA256 over both and its use.
 * Any replica knows it again, and giving it out writes nothing: whoever asks for a sign-in is not known yet, not even by
 * her tenant.
 */
export function newChallenge(keys: ContextKeys, use: ChallengeUse, now: Date): Uint8Array<ArrayBuffer> {
  const body = Buffer.alloc(BODY_BYTES);
  body.writeUIntBE(now.getTime() + CHALLENGE_LIFETIME_MS, 0, EXPIRY_BYTES);
  randomBytes(BODY_BYTES - EXPIRY_BYTES).copy(body, EXPIRY_BYTES);
  return new Uint8Array([...body, ...macOf(keys.signing, use, body)]);
}

/** Returns the challenge that a browser sent back as base64url, or null where it is none of ours for any of these uses. */
export function readChallenge(
  keys: ContextKeys,
  text: string,
  { uses, now }: { readonly uses: readonly ChallengeUse[]; readonly now: Date },
): GivenChallenge | null {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length !== CHALLENGE_BYTES || bytes.toString('base64url') !== text) return null;
  const [body, mac] = [bytes.subarray(0, BODY_BYTES), bytes.subarray(BODY_BYTES)];
  const ours = keys.all.some((key) => uses.some((use) => timingSafeEqual(macOf(key, use, body), mac)));
  const expiresAt = new Date(body.readUIntBE(0, EXPIRY_BYTES));
  return ours && expiresAt > now ? { hash: createHash('sha256').update(bytes).digest(), expiresAt } : null;
}

/** Uses a challenge up; false where it was used before. Challenges that are out of time are forgotten on the way. */
export async function spendChallenge(
  tx: Pick<TenantTransaction, 'query'>,
  { hash, expiresAt }: GivenChallenge,
  now: Date,
): Promise<boolean> {
  await tx.query(
    `delete from spent_challenges where challenge_hash in (
       select challenge_hash from spent_challenges where expires_at <= $1 order by expires_at limit 100 for update skip locked)`,
    [now],
  );
  const spent = await tx.query(
    'insert into spent_challenges (challenge_hash, expires_at) values ($1, $2) on conflict do nothing returning expires_at',
    [hash, expiresAt],
  );
  return spent.length === 1;
}

function macOf(key: ContextKey, { purpose, subject }: ChallengeUse, body: Buffer): Buffer {
  return createHmac('sha256', deriveKey(key, 'tenon passkey challenge v1'))
    .update(body)
    .update(`${purpose}\n${subject}`)
    .digest();
}
