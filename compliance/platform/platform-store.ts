import type pg from 'pg';
import { PLATFORM_UUID, readPlatformHeads, type StoredHead, type TickPlace } from '#kit/platform-log.ts';
import { fail } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import { FIRST_PREV } from '#schema/platform-entry.ts';

/** The platform log as far as it is planned. */
export interface PlannedLog {
  readonly epoch: number;
  readonly nextTick: number;
  readonly frontier: Frontier;
  /** Lower-case hex; `FIRST_PREV` while the log is empty. */
  readonly lastLeaf: string;
  readonly tickedAt: Date | null;
  readonly alarm: string | null;
}

/** An event that waits to become an entry. */
export interface QueuedEvent {
  readonly position: string;
  readonly type: string;
  /** Canonical JSON. */
  readonly detail: string;
  readonly at: Date;
}

/** A row of platform_ticks that is not archived yet. */
export interface TickRow extends TickPlace {
  readonly state: 'planned' | 'signed';
  readonly firstNumber: number;
  readonly count: number;
  readonly root: Buffer;
  readonly frontier: readonly string[];
  readonly retainUntil: Date;
  readonly signed: { readonly checkpoint: string; readonly sha256: string; readonly key: string } | null;
}

type Connection = pg.Pool | pg.ClientBase;

/** Returns the platform log, made where it is not there yet; with `lock` it stays as it is until the transaction ends. */
export async function readLog(audit: Connection, options: { lock: boolean }): Promise<PlannedLog> {
  const columns = 'epoch, next_tick, size, last_leaf, frontier, ticked_at, alarm';
  const select = `select ${columns} from platform_log where tenant_id = $1${options.lock ? ' for update' : ''}`;
  const found = await audit.query<LogRow>(select, [PLATFORM_UUID]);
  if (found.rows[0] !== undefined) return plannedLog(found.rows[0]);
  await audit.query('insert into platform_log (tenant_id) values ($1) on conflict do nothing', [PLATFORM_UUID]);
  const { rows } = await audit.query<LogRow>(select, [PLATFORM_UUID]);
  return plannedLog(rows[0] ?? fail('INTERNAL_SERVER_ERROR', 'the platform log that was just made is missing'));
}

/** Returns the heads that the newest planned tick of an epoch has committed to. */
export async function readHeads(audit: Connection, { epoch }: Pick<TickPlace, 'epoch'>): Promise<StoredHead[]> {
  const query = async <Row extends object>(text: string, values: readonly unknown[]) =>
    (await audit.query<Row>(text, [...values])).rows;
  return readPlatformHeads(query, { epoch, tick: 2_147_483_647 });
}

/** Returns the oldest events that wait, in the order in which they were handed in. */
export async function readQueue(client: pg.ClientBase, limit: number): Promise<QueuedEvent[]> {
  const { rows } = await client.query<QueuedEvent>(
    'select position::text as position, type, detail, at from platform_events where tenant_id = $1 order by position limit $2',
    [PLATFORM_UUID, limit],
  );
  return rows;
}

/** Takes events out of the queue that became entries in this transaction. */
export async function emptyQueue(client: pg.ClientBase, positions: readonly string[]): Promise<void> {
  if (positions.length === 0) return;
  await client.query('delete from platform_events where tenant_id = $1 and position = any ($2::bigint[])', [
    PLATFORM_UUID,
    positions,
  ]);
}

/** How far the log of a tenant is, without what it takes to compute its root. */
export interface LogSize {
  readonly owner: string;
  readonly logEpoch: number;
  readonly size: number;
  readonly mutations: number;
  readonly events: number;
}

/** Returns the size of every tenant log of the cell with the tenant's reconciled counts. */
export async function readSizes(client: pg.ClientBase): Promise<LogSize[]> {
  const { rows } = await client.query<
    Record<'tenant_id' | 'size' | 'mutations' | 'events', string> & { epoch: number }
  >(
    `select h.tenant_id, h.epoch, h.size, coalesce(t.mutations, 0) as mutations, coalesce(t.events, 0) as events
       from log_heads h left join mutation_totals t on t.tenant_id = h.tenant_id`,
  );
  return rows.map(({ tenant_id: owner, epoch, size, mutations, events }) => {
    return { owner, logEpoch: epoch, size: Number(size), mutations: Number(mutations), events: Number(events) };
  });
}

