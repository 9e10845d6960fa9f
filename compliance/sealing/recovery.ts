import type pg from 'pg';
import { fail } from '#schema/errors.ts';
import { idOf } from '#schema/ids.ts';
import { log as logLine } from '#kit/log.ts';
import { REFUSAL_ALARM } from '../alarm.ts';
import { inTransaction } from '../log-store.ts';
import { logOrigin } from '../manifest.ts';
import { recordPlatformEvent } from '../platform/event.ts';
import { findSegments } from '../segment-store.ts';
import { hasElsewhere, hasEpoch, isAhead, standingAt, type Place } from './archived-keys.ts';
import { nextSigned, unsignedNext, type ArchivedSegment } from './archived-segments.ts';
import { displaceUnsigned, moveDisplaced } from './epoch.ts';
import { contradiction, displace, extend, lockHead, type LogScope } from './log-import.ts';
import { confirm, putFirst } from './objects.ts';
import { nameOf, type SealingOptions } from './options.ts';
import { afterSegment, type Predecessor } from './predecessor.ts';
import { beginRecovery, endRecovery, moveToEpoch, signedLast, storeSealed } from './recovery-store.ts';
import { sealable, signSegment } from './sealable.ts';

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
  const [open] = await findSegments(options.audit, [head]);
  if (!(await isAhead(options.archive, placeOf(options, head), open ?? null))) return false;
  const again = await readHead(options, tenantId);
  return again.epoch === head.epoch && again.number === head.number;
}

/**
 * Brings back into the database what the archive holds of a tenant's log beyond it: entries, tiles, segments and head,
 * each proved as an auditor proves it; a segment that was put and not signed is signed, since nothing else can stand
 * under its number. Where the database wrote other entries under numbers that are taken, those leave their place and
 * their events move behind what was signed, into a new epoch unless the archive has begun one already. No event is lost
 * or doubled. Ended at any point, a repetition goes on; sequencers and other workers may run meanwhile, over other
 * databases too. CONFLICT where the archive itself is not in order, or not that of this log.
 */
export async function recoverLog(options: SealingOptions, tenantId: string): Promise<Recovered> {
  const { audit, clock, log = logLine } = options;
  await beginRecovery(audit, { tenantId, sentence: RECOVERY_ALARM, now: clock() });
  const done: Done = { segments: 0, entries: 0 };
  const start = await signedLast(options, tenantId);
  const { moved, isEpochOpened } = await joinArchive(options, { tenantId, start, done });
  const end = await signedLast(options, tenantId);
  const recovered = { ...done, moved, isEpochOpened };
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

interface Joining {
  readonly tenantId: string;
  readonly start: Predecessor;
  readonly done: Done;
}

/** Until nothing strange stands behind the end: a worker over another database may add to the log meanwhile. */
async function joinArchive(
  options: SealingOptions,
  { tenantId, start, done }: Joining,
): Promise<Pick<Recovered, 'moved' | 'isEpochOpened'>> {
  const sum = { moved: 0, isEpochOpened: false };
  for (let before = start; ; before = await signedLast(options, tenantId)) {
    const isEnded = await bringBack(options, { tenantId, start: before, done });
    const moved = await moveDisplaced(options, tenantId, { mustOpen: isEnded });
    sum.moved += moved?.events ?? 0;
    sum.isEpochOpened ||= moved?.isOpened ?? false;
    const place = placeOf(options, { tenantId, ...(await signedLast(options, tenantId)) });
    const { hasSegment, hasManifest } = await standingAt(options.archive, place);
    if (moved === null || hasSegment || hasManifest) continue;
    // An archive whose older segments are gone cannot be joined to a database that never knew them.
    if (await hasElsewhere(options.archive, place)) {
      fail('CONFLICT', 'the archive holds more of the log than the database, but not what comes next');
    }
    return sum;
  }
}

/** Returns whether the epoch has ended in the archive, and no next one begun. */
async function bringBack(options: SealingOptions, { tenantId, start, done }: Joining): Promise<boolean> {
  for (let before = start; ;) {
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
    const next = await unsignedNext(options, log, before);
    if (next !== null && next !== 'end') {
      await signFound(options, scope, next);
    } else if (await hasEpoch(options.archive, { ...log, epoch: before.epoch + 1 })) {
      await inTransaction(options.audit, (client) => leaveEpoch(client, scope));
      before = await signedLast(options, tenantId);
    } else return next === 'end';
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

/**
 * Puts the manifest of a segment that has its number for good. Whoever else does so signs the same tree; where the words
 * around the signature are others, the first manifest holds.
 */
async function signFound(
  options: SealingOptions,
  { tenantId, before, now }: LogScope,
  found: ArchivedSegment,
): Promise<void> {
  const { archive, retentionMs } = options;
  const { key, packed, segment } = found;
  const retainUntil = new Date(now.getTime() + retentionMs);
  await confirm(archive, { key, sizeBytes: packed.length, retainUntil });
  const { epoch, number, size: firstSeq } = before;
  const row = { tenantId, epoch, number, firstSeq, count: segment.entries.length, segmentKey: key, plannedAt: now };
  const stored = { bytes: segment.bytes, leaves: Buffer.concat(segment.leaves) };
  const signed = signSegment(options, { row: { ...row, retainUntil }, segment: sealable(before, stored), packed });
  await putFirst(archive, { key: signed.key, bytes: Buffer.from(signed.text), retainUntil });
}

/** The archive has the next epoch already: what stands behind the last signature of this one has no place here. */
async function leaveEpoch(client: pg.PoolClient, scope: LogScope): Promise<void> {
  if (!(await lockHead(client, scope))) return;
  const { tenantId, before, now } = scope;
  await displaceUnsigned(client, scope);
  await moveToEpoch(client, { tenantId, epoch: before.epoch + 1, now });
}

interface HeadPlace {
  readonly tenantId: string;
  readonly epoch: number;
  readonly number: number;
}

function placeOf(options: SealingOptions, { number, ...log }: HeadPlace): Place {
  return { log: nameOf(options, log), number };
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
