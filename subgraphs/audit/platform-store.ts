import { LRUCache } from 'lru-cache';
import { inTenantAudit } from '#kit/database.ts';
import {
  headLeafOf,
  PLATFORM_UUID,
  readPlatformHeads,
  type HeadLeaf,
  type PlatformQuery,
  type TickPlace,
} from '#kit/platform-log.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import type { NodeAddress, NodeLookup } from '#schema/merkle.ts';
import { nodeHash } from '#schema/merkle.ts';
import { compareOrigins } from '#schema/platform-entry.ts';
import { PLATFORM_ID } from '#schema/service-levels.ts';

/** A tick that stands in the archive. */
export interface ArchivedTick extends TickPlace {
  /** Signed note over the log up to its last entry. */
  readonly checkpoint: string;
  /** Number of the entry that commits to the heads, its last. */
  readonly number: number;
  /** Entries of the log with this tick. */
  readonly size: number;
}

/** Which tick is asked for: the newest, or the first that covers an entry of the caller's log. */
export type TickChoice = { readonly newest: true } | { readonly logEpoch: number; readonly seq: number };

/**
 * Runs the work in one transaction over the audit database of the caller's cell, under the platform's own context, whose
 * rows no tenant's context shows. What it returns to a caller must be hers alone, or hashes.
 */
export async function inPlatform<T>(ctx: RequestContext, work: (query: PlatformQuery) => Promise<T>): Promise<T> {
  const tenant = { ...ctx.tenant, tenant: PLATFORM_ID, actor: SYSTEM, scopes: [], sessionId: null };
  return inTenantAudit({ tenant, databases: ctx.databases, signal: ctx.signal }, (tx) =>
    work((text, values) => tx.query(text, values)),
  );
}

const SYSTEM = { type: 'system', id: 'platform-log', ip: null, ua: null } as const;

/** Returns a tick that is archived, or null where there is none yet. */
export async function findTick(
  query: PlatformQuery,
  ctx: RequestContext,
  choice: TickChoice,
): Promise<ArchivedTick | null> {
  if ('newest' in choice)
    return tickOf(await query<TickRow>(`${TICKS} order by epoch desc, tick desc limit 1`, [PLATFORM_UUID]));
  const owner = uuidOf('tnt', ctx.tenant.tenant);
  return tickOf(await query<TickRow>(COVERING_SQL, [PLATFORM_UUID, owner, choice.logEpoch, choice.seq]));
}

/** The heads of a tick in the order of their tree; the newest tick is what nearly everybody asks for. */
const trees = new LRUCache<string, readonly HeadLeaf[]>({ max: 4 });

/** Returns the leaves of a tick's tree of heads in their order. */
export async function headsOf(
  query: PlatformQuery,
  ctx: RequestContext,
  tick: ArchivedTick,
): Promise<readonly HeadLeaf[]> {
  const { origin } = checkpointOf(tick.checkpoint);
  const key = `${origin} ${tick.tick} ${tick.checkpoint}`;
  const known = trees.get(key);
  if (known !== undefined) return known;
  const deployment = origin.slice(0, origin.indexOf('/platform/'));
  const heads = (await readPlatformHeads(query, tick)).map((head) => headLeafOf(deployment, head));
  heads.sort(compareOrigins);
  trees.set(key, heads);
  return heads;
}

/** Returns the checkpoint inside a note of ours. */
export function checkpointOf(note: string) {
  return parseCheckpoint(note.slice(0, note.lastIndexOf('\n\n') + 1));
}

/** Returns the text of an entry. */
export async function readEntry(
  query: PlatformQuery,
  { epoch, number }: { epoch: number; number: number },
): Promise<string> {
  const [row] = await query<{ entry: string }>(
    'select entry from platform_entries where tenant_id = $1 and epoch = $2 and number = $3',
    [PLATFORM_UUID, epoch, number],
  );
  return row?.entry ?? fail('INTERNAL_SERVER_ERROR', `entry ${number} of the platform log is missing`);
}

/** Stored levels are eight levels of the binary tree apart: 2^8 = 256. */
const STORED_EVERY = 8;

/** Reads what these nodes are made of, at most 256 hashes for each, and returns where the nodes can be looked up. */
export async function readNodes(
  query: PlatformQuery,
  epoch: number,
  nodes: readonly NodeAddress[],
): Promise<NodeLookup> {
  const ranges = nodes.map(({ level, index }) => {
    const count = 2 ** (level % STORED_EVERY);
    return { level: Math.floor(level / STORED_EVERY), low: index * count, high: (index + 1) * count };
  });
  const leaves = ranges.filter(({ level }) => level === 0);
  const tiles = ranges.filter(({ level }) => level > 0);
  const rows = await query<{ level: number; index: string; hash: Buffer }>(NODES_SQL, [
    PLATFORM_UUID,
    epoch,
    leaves.map(({ low }) => low),
    leaves.map(({ high }) => high),
    tiles.map(({ level }) => level),
    tiles.map(({ low }) => low),
    tiles.map(({ high }) => high),
  ]);
  const hashes = new Map(rows.map(({ level, index, hash }) => [`${level}:${index}`, hash]));
  const stored = (level: number, index: number) =>
    hashes.get(`${level}:${index}`) ??
    fail('INTERNAL_SERVER_ERROR', `hash ${index} on level ${level} of the platform log is missing`);
  const lookup: NodeLookup = ({ level, index }) =>
    level % STORED_EVERY === 0
      ? stored(level / STORED_EVERY, index)
      : nodeHash(lookup({ level: level - 1, index: index * 2 }), lookup({ level: level - 1, index: index * 2 + 1 }));
  return lookup;
}

// The limits make the planner go to the index once a range; it would read the whole log for a join.
const NODES_SQL = `
select 0 as level, leaf.number as index, leaf.leaf as hash
  from unnest($3::bigint[], $4::bigint[]) as range (low, high), lateral (
    select number, leaf from platform_entries
     where tenant_id = $1 and epoch = $2 and number >= low and number < high order by number limit high - low) as leaf
union all
select tile.level, tile.index, tile.hash
  from unnest($5::integer[], $6::bigint[], $7::bigint[]) as range (tile_level, low, high), lateral (
    select level, index, hash from platform_tiles
     where tenant_id = $1 and epoch = $2 and level = tile_level and index >= low and index < high
     order by index limit high - low) as tile`;

// A head of a tick that never reached the archive is covered by the next one that did, of its epoch.
const COVERING_SQL = `
select tick.* from platform_heads h, lateral (
    select t.epoch, t.tick, t.checkpoint, t.first_number, t.count from platform_ticks t
     where t.tenant_id = $1 and t.epoch = h.epoch and t.tick >= h.tick and t.state = 'archived'
     order by t.tick limit 1) as tick
 where h.tenant_id = $1 and h.owner = $2 and h.log_epoch = $3 and h.size > $4
 order by h.epoch, h.size, h.tick limit 1`;

const TICKS = `select epoch, tick, checkpoint, first_number, count from platform_ticks
  where tenant_id = $1 and state = 'archived'`;

interface TickRow extends TickPlace {
  readonly checkpoint: string;
  readonly first_number: string;
  readonly count: number;
}

function tickOf([row]: readonly TickRow[]): ArchivedTick | null {
  if (row === undefined) return null;
  const size = Number(row.first_number) + row.count;
  return { epoch: row.epoch, tick: row.tick, checkpoint: row.checkpoint, number: size - 1, size };
}