/** Returns the trees of these tenants' logs; null for one that is damaged. */
export async function readTrees(
  client: pg.ClientBase,
  owners: readonly string[],
): Promise<Map<string, { readonly logEpoch: number; readonly frontier: Frontier | null }>> {
  const { rows } = await client.query<{ tenant_id: string; epoch: number; size: string; frontier: unknown }>(
    'select tenant_id, epoch, size, frontier from log_heads where tenant_id = any ($1)',
    [owners],
  );
  return new Map(
    rows.map((row) => [row.tenant_id, { logEpoch: row.epoch, frontier: frontierOf(row.frontier, Number(row.size)) }]),
  );
}

/** A tick with everything that its plan fixes. */
export interface TickPlan extends TickPlace {
  readonly at: Date;
  readonly firstNumber: number;
  readonly entries: readonly { readonly text: string; readonly leaf: Buffer }[];
  readonly tiles: readonly { readonly level: number; readonly index: number; readonly hash: Buffer }[];
  readonly heads: readonly StoredHead[];
  readonly logs: number;
  /** Of the tree behind the last entry. */
  readonly frontier: Frontier;
  readonly retainUntil: Date;
}

/** Stores a planned tick and moves the log behind it. */
export async function insertTick(client: pg.ClientBase, plan: TickPlan): Promise<void> {
  const { epoch, tick, frontier } = plan;
  const nodes = JSON.stringify(frontier.toJSON().nodes);
  await client.query(
    `insert into platform_ticks (tenant_id, epoch, tick, state, at, first_number, count, root, frontier, logs, retain_until)
     values ($1, $2, $3, 'planned', $4, $5, $6, $7, $8, $9, $10)`,
    [
      PLATFORM_UUID,
      epoch,
      tick,
      plan.at,
      plan.firstNumber,
      plan.entries.length,
      frontier.root(),
      nodes,
      plan.logs,
      plan.retainUntil,
    ],
  );
  await insertEntries(client, plan);
  await insertTiles(client, plan);
  await insertHeads(client, plan);
  await client.query(
    `update platform_log set epoch = $2, next_tick = $3, size = $4, last_leaf = $5, frontier = $6, ticked_at = $7
     where tenant_id = $1`,
    [PLATFORM_UUID, epoch, tick + 1, frontier.size, plan.entries.at(-1)?.leaf ?? null, nodes, plan.at],
  );
}

/** Returns the oldest tick that is not archived, or null. */
export async function oldestOpenTick(audit: pg.Pool): Promise<TickRow | null> {
  const { rows } = await audit.query<RawTick>(
    `select ${TICK_COLUMNS} from platform_ticks where tenant_id = $1 and state in ('planned', 'signed')
     order by epoch, tick limit 1`,
    [PLATFORM_UUID],
  );
  return rows[0] === undefined ? null : tickOf(rows[0]);
}

/** What the archive holds before a tick. */
export interface ArchivedTick {
  readonly key: string;
  readonly checkpoint: string;
  readonly size: number;
  readonly frontier: readonly string[];
}

/** Returns a tick that is archived; null where there is none of that number. */
export async function findArchivedTick(audit: pg.Pool, { epoch, tick }: TickPlace): Promise<ArchivedTick | null> {
  const { rows } = await audit.query<{ key: string; checkpoint: string; size: string; frontier: string[] }>(
    `select key, checkpoint, first_number + count as size, frontier from platform_ticks
     where tenant_id = $1 and epoch = $2 and tick = $3 and state = 'archived'`,
    [PLATFORM_UUID, epoch, tick],
  );
  return rows[0] === undefined ? null : { ...rows[0], size: Number(rows[0].size) };
}

