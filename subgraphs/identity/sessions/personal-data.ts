import type { TenantTransaction } from '#kit/database.ts';
import type { PersonalDataSet } from '#kit/personal-data.ts';
import { idOf } from '#schema/ids.ts';

/** Returns what is held of a person's sessions, those that have ended too; `user` is null for nobody. */
export async function sessionPersonalData(
  tx: Pick<TenantTransaction, 'query'>,
  user: string | null,
): Promise<PersonalDataSet> {
  const rows = await tx.query<SessionRow>(
    `select c.id, c.name, c.created_at, c.expires_at, c.revoked_at, c.last_used_at,
            s.method, s.amr, s.connection_id, s.subject, s.ip, s.user_agent
       from credentials c left join sessions s on s.id = c.id
      where c.user_id = $1 and c.kind = 'session' order by c.id`,
    [user],
  );
  return { store: 'identity.sessions', rows: rows.map(rowOf) };
}

interface SessionRow {
  readonly id: string;
  readonly name: string;
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly revoked_at: Date | null;
  readonly last_used_at: Date | null;
  readonly method: string | null;
  readonly amr: string[] | null;
  readonly connection_id: string | null;
  readonly subject: string | null;
  readonly ip: string | null;
  readonly user_agent: string | null;
}

function rowOf(row: SessionRow): PersonalDataSet['rows'][number] {
  return {
    id: idOf('ses', row.id),
    purpose: 'session',
    name: row.name,
    method: row.method,
    amr: row.amr ?? [],
    connectionId: row.connection_id === null ? null : idOf('con', row.connection_id),
    subject: row.subject,
    ip: row.ip,
    userAgent: row.user_agent,
    createdAt: row.created_at.toISOString(),
    expiresAt: row.expires_at.toISOString(),
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
    revokedAt: row.revoked_at?.toISOString() ?? null,
  };
}
