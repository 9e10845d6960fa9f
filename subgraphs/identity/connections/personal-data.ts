import type { TenantTransaction } from '#kit/database.ts';
import type { PersonalDataSet } from '#kit/personal-data.ts';
import { idOf } from '#schema/ids.ts';

interface LinkRow {
  readonly connection_id: string;
  readonly subject: string;
  readonly created_at: Date;
  readonly last_used_at: Date;
}

/** Returns as whom identity providers know a person, and whether she is named for break-glass; `user` is her uuid. */
export async function connectionPersonalData(
  tx: Pick<TenantTransaction, 'query'>,
  user: string | null,
): Promise<PersonalDataSet[]> {
  const links = await tx.query<LinkRow>(
    'select connection_id, subject, created_at, last_used_at from identity_links where user_id = $1 order by connection_id, subject',
    [user],
  );
  const named = await tx.query<{ named_by: string; named_at: Date }>(
    'select named_by, named_at from break_glass_users where user_id = $1',
    [user],
  );
  return [
    {
      store: 'identity.identityLinks',
      rows: links.map((row) => ({
        connection: idOf('con', row.connection_id),
        subject: row.subject,
        createdAt: row.created_at.toISOString(),
        lastUsedAt: row.last_used_at.toISOString(),
      })),
    },
    {
      store: 'identity.breakGlass',
      rows: named.map((row) => ({ namedBy: row.named_by, namedAt: row.named_at.toISOString() })),
    },
  ];
}
