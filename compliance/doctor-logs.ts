import type pg from 'pg';
import { countAlarms } from './alarm.ts';

/** What came of looking at one thing; `skip`: the role of the given address may not see it. */
export interface Finding {
  readonly status: 'ok' | 'warn' | 'fail' | 'skip';
  readonly sentence: string;
}

/** Looks at the logs of a cell over its audit database, as `tenon_worker`. */
export type LogLook = (client: pg.ClientBase, now: Date) => Promise<Finding>;

/** Twice the heartbeat of the platform log, and what a busy worker may be late. */
const MOST_TICK_AGE_MS = 180_000;
/** An hour is reconciled two minutes after it has ended; what waits in the outbox may keep it open. */
const MOST_HOURS_OPEN_MS = 3 * 3_600_000;
/** The archive is compared once a day. */
const MOST_SCAN_AGE_MS = 36 * 3_600_000;

/** What is looked at of the logs of a cell, in the order in which it is shown. */
export const LOG_EXAMINATIONS: readonly { readonly check: string; readonly look: LogLook }[] = [
  { check: 'alarms', look: alarms },
  { check: 'platform log', look: platformLog },
  { check: 'completeness', look: completeness },
  { check: 'drift', look: drift },
];

async function alarms(client: pg.ClientBase): Promise<Finding> {
  const count = await countAlarms(client);
  if (count === 0) return { status: 'ok', sentence: 'no log shows an alarm' };
  const { rows } = await client.query<{ kind: string; count: string }>(
    `select kind, count(*) as count from (select 'log' as kind from log_heads where alarm is not null
       union all select kind from log_alarms) as alarmed group by kind order by kind`,
  );
  const kinds = rows.map((row) => `${row.kind} ${row.count}`).join(', ');
  return {
    status: 'fail',
    sentence: `${count} logs show an alarm (${kinds}); auditLog { alarm } of the tenant says which`,
  };
}

async function platformLog(client: pg.ClientBase, now: Date): Promise<Finding> {
  const { rows } = await client.query<{ alarm: string | null; ticked_at: Date | null }>(
    'select alarm, ticked_at from platform_log',
  );
  const [log] = rows;
  if (log?.alarm != null) return { status: 'fail', sentence: log.alarm };
  if (log?.ticked_at == null) return { status: 'warn', sentence: 'it has no tick yet; the worker has not run' };
  const ageMs = now.getTime() - log.ticked_at.getTime();
  if (ageMs > MOST_TICK_AGE_MS)
    return { status: 'warn', sentence: `its last tick is ${Math.round(ageMs / 1000)} s old; the worker does not run` };
  return { status: 'ok', sentence: `its last tick is ${Math.max(0, Math.round(ageMs / 1000))} s old` };
}

async function completeness(client: pg.ClientBase, now: Date): Promise<Finding> {
  const { rows } = await client.query<{ missing: string; until: Date | null }>(
    `select (select coalesce(sum(mutations - events), 0) from missing_events
               where found_at is null and acknowledged_at is null) as missing,
            (select reconciled_until from platform_log) as until`,
  );
  const { missing = '0', until = null } = rows[0] ?? {};
  if (missing !== '0')
    return { status: 'fail', sentence: `${missing} mutations left no event; tenon reconcile names their requests` };
  if (until === null) return { status: 'warn', sentence: 'no hour is reconciled yet' };
  const sentence = `every mutation before ${until.toISOString()} has its event`;
  return { status: now.getTime() - until.getTime() > MOST_HOURS_OPEN_MS ? 'warn' : 'ok', sentence };
}

async function drift(client: pg.ClientBase, now: Date): Promise<Finding> {
  const faults = await client.query<{ fault: string; count: string }>(
    `select fault, count(*) as count from archive_objects where fault is not null and removed_at is null
      group by fault order by fault`,
  );
  if (faults.rows.length > 0) {
    const kinds = faults.rows.map(({ fault, count }) => `${fault} ${count}`).join(', ');
    return { status: 'fail', sentence: `the archive does not hold objects as they were put: ${kinds}` };
  }
  const { rows } = await client.query<{ finished: Date | null; objects: string | null }>(
    `select finished_at as finished, objects from archive_scans where finished_at is not null
      order by started_at desc limit 1`,
  );
  const [scan] = rows;
  if (scan?.finished == null) return { status: 'warn', sentence: 'the archive was not compared yet' };
  const sentence = `${scan.objects} objects were as they were put at ${scan.finished.toISOString()}`;
  return { status: now.getTime() - scan.finished.getTime() > MOST_SCAN_AGE_MS ? 'warn' : 'ok', sentence };
}
