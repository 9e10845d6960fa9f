import { createHash } from 'node:crypto';
import type { TenantTransaction } from '#kit/database.ts';
import { uuidOf, type Id } from '#schema/ids.ts';

/** What must not be accepted twice: an assertion of SAML, a logout token of OpenID Connect. */
export interface OneTimeAssertion {
  readonly connection: Id<'con'>;
  /** As its issuer names it: `ID`, `jti`. */
  readonly id: string;
  /** From when on its age alone would have it refused. */
  readonly expiresAt: Date;
}

/** Ids that are out of date and are swept out by a new one. */
const SWEPT = 100;

/** Remembers an assertion until it is out of date; false where it was used before, on whatever replica. */
export async function useOnce(
  tx: Pick<TenantTransaction, 'query'>,
  { connection, id, expiresAt }: OneTimeAssertion,
  now: Date,
): Promise<boolean> {
  await tx.query(
    `delete from used_assertions where (connection_id, id_hash) in (
       select connection_id, id_hash from used_assertions where expires_at < $1 order by expires_at limit ${SWEPT} for update skip locked)`,
    [now],
  );
  const stored = await tx.query(
    `insert into used_assertions (connection_id, id_hash, expires_at) values ($1, $2, $3)
     on conflict do nothing returning id_hash`,
    [uuidOf('con', connection), createHash('sha256').update(id).digest(), expiresAt],
  );
  return stored.length === 1;
}