/** Returns the entries of a tick in their order. */
export async function readTickEntries(audit: Connection, { epoch, firstNumber, count }: TickRow): Promise<string[]> {
  const { rows } = await audit.query<{ entry: string }>(
    `select entry from platform_entries where tenant_id = $1 and epoch = $2 and number >= $3 and number < $3::bigint + $4
     order by number`,
    [PLATFORM_UUID, epoch, firstNumber, count],
  );
  return rows.map(({ entry }) => entry);
}

/** Returns the heads that a tick has changed, in no order. */
export async function readTickHeads(audit: pg.Pool, { epoch, tick }: TickPlace): Promise<StoredHead[]> {
  const { rows } = await audit.query<HeadRow>(
    `select owner, log_epoch, size, root, mutations, events from platform_heads
     where tenant_id = $1 and epoch = $2 and tick = $3`,
    [PLATFORM_UUID, epoch, tick],
  );
  return rows.map((row) => ({
    owner: row.owner,
    logEpoch: row.log_epoch,
    size: Number(row.size),
    root: row.root.toString('hex'),
    mutations: Number(row.mutations),
    events: Number(row.events),
  }));
}

/** Fixes what is signed; null where another worker has got ahead. */
export async function markSigned(
  audit: pg.Pool,
  { epoch, tick }: TickPlace,
  signed: NonNullable<TickRow['signed']>,
): Promise<TickRow | null> {
  const { rows } = await audit.query<RawTick>(
    `update platform_ticks set state = 'signed', checkpoint = $4, sha256 = decode($5, 'hex'), key = $6
     where tenant_id = $1 and epoch = $2 and tick = $3 and state = 'planned' returning ${TICK_COLUMNS}`,
    [PLATFORM_UUID, epoch, tick, signed.checkpoint, signed.sha256, signed.key],
  );
  return rows[0] === undefined ? null : tickOf(rows[0]);
}

/** Closes a tick, with which an alarm ends; false where another worker has done so. */
export async function markArchived(audit: pg.Pool, { epoch, tick }: TickPlace, now: Date): Promise<boolean> {
  const { rowCount } = await audit.query(
    `with closed as (
       update platform_ticks set state = 'archived', archived_at = $4
       where tenant_id = $1 and epoch = $2 and tick = $3 and state = 'signed' returning tenant_id
     )
     update platform_log l set alarm = null, alarm_since = null from closed where l.tenant_id = closed.tenant_id`,
    [PLATFORM_UUID, epoch, tick, now],
  );
  return rowCount === 1;
}

/**
 * Gives up the open ticks of an epoch and returns them in their order. What was signed of one is forgotten: it has left
 * this database for nowhere.
 */
export async function abandonTicks(client: pg.ClientBase, epoch: number): Promise<TickRow[]> {
  const { rows } = await client.query<RawTick>(
    `update platform_ticks set state = 'abandoned', checkpoint = null, sha256 = null, key = null
     where tenant_id = $1 and epoch = $2 and state in ('planned', 'signed')
     returning epoch, tick, 'planned' as state, first_number, count, root, frontier, retain_until, checkpoint, sha256, key`,
    [PLATFORM_UUID, epoch],
  );
  return rows.map(tickOf).toSorted((left, right) => left.tick - right.tick);
}

/** Shows an alarm at the head of the platform log; while the same one stands, its date is kept. */
export async function raisePlatformAlarm(audit: pg.Pool, sentence: string, now: Date): Promise<void> {
  await audit.query(
    `update platform_log set alarm = $2, alarm_since = coalesce(alarm_since, $3)
     where tenant_id = $1 and alarm is distinct from $2`,
    [PLATFORM_UUID, sentence, now],
  );
}

const TICK_COLUMNS = 'epoch, tick, state, first_number, count, root, frontier, retain_until, checkpoint, sha256, key';

