import type pg from 'pg';

/** What an operator and an auditor read while an event of the tenant waits outside of her log. */
export const REFUSAL_ALARM = 'An event cannot enter the log; it waits in the outbox of the cell.';

/** The same while her log as it is stored cannot go on. */
export const LOG_ALARM = 'The log cannot take events; they wait in the outbox of the cell.';

/** Who is told what. */
export interface Alarm {
  /** UUID. */
  readonly tenantId: string;
  /** A sentence for operators and auditors of the tenant: no inner detail, nothing of another tenant. */
  readonly sentence: string;
  readonly now: Date;
}

/** Shows an alarm at the head of a log; while one stands already, its date is kept. A tenant without a log is passed over. */
export async function raiseAlarm(audit: pg.Pool, { tenantId, sentence, now }: Alarm): Promise<void> {
  await audit.query(
    'update log_heads set alarm = $2, alarm_since = coalesce(alarm_since, $3) where tenant_id = $1 and alarm is distinct from $2',
    [tenantId, sentence, now],
  );
}

/** Returns how many logs show an alarm. */
export async function countAlarms(audit: pg.Pool | pg.ClientBase): Promise<number> {
  const { rows } = await audit.query<{ count: string }>(
    'select count(*) as count from log_heads where alarm is not null',
  );
  return Number(rows[0]?.count ?? 0);
}
