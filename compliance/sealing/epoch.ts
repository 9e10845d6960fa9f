import type pg from 'pg';
import { actionVersion } from '#schema/audit-actions/index.ts';
import { checkEvent, entryBytes, parseEntry, type AuditEvent } from '#schema/audit-event.ts';
import { idOf, mintId } from '#schema/ids.ts';
import { Frontier } from '#schema/merkle.ts';
import { inTransaction, type OpenLog } from '../log-store.ts';
import { logOrigin, segmentKey } from '../manifest.ts';
import { recordPlatformEvent } from '../platform/event.ts';
import type { PlatformEvent } from '#schema/platform-entry.ts';
import { TOKEN_BLOCK_SIZE } from '../privacy/index-tokens.ts';
import { knowObjects } from '../retention/object-store.ts';
import { appendAll, displace, lockHead, openLog, type LogScope } from './log-import.ts';
import { putSegment } from './objects.ts';
import { nameOf, type SealingOptions } from './options.ts';
import { beginning } from './predecessor.ts';
import { forgetPlan, moveToEpoch, signedLast } from './recovery-store.ts';

/** What became of the events that had to leave their place. */
export interface Moved {
  readonly events: number;
  /** Whether they needed a new epoch. */
  readonly isOpened: boolean;
}

/** Events moved in one transaction. */
const BATCH = 2000;
const OPENED = 'log.epoch_opened';

/** How the log has to go on. */
export interface MoveOptions {
  /** In an epoch of its own, whatever stands in it. */
  readonly mustOpen: boolean;
  /** Tells the platform log of another cell, to which the log goes, once the epoch is there. */
  readonly tell?: (event: PlatformEvent) => Promise<void>;
}

/**
 * Gives every displaced event that the log does not hold a new place at its end. Where they left the epoch that is still
 * the newest, that one ends with what was signed of it, and the next begins with an event `log.epoch_opened` that names
 * its last checkpoint; so does that of a log that has to go on in a new one. The archive is told first that the epoch
 * ends, so that nobody signs more of it: null where it holds another segment there, which is to be brought back before.
 * Ended at any point, a repetition goes on.
 */
export async function moveDisplaced(
  options: SealingOptions,
  tenantId: string,
  { mustOpen: mustOpenOnce, tell: tellOther }: MoveOptions,
): Promise<Moved | null> {
  let events = 0;
  let isOpened = false;
  for (;;) {
    const before = await signedLast(options, tenantId);
    const mustOpen: boolean = mustOpenOnce && !isOpened;
    const scope = { tenantId, before, now: options.clock() };
    const isEnding: boolean = mustOpen || (await inTransaction(options.audit, (client) => isLeft(client, scope)));
    if (isEnding && !(await endInArchive(options, scope))) return null;
    const told: PlatformEvent[] = [];
    const tell = async (client: pg.PoolClient, event: PlatformEvent) =>
      tellOther === undefined ? recordPlatformEvent(client, event) : void told.push(event);
    const batch: Moved | 'overtaken' = await inTransaction(options.audit, (client) =>
      moveBatch(client, { options, scope, mustOpen, isEnding, tell }),
    );
    for (const event of told) await tellOther?.(event);
    if (batch === 'overtaken') continue;
    events += batch.events;
    isOpened ||= batch.isOpened;
    if (batch.events < BATCH) return { events, isOpened };
  }
}

/** Tells whether events that left this epoch need another one. */
async function isLeft(client: pg.PoolClient, scope: LogScope): Promise<boolean> {
  await settle(client, scope);
  return hasWaiting(client, scope);
}

/**
 * Puts an empty segment behind what was signed last, which takes the number from everybody else; false where another
 * segment has it. An epoch of which this archive holds nothing needs no end.
 */
async function endInArchive(options: SealingOptions, { tenantId, before, now }: LogScope): Promise<boolean> {
  if (before.number === 0) return true;
  const key = segmentKey(nameOf(options, { tenantId, epoch: before.epoch }), before.number);
  const retainUntil = new Date(now.getTime() + options.retentionMs);
  if ((await putSegment(options.archive, { segmentKey: key, retainUntil }, Buffer.alloc(0))) === null) return false;
  await knowObjects(options.audit, { tenantId, keys: [key], now });
  return true;
}

interface MoveBatch {
  readonly options: SealingOptions;
  readonly scope: LogScope;
  readonly mustOpen: boolean;
  /** The archive takes no more of the epoch. */
  readonly isEnding: boolean;
  readonly tell: (client: pg.PoolClient, event: PlatformEvent) => Promise<void>;
}

async function moveBatch(
  client: pg.PoolClient,
  { options, scope, mustOpen, isEnding, tell }: MoveBatch,
): Promise<Moved | 'overtaken'> {
  if (!(await lockHead(client, scope))) return 'overtaken';
  await settle(client, scope);
  const isOpened = mustOpen || (await hasWaiting(client, scope));
  if (isOpened && !isEnding) return 'overtaken';
  if (isOpened) await tell(client, await openEpoch(client, options, scope));
  const log = await openLog(client, scope.tenantId);
  const waiting = await waitingEntries(client, scope.tenantId);
  const first = log.frontier.size;
  await appendAll(client, { log, now: scope.now }, moved(log, waiting));
  await moveTokens(client, { log, first, waiting });
  await settle(client, scope);
  return { events: waiting.length, isOpened };
}

