import { inTenant } from '#kit/database.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { idOf, type IdPrefix } from '#schema/ids.ts';
import type { CollectionScope, ControlException } from './collector.ts';
import { writeFromLog } from './log-population.ts';
import type { Population } from './population.ts';
import type { SealedEntry } from './sealed-log.ts';
import { cellText, type Row } from './table.ts';

/** How long the ends of accesses took until every gateway refused them, as figures and row by row. */
export interface RevocationEvidence {
  /** `revocations`, from the log, and `revocations-open`, from the database. */
  readonly populations: readonly Population[];
  /** Ends that not every gateway confirmed. */
  readonly exceptions: readonly ControlException[];
  readonly facts: Readonly<Record<string, JsonValue>>;
}

interface Enforced {
  readonly seq: number;
  readonly event: string;
  readonly subject: string;
  readonly reason: string | null;
  readonly latencyMs: number;
}

interface OpenRow {
  readonly id: string;
  readonly subject_type: string;
  readonly subject_id: string;
  readonly reason: string;
  readonly revoked_at: Date;
  readonly gateways: number;
}

/** Slowest ends that the facts name; all of them lie in the population. */
const NAMED_SLOWEST = 10;
/** Revocations read at a time. */
const PAGE_SIZE = 500;
/** Gateways complete the record of a revocation within 7 s, also where one of them says nothing; older ones are overdue. */
const OVERDUE_MS = 10_000;

const SUBJECT_IDS: Readonly<Record<string, IdPrefix>> = {
  user: 'usr',
  api_key: 'key',
  scim_token: 'scm',
  tenant: 'tnt',
};

/** Writes every end of an access in the window with the time that it took, and those whose record is still open. */
export async function revocationEvidence(scope: CollectionScope): Promise<RevocationEvidence> {
  const timed: Enforced[] = [];
  const unconfirmed: ControlException[] = [];
  const overdue: ControlException[] = [];
  const enforced = await writeFromLog(scope, {
    name: 'revocations',
    title: 'Ends of accesses, each with the time until every gateway refused it',
    actions: ['access.revocation_enforced'],
    extra: {
      reason: ({ event }) => text(event.context['reason']),
      revoked_at: ({ event }) => text(event.context['revoked_at']),
      latency_ms: ({ event }) => number(event.context['latency_ms']),
      gateways: ({ event }) => number(event.context['gateways']),
      unconfirmed: ({ event }) => number(event.context['unconfirmed']),
    },
    observe: (found) => {
      timed.push(...timeOf(found));
      unconfirmed.push(...withoutWord(found));
    },
  });
  const open = await scope.write({
    name: 'revocations-open',
    title:
      'Ends of accesses in the window that no entry of the log tells to be in force, at the end of the window or log',
    select: null,
    columns: ['revocation', 'subject_type', 'subject', 'reason', 'revoked_at', 'gateways', 'difference'],
    rows: openRevocations(scope, overdue),
    query: openSql(scope),
    expected: () => countOpen(scope),
  });
  return {
    populations: [enforced, open],
    exceptions: [...unconfirmed, ...overdue],
    facts: {
      revocations_enforced: enforced.count,
      ...figuresOf(timed),
      revocations_unconfirmed: unconfirmed.length,
      revocations_open: open.count,
    },
  };
}

function timeOf({ entry: { seq, event } }: SealedEntry): Enforced[] {
  const latencyMs = number(event.context['latency_ms']);
  if (latencyMs === null) return [];
  return [{ seq, event: event.id, subject: event.resource.id, reason: text(event.context['reason']), latencyMs }];
}

function withoutWord({ entry: { seq, event } }: SealedEntry): ControlException[] {
  const missing = number(event.context['unconfirmed']) ?? 0;
  if (missing === 0) return [];
  const all = cellText(event.context['gateways']);
  const sentence = `${missing} of ${all} gateways had not confirmed in time that they refuse it`;
  return [{ object: event.resource.id, sentence, seq }];
}

