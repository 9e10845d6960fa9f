import { inTenantAudit } from '#kit/database.ts';
import type { Collection, CollectionScope, Collector, ControlException, ControlFinding } from './collector.ts';
import type { SealedLog, SealedSegment } from './sealed-log.ts';
import { cellText, type Row } from './table.ts';

/** E4: whether the log of the window is whole, unchanged, signed and kept, by the check that an auditor can repeat. */
export const logIntegrity: Collector = {
  id: 'E4',
  title: 'Audit log integrity',
  criteria: ['CC7.2', 'CC2.1', 'PI1.5'],
  collect,
};

/** What stands beside the sealed log and may be missing from it. */
interface LogState {
  readonly unsealed: number;
  readonly unsealed_in_window: number;
  readonly refused: number;
  readonly alarm: string | null;
}

const SEGMENTS = 'log-segments';
const UNSEALED = 'Nothing of the log was sealed when the pack was built.';

async function collect(scope: CollectionScope): Promise<Collection> {
  const log = await scope.log();
  const state = await readState(scope, log);
  const segments: Row[] = [];
  for (const segment of log?.segments ?? []) segments.push(await segmentRow(scope, segment, log?.answer.size ?? 0));
  const populations = [
    await scope.write({
      name: SEGMENTS,
      title: 'Sealed segments of the log that cover the window, with what was found of each',
      select: null,
      columns: [
        'number',
        'first_seq',
        'count',
        'sha256',
        'segment_key',
        'manifest_key',
        'verified',
        'retain_until',
        'kept_until',
        'difference',
      ],
      rows: segments,
      query: segmentsSql(log),
      expected: () => (log === null ? 0 : countSegments(scope, log)),
    }),
  ];
  const faults = [...(log === null ? [] : verifierFaults(log)), ...stateFaults(state, log)];
  const retention = segments.flatMap(retentionFault);
  return { populations, controls: controlsOf({ log, state, faults, retention }) };
}

interface Judged {
  readonly log: SealedLog | null;
  readonly state: LogState;
  readonly faults: readonly ControlException[];
  readonly retention: readonly ControlException[];
}

function controlsOf({ log, state, faults, retention }: Judged): ControlFinding[] {
  const untested = log === null ? UNSEALED : null;
  const facts = {
    head: log === null ? null : { origin: log.head.origin, size: log.head.size, root: log.head.root },
    integrity: log?.answer.integrity.verdict ?? 'cannot say',
    completeness: log?.answer.completeness.verdict ?? 'cannot say',
    entries_checked: log?.answer.entries ?? 0,
    entries_not_sealed: state.unsealed,
    entries_not_sealed_in_window: state.unsealed_in_window,
    events_refused: state.refused,
  };
  const replayed =
    'Every entry from the segment before the window to the signed head was hashed again: leaf, link to the entry before, root and signature.';
  return [
    {
      criterion: 'CC7.2',
      test: `${replayed} Events that the log refused, entries beyond the head and alarms were counted.`,
      populations: [SEGMENTS],
      exceptions: faults,
      untested,
      facts,
    },
    { criterion: 'CC2.1', test: replayed, populations: [SEGMENTS], exceptions: faults, untested, facts },
    {
      criterion: 'PI1.5',
      test: 'The retention of every segment and manifest was read from the archive and compared with the one that was set.',
      populations: [SEGMENTS],
      exceptions: retention,
      untested,
      facts: { segments: log?.segments.length ?? 0 },
    },
  ];
}

/** Both verdicts of the verifier, where they are not `pass`. */
function verifierFaults({ answer }: SealedLog): ControlException[] {
  return (['integrity', 'completeness'] as const).flatMap((question) => {
    const { verdict, place } = answer[question];
    if (verdict === 'pass') return [];
    return [
      {
        object: place?.file ?? 'log',
        sentence: `${question} ${verdict}: ${place?.sentence ?? ''}`,
        seq: place?.seq ?? null,
      },
    ];
  });
}

function stateFaults(state: LogState, log: SealedLog | null): ControlException[] {
  const faults: ControlException[] = [];
  const fault = (sentence: string): void => void faults.push({ object: 'log', sentence, seq: log?.head.size ?? null });
  if (state.unsealed_in_window > 0) {
    fault(
      `${state.unsealed_in_window} entries of the window were not sealed when the pack was built and are not in it.`,
    );
  }
  if (state.refused > 0) fault(`${state.refused} events wait outside of the log because it cannot take them.`);
  if (state.alarm !== null) fault(state.alarm);
  return faults;
}

async function readState({ ctx, window }: CollectionScope, log: SealedLog | null): Promise<LogState> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<LogState>(
      `select count(*)::integer as unsealed,
              count(*) filter (where ts >= $3 and ts < $4)::integer as unsealed_in_window,
              (select count(*)::integer from log_refusals) as refused,
              (select string_agg(sentence, ' ' order by sentence) from (select alarm as sentence from log_heads
                 union all select sentence from log_alarms) as alarms) as alarm
         from log_entries where (epoch, seq) >= ($1, $2)`,
      [log?.head.epoch ?? 0, log?.head.size ?? 0, window.from, window.to],
    ),
  );
  return row ?? { unsealed: 0, unsealed_in_window: 0, refused: 0, alarm: null };
}

async function segmentRow({ archive }: CollectionScope, segment: SealedSegment, verifiedSize: number): Promise<Row> {
  const kept = [await archive.head(segment.segmentKey), await archive.head(segment.manifestKey)];
  const untilMs = kept.map((object) => object?.retainUntil.getTime() ?? 0);
  const keptUntil = kept.includes(null) ? null : new Date(Math.min(...untilMs));
  return {
    number: segment.number,
    first_seq: segment.firstSeq,
    count: segment.count,
    sha256: segment.sha256,
    segment_key: segment.segmentKey,
    manifest_key: segment.manifestKey,
    verified: segment.firstSeq + segment.count <= verifiedSize,
    retain_until: segment.retainUntil.toISOString(),
    kept_until: keptUntil?.toISOString() ?? null,
    difference: retentionDifference(keptUntil, segment.retainUntil),
  };
}

function retentionDifference(kept: Date | null, promised: Date): string | null {
  if (kept === null) return 'the archive does not hold both of its objects';
  return kept < promised ? 'the archive keeps it for a shorter time than was set' : null;
}

function retentionFault(row: Row): ControlException[] {
  const { difference, number, first_seq: seq } = row;
  if (typeof difference !== 'string') return [];
  return [{ object: `segment ${cellText(number)}`, sentence: difference, seq: typeof seq === 'number' ? seq : null }];
}

async function countSegments({ ctx }: CollectionScope, { head, from }: SealedLog): Promise<number> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<{ count: number }>(
      `select count(*)::integer as count from segments
        where epoch = $1 and state = 'sealed' and first_seq >= $2 and first_seq < $3`,
      [head.epoch, from.size, head.size],
    ),
  );
  return row?.count ?? 0;
}

function segmentsSql(log: SealedLog | null): string {
  if (log === null) return '-- Nothing of the log is sealed yet.';
  return `-- In the audit database, under the tenant's context; kept_until is what the archive itself answers:
select number, first_seq, count, encode(sha256, 'hex') as sha256, segment_key, manifest_key, retain_until
  from segments
 where epoch = ${log.head.epoch} and state = 'sealed' and first_seq >= ${log.from.size} and first_seq < ${log.head.size}
 order by number`;
}
