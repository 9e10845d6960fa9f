import { newestFirst, pageOf, pageRequest, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import type { PersonalDataSet } from '#kit/personal-data.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { idOf } from '#schema/ids.ts';
import { Revocation } from './revocation-model.ts';

/** Returns a page of the tenant's revocations, newest first. */
export async function listRevocations(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<Revocation>> {
  const request = pageRequest(args);
  const rows = await inTenantOnce(ctx, ({ manager }) =>
    newestFirst(manager.createQueryBuilder(Revocation, 'row'), request, 'rvk').getMany(),
  );
  return pageOf(rows, request);
}

/** Returns when the access of a person has ended. */
export async function revocationPersonalData(
  tx: Pick<TenantTransaction, 'query'>,
  user: string | null,
): Promise<PersonalDataSet> {
  const rows = await tx.query<{ id: string; reason: string; revoked_at: Date; enforced_at: Date | null }>(
    'select id, reason, revoked_at, enforced_at from revocations where subject_id = $1 order by id',
    [user],
  );
  return {
    store: 'identity.revocations',
    rows: rows.map((row) => ({
      id: idOf('rvk', row.id),
      reason: row.reason,
      revokedAt: row.revoked_at.toISOString(),
      enforcedAt: row.enforced_at?.toISOString() ?? null,
    })),
  };
}
