import type pg from 'pg';
import { entryLeaf, parseEntry, ZERO_PREV } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import { Frontier } from '#schema/merkle.ts';
import { openLogs, saveLogs, type NewEntry, type NewTile, type OpenLog } from '../log-store.ts';
import { recordImported } from '../privacy/index-tokens.ts';
import type { ArchivedSegment } from './archived-segments.ts';
import type { Predecessor } from './predecessor.ts';

/** A log inside the transaction that changes it, and where it was signed last. */
export interface LogScope {
  /** UUID. */
  readonly tenantId: string;
  readonly before: Predecessor;
  readonly now: Date;
}

/** Entries that leave their log. */
export interface Tail {
  /** Number of the first one. */
  readonly from: number;
  /** The tree before it and the leaf before it. */
  readonly frontier: Frontier;
  readonly lastLeaf: string;
}

/** Locks the head and tells whether it still stands right behind what was signed last. */
export async function lockHead(client: pg.PoolClient, { tenantId, before }: LogScope): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from log_heads where tenant_id = $1 and epoch = $2 and next_segment = $3 and sealed_size = $4 for update`,
    [tenantId, before.epoch, before.number, before.size],
  );
  return rowCount === 1;
}

/**
 * Returns from where on the database contradicts an archived segment, or null where it does not: what it holds of these
 * numbers is the same, or it holds less.
 */
export async function contradiction(
  client: pg.PoolClient,
  { tenantId, before }: LogScope,
  { segment }: ArchivedSegment,
): Promise<Tail | null> {
  const { rows } = await client.query<{ seq: string; leaf: Buffer }>(
    `select seq, leaf from log_entries where tenant_id = $1 and epoch = $2 and seq >= $3 and seq < $4 order by seq`,
    [tenantId, before.epoch, before.size, before.size + segment.leaves.length],
  );
  const frontier = Frontier.fromJSON({ size: before.size, nodes: before.frontier });
  let lastLeaf = before.lastLeaf;
  for (const [index, { seq, leaf }] of rows.entries()) {
    if (Number(seq) !== before.size + index) fail('CONFLICT', `entry ${before.size + index} of the log is missing`);
    if (segment.leaves[index]?.equals(leaf) !== true) return { from: before.size + index, frontier, lastLeaf };
    frontier.append(leaf);
    lastLeaf = leaf.toString('hex');
  }
  return null;
}

/**
 * Takes the entries from a number on out of the log, with everything that was made of them, and keeps them for their
 * events to move on. None of them may be signed.
 */
export async function displace(
  client: pg.PoolClient,
  scope: LogScope,
  { from, frontier, lastLeaf }: Tail,
): Promise<void> {
  const { tenantId, before, now } = scope;
  const log = [tenantId, before.epoch, from];
  await client.query(
    `insert into log_displaced (tenant_id, epoch, seq, event_id, leaf, entry, displaced_at)
     select tenant_id, epoch, seq, event_id, leaf, entry, $4 from log_entries
     where tenant_id = $1 and epoch = $2 and seq >= $3 order by seq
     on conflict (tenant_id, epoch, seq, leaf) do update set settled_at = null`,
    [...log, now],
  );
  // With them goes what the search knows of their places (a trigger).
  await client.query('delete from log_entries where tenant_id = $1 and epoch = $2 and seq >= $3', log);
  await client.query(
    'delete from log_tiles where tenant_id = $1 and epoch = $2 and (index + 1) * 256::numeric ^ level > $3',
    log,
  );
  await client.query(
    `update log_heads set size = $3, frontier = $4, last_leaf = decode(nullif($5, $6), 'hex'), updated_at = $7
     where tenant_id = $1 and epoch = $2`,
    [...log, JSON.stringify(frontier.toJSON().nodes), lastLeaf, ZERO_PREV, now],
  );
}

/** Appends to the log what an archived segment holds and the log does not yet; returns how many entries. */
export async function extend(client: pg.PoolClient, scope: LogScope, { lines }: ArchivedSegment): Promise<number> {
  const log = await openLog(client, scope.tenantId);
  return appendAll(client, { log, now: scope.now }, lines.slice(Math.max(0, log.frontier.size - scope.before.size)));
}

/** Returns the log, locked. */
export async function openLog(client: pg.PoolClient, tenantId: string): Promise<OpenLog> {
  const logs = await openLogs(client, [tenantId]);
  return logs.get(tenantId) ?? fail('INTERNAL_SERVER_ERROR', 'a log that was just made is missing');
}

/** Appends entries whose bytes name their place, each asked for once the ones before it stand; returns how many. */
export async function appendAll(
  client: pg.PoolClient,
  { log, now }: { log: OpenLog; now: Date },
  lines: Iterable<Buffer>,
): Promise<number> {
  const tiles: NewTile[] = [];
  const entries: NewEntry[] = [];
  for (const bytes of lines) entries.push(appended(log, bytes, tiles));
  await saveLogs(client, { logs: [log], entries, tiles, refused: [], now });
  const imported = entries.map(({ entry, bytes, leaf }) => ({
    tenantId: log.tenantId,
    epoch: log.epoch,
    seq: entry.seq,
    leaf,
    event: parseEntry(bytes).event,
  }));
  await recordImported(client, imported);
  return entries.length;
}

/** Leaves under one tile: 2^8, and so on for every level above. */
const TILE_LEVELS = 8;

function appended(log: OpenLog, bytes: Buffer, tiles: NewTile[]): NewEntry {
  const entry = parseEntry(bytes);
  if (entry.seq !== log.frontier.size || entry.prev !== log.lastLeaf) fail('CONFLICT', 'the log does not continue');
  const leaf = entryLeaf(bytes);
  log.frontier.append(leaf, ({ level, index }, hash) => {
    if (level % TILE_LEVELS === 0) tiles.push({ log, level: level / TILE_LEVELS, index, hash });
  });
  log.lastLeaf = leaf.toString('hex');
  log.addedBytes += bytes.length + 1;
  const { event, outcome, action_version: actionVersion } = entry;
  const row = {
    tenantId: log.tenantId,
    position: '0',
    id: uuidOf('aud', event.id),
    outcome,
    actionVersion,
    event: '',
  };
  return { log, entry, row, bytes, leaf };
}
