import type pg from 'pg';
import { fail } from '#schema/errors.ts';
import { idOf } from '#schema/ids.ts';
import { Frontier } from '#schema/merkle.ts';
import { log as logLine } from '#kit/log.ts';
import { REFUSAL_ALARM } from '../alarm.ts';
import { inTransaction } from '../log-store.ts';
import { logOrigin, type LogName } from '../manifest.ts';
import { recordPlatformEvent } from '../platform/event.ts';
import { findSegments } from '../segment-store.ts';
import { hasEpoch, standingFrom } from './archived-keys.ts';
import { nextSigned, unsignedSegments, type ArchivedSegment } from './archived-segments.ts';
import { hasWaiting, moveDisplaced } from './epoch.ts';
import { contradiction, displace, displaceArchived, extend, lockHead, type LogScope } from './log-import.ts';
import { nameOf, type SealingOptions } from './options.ts';
import { afterSegment, type Predecessor } from './predecessor.ts';
import {
  beginRecovery,
  endRecovery,
  forgetPlan,
  moveToEpoch,
  signedLast,
  storePlanned,
  storeSealed,
} from './recovery-store.ts';

/** What bringing a log back from the archive did. */
export interface Recovered {
  /** Segments and entries that the database holds now and did not before. */
  readonly segments: number;
  readonly entries: number;
  /** Events that lost their place to what was signed, and stand behind it now. */
  readonly moved: number;
  /** Whether the log goes on in an epoch of its own, because the past could not be continued. */
  readonly isEpochOpened: boolean;
}

const RECOVERY_ALARM = 'The database is behind the archive; the log is being brought back from there.';

interface Done {
  segments: number;
  entries: number;
}

/**
 * Tells whether the archive holds more of a tenant's log than the database, or whether bringing it back was begun and not
 * ended. The database is read after the archive, for every object is planned there before it is put.
 */
export async function isBehind(options: SealingOptions, tenantId: string): Promise<boolean> {
  const head = await readHead(options, tenantId);
  if (head.isRecovering) return true;
  if (!(await hasStrange(options, head))) return false;
  const again = await readHead(options, tenantId);
  return again.epoch === head.epoch && again.number === head.number;
}

/**
 * Brings back into the database what the archive holds of a tenant's log beyond it: entries, tiles, segments and head,
 * each proved as an auditor proves it. Where the database wrote other entries under numbers that were signed, those
 * leave their place and their events move behind what was signed, into a new epoch unless the archive has begun one
 * already. No event is lost or doubled, nothing is signed. Ended at any point, a repetition goes on; sequencers and other
 * workers may run meanwhile. CONFLICT where the archive itself is not in order, or not that of this log.
 */
export async function recoverLog(options: SealingOptions, tenantId: string): Promise<Recovered> {
  const { audit, clock, log = logLine } = options;
  await beginRecovery(audit, { tenantId, sentence: RECOVERY_ALARM, now: clock() });
  const done: Done = { segments: 0, entries: 0 };
  const start = await signedLast(options, tenantId);
  await bringBack(options, { tenantId, start, done });
  const { events: moved, isOpened: isEpochOpened } = await moveDisplaced(options, tenantId);
  const end = await signedLast(options, tenantId);
  const recovered = { ...done, moved, isEpochOpened };
  // An archive whose older segments are gone cannot be joined to a database that never knew them.
  if (await hasStrange(options, { tenantId, epoch: end.epoch, number: end.number })) {
    fail('CONFLICT', 'the archive holds more of the log than the database, but not what comes next');
  }
  await inTransaction(audit, async (client) => {
    if (!(await endRecovery(client, { tenantId, sentence: RECOVERY_ALARM, refusalAlarm: REFUSAL_ALARM }))) return;
    const detail = {
      origin: logOrigin(nameOf(options, { tenantId, epoch: end.epoch })),
      size_before: start.size,
      size_after: end.size,
      segments: done.segments,
      entries: done.entries,
      moved,
      epoch_opened: isEpochOpened,
    };
    await recordPlatformEvent(client, { type: 'log.recovered', detail, at: clock() });
  });
  log('warn', 'log brought back from the archive', { tenant: idOf('tnt', tenantId), ...recovered });
  return recovered;
}

async function bringBack(
  options: SealingOptions,
  { tenantId, start, done }: { tenantId: string; start: Predecessor; done: Done },
): Promise<void> {
  let before = start;
  for (;;) {
    const scope = { tenantId, before, now: options.clock() };
    const log = nameOf(options, { tenantId, epoch: before.epoch });
    const found = await nextSigned(options, log, before);
    if (found !== null) {
      const entries = await inTransaction(options.audit, (client) => importSigned(client, scope, found));
      before = entries === null ? await signedLast(options, tenantId) : behind(before, found);
      done.segments += entries === null ? 0 : 1;
      done.entries += entries ?? 0;
      continue;
    }
    const loose = await unsignedSegments(options, log, before);
    if (await hasEpoch(options.archive, { ...log, epoch: before.epoch + 1 })) {
      await inTransaction(options.audit, (client) => endEpoch(client, scope, loose));
      before = await signedLast(options, tenantId);
      continue;
    }
    done.entries += await inTransaction(options.audit, (client) => takeLoose(client, options, { scope, log, loose }));
    return;
  }
}

