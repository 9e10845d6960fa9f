import { randomBytes } from 'node:crypto';
import type { TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import { hashSecret } from '#kit/secret.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import type { Attempt } from './attempts.ts';

const CODES = 10;
const CODE_BYTES = 10;
/** Crockford's base 32: no letter that is taken for a digit. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
/** As long as a code with a mark after each character; what is longer is not looked at. */
const MAX_TYPED = 64;

type Query = Pick<TenantTransaction, 'query'>;

/** Gives her ten new recovery codes of 80 random bits, which are shown this once; earlier ones end. */
export async function renewRecoveryCodes(tx: Query, ctx: RequestContext, userId: Id<'usr'>): Promise<string[]> {
  const codes = Array.from({ length: CODES }, newCode);
  await removeRecoveryCodes(tx, userId);
  await tx.query('insert into recovery_codes (user_id, code_hash, created_at) select $1, unnest($2::bytea[]), $3', [
    uuidOf('usr', userId),
    codes.map((code) => hashOf(code)),
    ctx.clock(),
  ]);
  await appendAudit(tx, ctx, {
    action: 'recovery_codes.create',
    resource: { type: 'user', id: userId, name: null },
    context: { codes: CODES },
  });
  return codes;
}

/** Uses a recovery code up, in whatever case and grouping it was typed; `done` is how many are left. */
export async function useRecoveryCode(
  tx: Query,
  ctx: RequestContext,
  { userId, code }: { userId: Id<'usr'>; code: string },
): Promise<Attempt<number>> {
  const used = await tx.query<{ user_id: string }>(
    'update recovery_codes set used_at = $3 where user_id = $1 and code_hash = $2 and used_at is null returning user_id',
    [uuidOf('usr', userId), hashOf(code), ctx.clock()],
  );
  if (used.length === 0) return { refused: { method: 'recovery_code', reason: 'code_wrong', userId } };
  const left = await recoveryCodesLeft(tx, userId);
  await appendAudit(tx, ctx, {
    action: 'recovery_code.use',
    resource: { type: 'user', id: userId, name: null },
    context: { left },
  });
  return { done: left };
}

/** Returns how many of her recovery codes are unused. */
export async function recoveryCodesLeft(tx: Query, userId: Id<'usr'>): Promise<number> {
  const [row] = await tx.query<{ left: number }>(
    'select count(*)::int as left from recovery_codes where user_id = $1 and used_at is null',
    [uuidOf('usr', userId)],
  );
  return row?.left ?? 0;
}

/** Ends her recovery codes; without a second factor there is nothing to recover. */
export async function removeRecoveryCodes(tx: Query, userId: Id<'usr'>): Promise<void> {
  await tx.query('delete from recovery_codes where user_id = $1', [uuidOf('usr', userId)]);
}

function newCode(): string {
  const text = Array.from(randomBytes(CODE_BYTES).toString('hex').match(/.{5}/g) ?? [], (hex) => {
    const bits = Number.parseInt(hex, 16);
    return [15, 10, 5, 0].map((shift) => ALPHABET.charAt((bits >> shift) & 31)).join('');
  });
  return text.join('-');
}

function hashOf(typed: string): Buffer {
  const code = typed
    .slice(0, MAX_TYPED)
    .toLowerCase()
    .replaceAll(/[\s-]/g, '')
    .replaceAll('o', '0')
    .replaceAll(/[il]/g, '1');
  return hashSecret(code);
}
