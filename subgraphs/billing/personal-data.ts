import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { DataSubject, ErasedStore, PersonalDataSet } from '#kit/personal-data.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { idOf, uuidOf } from '#schema/ids.ts';

interface Row {
  readonly id: string;
  readonly metric: string;
  readonly value: string;
  readonly ts: Date;
  readonly metadata: Record<string, string>;
  readonly received_at: Date;
}

/** Returns what billing holds of a person: the usage events that name her. */
export async function collectPersonalData(ctx: RequestContext, subject: DataSubject): Promise<PersonalDataSet[]> {
  const rows = await inTenant(ctx, (tx) =>
    tx.query<Row>(
      `select id, metric, trim_scale(value)::text as value, ts, metadata, received_at
         from usage_events where user_id = $1 order by ts, id`,
      [uuidOf('usr', subject.userId)],
    ),
  );
  return [
    {
      store: 'billing.usageEvents',
      rows: rows.map((row) => ({
        id: idOf('evt', row.id),
        metric: row.metric,
        value: row.value,
        timestamp: row.ts.toISOString(),
        metadata: row.metadata,
        receivedAt: row.received_at.toISOString(),
      })),
    },
  ];
}

/** Takes a person and what the reporter said beside the figures out of usage events; what was consumed stays, for rating. */
export async function erasePersonalData(
  _ctx: RequestContext,
  tx: TenantTransaction,
  { userId }: DataSubject,
): Promise<readonly ErasedStore[]> {
  await tx.query('select tenon.erase_usage_events($1)', [uuidOf('usr', userId)]);
  return [];
}