/** Returns how many entries were new; null where another worker got ahead. */
async function importSigned(client: pg.PoolClient, scope: LogScope, found: ArchivedSegment): Promise<number | null> {
  if (!(await lockHead(client, scope))) return null;
  const tail = await contradiction(client, scope, found);
  if (tail !== null) await displace(client, scope, tail);
  const entries = await extend(client, scope, found);
  await storeSealed(client, scope, found);
  return entries;
}

function behind({ epoch, number }: Predecessor, { frontier, signed }: ArchivedSegment): Predecessor {
  if (signed === null) return fail('INTERNAL_SERVER_ERROR', 'an unsigned segment is not sealed');
  return afterSegment({ epoch, number, frontier, text: signed.text });
}

/** The archive has the next epoch already: what stands behind the last signature of this one has no place here. */
async function endEpoch(client: pg.PoolClient, scope: LogScope, loose: readonly ArchivedSegment[]): Promise<void> {
  if (!(await lockHead(client, scope))) return;
  await displaceUnsigned(client, scope, loose);
  await moveToEpoch(client, { tenantId: scope.tenantId, epoch: scope.before.epoch + 1, now: scope.now });
}

/**
 * A segment that was put and never signed by a worker of the future that was lost: where it continues what the database
 * holds it becomes the plan of the next segment, so that its name in the archive gets its manifest; else its events move.
 */
async function takeLoose(
  client: pg.PoolClient,
  options: SealingOptions,
  { scope, log, loose }: { scope: LogScope; log: LogName; loose: readonly ArchivedSegment[] },
): Promise<number> {
  const { tenantId, before, now } = scope;
  if (!(await lockHead(client, scope))) return 0;
  const [open] = await findSegments(client, [{ tenantId, epoch: log.epoch, number: before.number }]);
  if (loose.every(({ key }) => key === open?.segmentKey)) return 0;
  if (open !== undefined && open.state !== 'planned') {
    fail('CONFLICT', `the archive holds another segment ${before.number} than the one that was signed`);
  }
  const [only, ...others] = loose;
  const isFree = others.length === 0 && !(await hasWaiting(client, scope));
  if (only === undefined || !isFree || (await contradiction(client, scope, only)) !== null) {
    await displaceUnsigned(client, scope, loose);
    return 0;
  }
  const entries = await extend(client, scope, only);
  await storePlanned(client, {
    tenantId,
    epoch: log.epoch,
    number: before.number,
    firstSeq: before.size,
    count: only.segment.entries.length,
    sizeBytes: only.segment.bytes.length,
    sha256: only.segment.sha256,
    frontier: only.frontier,
    segmentKey: only.key,
    plannedAt: now,
    retainUntil: new Date(now.getTime() + options.retentionMs),
  });
  return entries;
}

async function displaceUnsigned(
  client: pg.PoolClient,
  scope: LogScope,
  loose: readonly ArchivedSegment[],
): Promise<void> {
  const { tenantId, before } = scope;
  const frontier = Frontier.fromJSON({ size: before.size, nodes: before.frontier });
  for (const segment of loose) await displaceArchived(client, scope, segment);
  await displace(client, scope, { from: before.size, frontier, lastLeaf: before.lastLeaf });
  await forgetPlan(client, { tenantId, epoch: before.epoch, number: before.number });
}

interface HeadPlace {
  readonly tenantId: string;
  readonly epoch: number;
  readonly number: number;
}

async function readHead({ audit }: SealingOptions, tenantId: string): Promise<HeadPlace & { isRecovering: boolean }> {
  const { rows } = await audit.query<{ epoch: number; next_segment: number; is_recovering: boolean }>(
    'select epoch, next_segment, recovering_since is not null as is_recovering from log_heads where tenant_id = $1',
    [tenantId],
  );
  const { epoch, next_segment: number, is_recovering: isRecovering } = rows[0] ?? NO_HEAD;
  return { tenantId, epoch, number, isRecovering };
}

const NO_HEAD = { epoch: 1, next_segment: 0, is_recovering: false };

/** Tells whether the archive holds anything from a segment on that is not in the row of that segment. */
async function hasStrange(options: SealingOptions, place: HeadPlace): Promise<boolean> {
  const { keys, hasLater } = await standingFrom(options.archive, { log: nameOf(options, place), number: place.number });
  if (hasLater) return true;
  if (keys.length === 0) return false;
  const [open] = await findSegments(options.audit, [place]);
  const manifestKey = open?.archived?.manifestKey;
  if (keys.some((key) => key !== open?.segmentKey && key !== manifestKey)) return true;
  // Behind a manifest that stands there another segment may stand, of which this database knows nothing.
  return keys.some((key) => key === manifestKey) && hasStrange(options, { ...place, number: place.number + 1 });
}
