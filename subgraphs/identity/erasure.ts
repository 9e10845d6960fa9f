import type { TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { DataSubject, ErasedStore } from '#kit/personal-data.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOrNull } from '#schema/ids.ts';

/**
 * Deletes a person's account with everything that hangs on it: sessions, keys, factors, links, groups and roles. What
 * ended is written into the log, without her name.
 */
export async function erasePerson(
  ctx: RequestContext,
  tx: TenantTransaction,
  { userId }: DataSubject,
): Promise<readonly ErasedStore[]> {
  const user = uuidOrNull('usr', userId);
  const [ended] = await tx.query<{ sessions: number; api_keys: number }>(
    `select count(*) filter (where kind = 'session')::integer as sessions,
            count(*) filter (where kind = 'api_key')::integer as api_keys
       from credentials where user_id = $1 and revoked_at is null`,
    [user],
  );
  const [deleted] = await tx.query<{ rows: string }>('select tenon.erase_user($1) as rows', [user]);
  if (Number(deleted?.rows ?? 0) > 0) {
    await appendAudit(tx, ctx, {
      action: 'user.delete',
      resource: { type: 'user', id: userId, name: null },
      context: { sessions: ended?.sessions ?? 0, api_keys: ended?.api_keys ?? 0 },
    });
  }
  return [];
}
