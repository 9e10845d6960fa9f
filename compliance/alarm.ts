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

/**
 * What is looked after beside sequencing and sealing: whether every mutation has its event, whether the archive holds every
 * object as it was put, whether a log has become shorter than the platform log has recorded, and whether requests under the
 * GDPR are answered in time.
 */
export type AlarmKind = 'completeness' | 'archive' | 'shrunk' | 'privacy';

/** Shows an alarm of its own kind at a log; while one of the kind stands, its date is kept. */
export async function raiseAlarmOf(
  audit: pg.Pool | pg.ClientBase,
  kind: AlarmKind,
  { tenantId, sentence, now }: Alarm,
): Promise<void> {
  await audit.query(
    `insert into log_alarms (tenant_id, kind, sentence, since) values ($1, $2, $3, $4)
     on conflict (tenant_id, kind) do update set sentence = excluded.sentence`,
    [tenantId, kind, sentence, now],
  );
}

/** Ends every alarm of a kind but those of these tenants (UUIDs). */
export async function keepAlarmsOf(
  audit: pg.Pool | pg.ClientBase,
  kind: AlarmKind,
  tenantIds: readonly string[],
): Promise<void> {
  await audit.query('delete from log_alarms where kind = $1 and tenant_id <> all ($2::uuid[])', [kind, tenantIds]);
}

/** Returns how many logs show an alarm, the platform's among them. */
export async function countAlarms(audit: pg.Pool | pg.ClientBase): Promise<number> {
  const { rows } = await audit.query<{ count: string }>(
    `select count(*) as count from (select tenant_id from log_heads where alarm is not null
       union select tenant_id from log_alarms) as alarmed`,
  );
  return Number(rows[0]?.count ?? 0);
}