/** Percentiles by nearest rank: each is the time of an entry that is there. */
function figuresOf(timed: readonly Enforced[]): Record<string, JsonValue> {
  const slowestFirst = timed.toSorted((left, right) => right.latencyMs - left.latencyMs || left.seq - right.seq);
  const percentile = (percent: number): number | null =>
    slowestFirst[slowestFirst.length - Math.ceil((percent * slowestFirst.length) / 100)]?.latencyMs ?? null;
  return {
    revocation_latency_ms: { p50: percentile(50), p95: percentile(95), p99: percentile(99), max: percentile(100) },
    revocations_slowest: slowestFirst
      .slice(0, NAMED_SLOWEST)
      .map(({ seq, event, subject, reason, latencyMs }) => ({ seq, event, subject, reason, latency_ms: latencyMs })),
  };
}

async function* openRevocations(
  scope: CollectionScope,
  overdue: ControlException[],
): AsyncGenerator<Row, void, undefined> {
  for (let last = '00000000-0000-0000-0000-000000000000'; ;) {
    const page = await openAfter(scope, last);
    for (const { id, subject_type: type, subject_id: subject, reason, revoked_at: at, gateways } of page) {
      const prefix = SUBJECT_IDS[type];
      const difference = differenceOf(scope, { at, gateways });
      const revocation = idOf('rvk', id);
      if (difference !== null) overdue.push({ object: revocation, sentence: difference, seq: null });
      yield {
        revocation,
        subject_type: type,
        subject: prefix === undefined ? subject : idOf(prefix, subject),
        reason,
        revoked_at: at.toISOString(),
        gateways,
        difference,
      };
    }
    const end = page.at(-1);
    if (end === undefined || page.length < PAGE_SIZE) return;
    last = end.id;
  }
}

/** Where no gateway was there to hear of it, none remembers anything that it had to forget. */
function differenceOf({ asOf }: CollectionScope, { at, gateways }: { at: Date; gateways: number }): string | null {
  if (gateways === 0 || asOf.getTime() - at.getTime() < OVERDUE_MS) return null;
  return `no entry tells when the ${gateways} gateways that were there refused it`;
}

function openAfter(scope: CollectionScope, last: string): Promise<OpenRow[]> {
  return inTenant(scope.ctx, (tx) =>
    tx.query<OpenRow>(
      `select id, subject_type, subject_id, reason, revoked_at, gateways from revocations
        where id > $4 and revoked_at >= $1 and revoked_at < $2 and revoked_at <= $3
          and (enforced_at is null or enforced_at > $3)
        order by id limit ${PAGE_SIZE}`,
      [...timesOf(scope), last],
    ),
  );
}

async function countOpen(scope: CollectionScope): Promise<number> {
  const [row] = await inTenant(scope.ctx, (tx) =>
    tx.query<{ count: string }>(
      `select count(*) as count from revocations
        where revoked_at >= $1 and revoked_at < $2 and revoked_at <= $3 and (enforced_at is null or enforced_at > $3)`,
      timesOf(scope),
    ),
  );
  return Number(row?.count ?? 0);
}

function openSql(scope: CollectionScope): string {
  const [from, to, asOf] = timesOf(scope).map((time) => time.toISOString());
  return `-- In the tenant database, under the tenant's context; times are UTC:
select id, subject_type, subject_id, reason, revoked_at, gateways from revocations
 where revoked_at >= '${from}' and revoked_at < '${to}' and revoked_at <= '${asOf}'
   and (enforced_at is null or enforced_at > '${asOf}')
 order by id`;
}

function timesOf({ window, asOf }: CollectionScope): Date[] {
  return [window.from, window.to, asOf];
}

function number(value: JsonValue | undefined): number | null {
  return typeof value === 'number' ? value : null;
}

function text(value: JsonValue | undefined): string | null {
  return typeof value === 'string' ? value : null;
}
