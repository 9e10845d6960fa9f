import type pg from 'pg';
import type { Statements } from '#kit/cell-stores.ts';
import { keepAlarmsOf, raiseAlarmOf } from '../alarm.ts';
import type { TurnResult } from '../turn-loop.ts';

/** Where requests stand, and where alarms do. */
export interface DeadlineTurnOptions {
  /** Of `tenon_worker`, over every store of the cell. */
  readonly tenants: Statements;
  /** Pool of `tenon_worker` over the audit database. */
  readonly audit: pg.Pool;
  readonly clock: () => Date;
  /** How often it is looked; a minute without it. */
  readonly intervalMs?: number;
}

const INTERVAL_MS = 60_000;
const OVERDUE_ALARM = 'A request under the GDPR is not answered, and its time is over.';

/**
 * Returns the turn that shows an alarm at the log of every tenant who has not answered a request in time, and ends it when
 * she has. Several workers may run it.
 */
export function createDeadlineTurn({ tenants, audit, clock, intervalMs = INTERVAL_MS }: DeadlineTurnOptions) {
  let restsUntilMs = -Infinity;
  return async (): Promise<TurnResult> => {
    if (performance.now() < restsUntilMs) return 'idle';
    const now = clock();
    const { rows } = await tenants.query<{ tenant: string }>(
      'select distinct tenant_id as tenant from privacy_requests where answered_at is null and due_at < $1',
      [now],
    );
    for (const { tenant: tenantId } of rows)
      await raiseAlarmOf(audit, 'privacy', { tenantId, sentence: OVERDUE_ALARM, now });
    await keepAlarmsOf(
      audit,
      'privacy',
      rows.map(({ tenant }) => tenant),
    );
    restsUntilMs = performance.now() + intervalMs;
    return 'idle';
  };
}
