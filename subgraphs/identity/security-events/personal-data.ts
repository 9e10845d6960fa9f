import type { TenantTransaction } from '#kit/database.ts';
import type { PersonalDataSet } from '#kit/personal-data.ts';
import { idOf } from '#schema/ids.ts';

interface ToldRow {
  readonly id: string;
  readonly receiver_id: string;
  readonly events: string[];
  readonly state: string;
  readonly occurred_at: Date;
  readonly delivered_at: Date | null;
}

/** Returns whom others were told what of a person; `user` is her uuid. What a token said is not kept. */
export async function securityEventPersonalData(
  tx: Pick<TenantTransaction, 'query'>,
  user: string | null,
): Promise<PersonalDataSet[]> {
  const rows = await tx.query<ToldRow>(
    `select id, receiver_id, events, state, occurred_at, delivered_at from security_event_deliveries
      where subject_id = $1 and subject_type = 'user' order by id`,
    [user],
  );
  return [
    {
      store: 'identity.securityEventDeliveries',
      rows: rows.map((row) => ({
        id: idOf('dlv', row.id),
        receiver: idOf('rcv', row.receiver_id),
        events: row.events,
        state: row.state,
        occurredAt: row.occurred_at.toISOString(),
        deliveredAt: row.delivered_at?.toISOString() ?? null,
      })),
    },
  ];
}
