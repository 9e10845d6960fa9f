import { inTenantAudit } from '#kit/database.ts';
import type { AuditEntry } from '#schema/audit-event.ts';
import type { CollectionScope } from './collector.ts';
import type { LogSelection, Population } from './population.ts';
import type { SealedEntry, SealedLog } from './sealed-log.ts';
import type { Row } from './table.ts';

/** A population that is taken from the log. */
export interface LogPopulation {
  readonly name: string;
  readonly title: string;
  readonly actions: readonly string[];
  /** More columns, read from the entry. */
  readonly extra?: Readonly<Record<string, (entry: AuditEntry) => string | number | null>>;
  /** Is given each entry as it is written. */
  readonly observe?: (found: SealedEntry) => void;
}

const COLUMNS = [
  'seq',
  'ts',
  'action',
  'outcome',
  'actor_type',
  'actor_id',
  'resource_type',
  'resource_id',
  'resource_name',
];

/** Writes the entries of the window with one of the actions, in the order of the log, one segment in memory at a time. */
export async function writeFromLog(scope: CollectionScope, wanted: LogPopulation): Promise<Population> {
  const log = await scope.log();
  const select: LogSelection = { actions: wanted.actions, outcomes: null };
  const extra = Object.keys(wanted.extra ?? {});
  return scope.write({
    name: wanted.name,
    title: wanted.title,
    select,
    columns: [...COLUMNS, ...extra, 'context', 'leaf'],
    rows: log === null ? [] : selected(log, { scope, wanted }),
    query: querySql(scope, { log, actions: wanted.actions }),
    expected: () => (log === null ? 0 : countInCopy(scope, log, wanted.actions)),
  });
}

async function* selected(
  log: SealedLog,
  { scope: { window }, wanted }: { scope: CollectionScope; wanted: LogPopulation },
): AsyncGenerator<Row, void, undefined> {
  const actions = new Set(wanted.actions);
  for await (const found of log.entries()) {
    if (!actions.has(found.entry.event.action) || !isWithin(found.entry, window)) continue;
    wanted.observe?.(found);
    const extra = Object.entries(wanted.extra ?? {}).map(([name, of]) => [name, of(found.entry)] as const);
    yield { ...rowOf(found), ...Object.fromEntries(extra) };
  }
}

/** Tells whether an entry lies in the window, whose end is outside. */
export function isWithin({ event }: AuditEntry, { from, to }: CollectionScope['window']): boolean {
  const time = Date.parse(event.ts);
  return time >= from.getTime() && time < to.getTime();
}

function rowOf({ entry: { seq, outcome, event }, leaf }: SealedEntry): Row {
  return {
    seq,
    leaf,
    ts: event.ts,
    action: event.action,
    outcome,
    actor_type: event.actor.type,
    actor_id: event.actor.id,
    resource_type: event.resource.type,
    resource_id: event.resource.id,
    resource_name: event.resource.name,
    context: event.context,
  };
}

/** The copy that searches read is written beside the log, not from it: a second witness of how many there are. */
async function countInCopy(
  { ctx, window }: CollectionScope,
  { head }: SealedLog,
  actions: readonly string[],
): Promise<number> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<{ count: string }>(
      `select count(*) as count from log_entries
        where epoch = $1 and seq < $2 and ts >= $3 and ts < $4 and action = any($5)`,
      [head.epoch, head.size, window.from, window.to, actions],
    ),
  );
  return Number(row?.count ?? 0);
}

function querySql(
  { window }: CollectionScope,
  { log, actions }: { log: SealedLog | null; actions: readonly string[] },
): string {
  if (log === null) return '-- Nothing of the log is sealed yet.';
  const { epoch, size } = log.head;
  return `-- Source: the sealed segments in log/. The same rows in the audit database, under the tenant's context; times are UTC.
select seq, encode(leaf, 'hex') as leaf, entry
  from log_entries
 where epoch = ${epoch} and seq < ${size}
   and ts >= '${window.from.toISOString()}' and ts < '${window.to.toISOString()}'
   and action in (${actions.map((action) => `'${action}'`).join(', ')})
 order by seq`;
}