interface RawTick {
  readonly epoch: number;
  readonly tick: number;
  readonly state: TickRow['state'];
  readonly first_number: string;
  readonly count: number;
  readonly root: Buffer;
  readonly frontier: string[];
  readonly retain_until: Date;
  readonly checkpoint: string | null;
  readonly sha256: Buffer | null;
  readonly key: string | null;
}

interface LogRow {
  readonly epoch: number;
  readonly next_tick: number;
  readonly size: string;
  readonly last_leaf: Buffer | null;
  readonly frontier: unknown;
  readonly ticked_at: Date | null;
  readonly alarm: string | null;
}

interface HeadRow {
  readonly owner: string;
  readonly log_epoch: number;
  readonly size: string;
  readonly root: Buffer;
  readonly mutations: string;
  readonly events: string;
}

function plannedLog(row: LogRow): PlannedLog {
  const frontier = frontierOf(row.frontier, Number(row.size));
  return {
    epoch: row.epoch,
    nextTick: row.next_tick,
    frontier: frontier ?? fail('CONFLICT', 'the frontier of the platform log does not fit its size'),
    lastLeaf: row.last_leaf?.toString('hex') ?? FIRST_PREV,
    tickedAt: row.ticked_at,
    alarm: row.alarm,
  };
}

function tickOf(row: RawTick): TickRow {
  const { epoch, tick, state, count, root, frontier, checkpoint, sha256, key } = row;
  const signed =
    checkpoint === null || sha256 === null || key === null ? null : { checkpoint, sha256: sha256.toString('hex'), key };
  const firstNumber = Number(row.first_number);
  return { epoch, tick, state, firstNumber, count, root, frontier, retainUntil: row.retain_until, signed };
}

function frontierOf(nodes: unknown, size: number): Frontier | null {
  if (!Array.isArray(nodes) || !nodes.every((node) => typeof node === 'string')) return null;
  try {
    return Frontier.fromJSON({ size, nodes });
  } catch {
    return null;
  }
}

async function insertEntries(client: pg.ClientBase, { epoch, tick, firstNumber, entries }: TickPlan): Promise<void> {
  await client.query(
    `insert into platform_entries (tenant_id, epoch, number, tick, leaf, entry)
     select $1, $2, $3::bigint + place - 1, $4, decode(leaf, 'hex'), entry
       from unnest($5::text[], $6::text[]) with ordinality as e (leaf, entry, place)`,
    [
      PLATFORM_UUID,
      epoch,
      firstNumber,
      tick,
      entries.map(({ leaf }) => leaf.toString('hex')),
      entries.map(({ text }) => text),
    ],
  );
}

async function insertTiles(client: pg.ClientBase, { epoch, tiles }: TickPlan): Promise<void> {
  if (tiles.length === 0) return;
  await client.query(
    `insert into platform_tiles (tenant_id, epoch, level, index, hash)
     select $1, $2, level, index, decode(hash, 'hex')
       from unnest($3::integer[], $4::bigint[], $5::text[]) as t (level, index, hash)`,
    [
      PLATFORM_UUID,
      epoch,
      tiles.map(({ level }) => level),
      tiles.map(({ index }) => index),
      tiles.map(({ hash }) => hash.toString('hex')),
    ],
  );
}

async function insertHeads(client: pg.ClientBase, { epoch, tick, heads }: TickPlan): Promise<void> {
  if (heads.length === 0) return;
  await client.query(
    `insert into platform_heads (tenant_id, epoch, owner, log_epoch, tick, size, root, mutations, events)
     select $1, $2, owner, log_epoch, $3, size, decode(root, 'hex'), mutations, events
       from unnest($4::uuid[], $5::integer[], $6::bigint[], $7::text[], $8::bigint[], $9::bigint[])
         as h (owner, log_epoch, size, root, mutations, events)`,
    [
      PLATFORM_UUID,
      epoch,
      tick,
      heads.map(({ owner }) => owner),
      heads.map(({ logEpoch }) => logEpoch),
      heads.map(({ size }) => size),
      heads.map(({ root }) => root),
      heads.map(({ mutations }) => mutations),
      heads.map(({ events }) => events),
    ],
  );
}