/** Whatever led to the blocks where the events stood leads to those where they stand now; too much does no harm. */
async function moveTokens(
  client: pg.PoolClient,
  { log, first, waiting }: { log: OpenLog; first: number; waiting: readonly WaitingEntry[] },
): Promise<void> {
  await client.query(
    `insert into log_index_tokens (tenant_id, token, key_id, epoch, block)
     select distinct t.tenant_id, t.token, t.key_id, $2::integer, moved.block
     from unnest($3::integer[], $4::integer[], $5::integer[]) as moved (old_epoch, old_block, block)
     join log_index_tokens t on t.tenant_id = $1 and t.epoch = moved.old_epoch and t.block = moved.old_block
     on conflict do nothing`,
    [
      log.tenantId,
      log.epoch,
      waiting.map(({ epoch }) => epoch),
      waiting.map(({ seq }) => blockOf(seq)),
      waiting.map((_, index) => blockOf(first + index)),
    ],
  );
}

function blockOf(seq: number): number {
  return Math.floor(seq / TOKEN_BLOCK_SIZE);
}

interface WaitingEntry {
  /** Where it stood. */
  readonly epoch: number;
  readonly seq: number;
  readonly bytes: Buffer;
}

function* moved(log: OpenLog, entries: readonly WaitingEntry[]): Generator<Buffer> {
  for (const { bytes } of entries)
    yield entryBytes({ ...parseEntry(bytes), seq: log.frontier.size, prev: log.lastLeaf });
}

/** Takes out of the log what was appended behind the last signature. */
export async function displaceUnsigned(client: pg.PoolClient, scope: LogScope): Promise<void> {
  const { tenantId, before } = scope;
  const frontier = Frontier.fromJSON({ size: before.size, nodes: before.frontier });
  await displace(client, scope, { from: before.size, frontier, lastLeaf: before.lastLeaf });
  await forgetPlan(client, { tenantId, epoch: before.epoch, number: before.number });
}

/** What was appended behind the last signature moves too: an epoch ends with what is signed of it. */
async function openEpoch(client: pg.PoolClient, options: SealingOptions, scope: LogScope): Promise<PlatformEvent> {
  const { tenantId, before, now } = scope;
  await displaceUnsigned(client, scope);
  const epoch = before.epoch + 1;
  await moveToEpoch(client, { tenantId, epoch, now });
  const log = await openLog(client, tenantId);
  const event = openedEvent(options, { tenantId, before, now });
  const { lastLeaf: prev } = beginning(epoch);
  const first = entryBytes({ v: 1, action_version: actionVersion(OPENED), seq: 0, prev, outcome: 'success', event });
  await appendAll(client, { log, now }, [first]);
  return {
    type: OPENED,
    detail: {
      origin: logOrigin(nameOf(options, { tenantId, epoch })),
      previous_size: before.size,
      previous_root: before.root,
    },
    at: now,
  };
}

function openedEvent(options: SealingOptions, { tenantId, before, now }: LogScope): AuditEvent {
  return checkEvent({
    id: mintId('aud'),
    tenant_id: idOf('tnt', tenantId),
    actor: { type: 'system', id: 'compliance', ip: null, ua: null },
    action: OPENED,
    resource: { type: 'log', id: logOrigin(nameOf(options, { tenantId, epoch: before.epoch + 1 })), name: null },
    context: {
      epoch: before.epoch + 1,
      previous_origin: logOrigin(nameOf(options, { tenantId, epoch: before.epoch })),
      previous_size: before.size,
      previous_root: before.root,
      previous_checkpoint: before.checkpoint,
    },
    session_id: null,
    request_id: null,
    ts: now.toISOString(),
  } satisfies AuditEvent);
}

/** Notes the displaced events that need no new place: the log holds them, or they opened an epoch that another one opens. */
async function settle(client: pg.PoolClient, { tenantId, now }: LogScope): Promise<void> {
  await client.query(
    `update log_displaced d set settled_at = $2 where d.tenant_id = $1 and d.settled_at is null
       and (exists (select from log_entries e where e.tenant_id = d.tenant_id and e.event_id = d.event_id)
         or d.seq = 0 and d.entry::jsonb #>> '{event,action}' = $3
           and exists (select from log_entries e where e.tenant_id = d.tenant_id and e.epoch = d.epoch and e.seq = 0))`,
    [tenantId, now, OPENED],
  );
}

/** Tells whether an event that left this epoch still waits for its new place. */
async function hasWaiting(client: pg.PoolClient, { tenantId, before }: LogScope): Promise<boolean> {
  const { rowCount } = await client.query(
    'select from log_displaced where tenant_id = $1 and epoch = $2 and settled_at is null limit 1',
    [tenantId, before.epoch],
  );
  return rowCount !== 0;
}

/** Each event once, in the order in which they were displaced. */
async function waitingEntries(client: pg.PoolClient, tenantId: string): Promise<WaitingEntry[]> {
  const { rows } = await client.query<{ epoch: number; seq: string; entry: string }>(
    `select epoch, seq, entry from log_displaced d where tenant_id = $1 and settled_at is null and not exists (
       select from log_displaced o where o.tenant_id = $1 and o.settled_at is null and o.event_id = d.event_id
         and o.position < d.position)
     order by position limit $2`,
    [tenantId, BATCH],
  );
  return rows.map(({ epoch, seq, entry }) => ({ epoch, seq: Number(seq), bytes: Buffer.from(entry) }));
}
