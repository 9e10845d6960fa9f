import type { TenantTransaction } from '#kit/database.ts';

/** What ended with a person's access. */
export interface EndedAccess {
  readonly sessions: number;
  readonly apiKeys: number;
}

/**
 * Ends all access of a person inside the caller's transaction: she becomes inactive, her epoch moves on so that nothing
 * issued before works ever again, and all that she holds or has begun is revoked. Null where she was inactive already.
 * The database records the revocation and announces it with the commit; the gateways put it into force and say when.
 */
export async function deactivateUser(
  tx: Pick<TenantTransaction, 'query'>,
  userUuid: string,
  now: Date,
): Promise<EndedAccess | null> {
  const [user] = await tx.query(
    'update users set active = false, epoch = epoch + 1, version = version + 1, updated_at = $2 where id = $1 and active returning id',
    [userUuid, now],
  );
  return user === undefined ? null : revokeAll(tx, userUuid, now);
}

/**
 * Ends all that a person holds and has begun, as a deactivation does, and leaves her active: she may sign in again. Null
 * where she is inactive or unknown.
 */
export async function signOutEverywhere(
  tx: Pick<TenantTransaction, 'query'>,
  userUuid: string,
  now: Date,
): Promise<EndedAccess | null> {
  const [user] = await tx.query('update users set epoch = epoch + 1 where id = $1 and active returning id', [userUuid]);
  return user === undefined ? null : revokeAll(tx, userUuid, now);
}

/**
 * Revokes every session, key and sign-in link of a person, with the refresh tokens and codes of her sessions, and ends the
 * sign-ins that she has begun; used by itself before her row is deleted.
 */
export async function revokeAll(
  tx: Pick<TenantTransaction, 'query'>,
  userUuid: string,
  now: Date,
): Promise<EndedAccess> {
  const revoked = await tx.query<{ kind: string }>(
    `with hers as (select id from credentials where user_id = $1 and kind = 'session'),
          refreshing as (delete from refresh_tokens where session_id in (select id from hers)),
          codes as (delete from authorization_codes where session_id in (select id from hers)),
          begun as (delete from pending_sign_ins where user_id = $1)
     update credentials set revoked_at = $2 where user_id = $1 and revoked_at is null returning kind`,
    [userUuid, now],
  );
  const count = (kind: string) => revoked.filter((row) => row.kind === kind).length;
  return { sessions: count('session'), apiKeys: count('api_key') };
}

/** Lets a person in again; what she had before stays revoked. False where she was active already. */
export async function reactivateUser(
  tx: Pick<TenantTransaction, 'query'>,
  userUuid: string,
  now: Date,
): Promise<boolean> {
  const rows = await tx.query(
    'update users set active = true, version = version + 1, updated_at = $2 where id = $1 and not active returning id',
    [userUuid, now],
  );
  return rows.length === 1;
}
