import type { TenantTransaction } from '#kit/database.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';

/** Somebody who may hold factors. */
export interface Owner {
  readonly userId: Id<'usr'>;
  /** What her authenticators call her account. */
  readonly label: string;
}

/** Returns an active person by what her authenticators are to call her, her row locked; anybody else is NOT_FOUND. */
export async function ownerOf(tx: Pick<TenantTransaction, 'query'>, userId: Id<'usr'>): Promise<Owner> {
  // One at a time for each person: so that what she has too many of can be counted.
  const [row] = await tx.query<{ label: string }>(
    'select coalesce(email, user_name) as label from users where id = $1 and active for no key update',
    [uuidOf('usr', userId)],
  );
  return row === undefined ? fail('NOT_FOUND', 'no active user of that id') : { userId, label: row.label };
}
