import type pg from 'pg';
import type { Statements } from '#kit/cell-stores.ts';
import { idOf } from '#schema/ids.ts';

/** What is asked for; null asks for all of them. */
export interface ReconciliationChoice {
  /** UUID. */
  readonly tenantId: string | null;
  readonly hour: Date | null;
}

/** How a cell's mutations stand against its logs. */
export interface CellReconciliation {
  readonly cell: string;
  /** Hours before are closed; null before the first. */
  readonly reconciledUntil: string | null;
  readonly hours: readonly {
    readonly tenant: string;
    readonly hour: string;
    readonly mutations: number;
    readonly events: number;
  }[];
  readonly missing: readonly {
    readonly tenant: string;
    readonly hour: string;
    readonly action: string;
    readonly requestId: string;
    readonly mutations: number;
    readonly events: number;
  }[];
  /** Those that somebody has explained. */
  readonly acknowledged: readonly {
    readonly tenant: string;
    readonly hour: string;
    readonly action: string;
    readonly requestId: string;
    readonly mutations: number;
    readonly events: number;
    readonly reason: string;
  }[];
  /** Mutations of the hour, or of closed hours, whose event waits in the outbox. */
  readonly waiting: number;
}

/** The newest hours that are shown where no hour is chosen. */
const MOST_HOURS = 1_000;

/** Reads what was reconciled and what is missing, newest hours first. */
export async function readReconciliation(
  { tenants, audit, cell }: { tenants: Statements; audit: pg.Pool; cell: string },
  { tenantId, hour }: ReconciliationChoice,
): Promise<CellReconciliation> {
  const chosen = [tenantId, hour];
  const until = await audit.query<{ reconciled_until: Date | null }>('select reconciled_until from platform_log');
  const closed = until.rows[0]?.reconciled_until ?? null;
  const hours = await audit.query<HourRow>(
    `select tenant_id, hour, mutations, events from mutation_hours where ${CHOSEN}
     order by hour desc, tenant_id limit ${MOST_HOURS}`,
    chosen,
  );
  const missing = await audit.query<MissingRow>(
    `select tenant_id, hour, action, request_id, mutations, events, reason from missing_events
     where found_at is null and ${CHOSEN} order by hour desc, tenant_id, request_id limit ${MOST_HOURS}`,
    chosen,
  );
  const waiting = await tenants.query<{ count: string }>(
    `select count(*) as count from mutation_notes where ($1::uuid is null or tenant_id = $1)
       and noted_at < coalesce($2::timestamptz + interval '1 hour', $3, '-infinity')
       and noted_at >= coalesce($2::timestamptz, '-infinity')`,
    [tenantId, hour, closed],
  );
  return {
    cell,
    reconciledUntil: closed?.toISOString() ?? null,
    hours: hours.rows.map(countsOf),
    missing: missing.rows.flatMap((row) => (row.reason === null ? [missingOf(row)] : [])),
    acknowledged: missing.rows.flatMap((row) =>
      row.reason === null ? [] : [Object.assign(missingOf(row), { reason: row.reason })],
    ),
    // One row from each store that is asked.
    waiting: waiting.rows.reduce((sum, { count }) => sum + Number(count), 0),
  };
}

const CHOSEN = '($1::uuid is null or tenant_id = $1) and ($2::timestamptz is null or hour = $2)';

interface HourRow {
  readonly tenant_id: string;
  readonly hour: Date;
  readonly mutations: string | number;
  readonly events: string | number;
}

interface MissingRow extends HourRow {
  readonly action: string;
  readonly request_id: string;
  readonly reason: string | null;
}

function missingOf(row: MissingRow) {
  return Object.assign(countsOf(row), { action: row.action, requestId: row.request_id });
}

function countsOf({ tenant_id: tenantId, hour, mutations, events }: HourRow) {
  return {
    tenant: idOf('tnt', tenantId),
    hour: hour.toISOString(),
    mutations: Number(mutations),
    events: Number(events),
  };
}
