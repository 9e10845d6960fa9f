import type pg from 'pg';
import { headLeafOf, headOrigin, type HeadLeaf, type StoredHead } from '#kit/platform-log.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { isObject } from '#schema/json-object.ts';
import { Frontier } from '#schema/merkle.ts';
import {
  encodePlatformEntry,
  FIRST_PREV,
  platformLeaf,
  type PlatformEntry,
  type PlatformEvent,
} from '#schema/platform-entry.ts';
import { newHeadTree, type HeadTree } from './head-tree.ts';
import {
  emptyQueue,
  insertTick,
  readHeads,
  readQueue,
  readSizes,
  readTrees,
  type LogSize,
  type PlannedLog,
  type TickPlan,
} from './platform-store.ts';

/** What a plan needs to know of its surroundings. */
export interface PlanningOptions {
  /** Host-like name of the deployment. */
  readonly deployment: string;
  readonly now: Date;
  readonly retentionMs: number;
}

/** A head with its leaf. */
export type KnownHead = StoredHead & HeadLeaf;

/** Heads as they stand in memory between two ticks, and for which tick they hold. */
export interface RememberedHeads {
  readonly epoch: number;
  readonly nextTick: number;
  readonly tree: HeadTree<KnownHead>;
}

/** What a plan did. */
export interface Planned {
  readonly heads: RememberedHeads;
  readonly changed: number;
  /** UUIDs of tenants whose log is shorter than the platform log has committed to, or damaged; their heads stay. */
  readonly refused: readonly string[];
}

/** Where the next tick goes. */
export interface NextTick {
  readonly log: PlannedLog;
  readonly heads: RememberedHeads | null;
  /** Entries before those of the queue: what opens an epoch. */
  readonly first?: readonly PlatformEvent[];
  /** Heads of the epoch before, so that a log whose tenant has gone on to another stays in the tree. */
  readonly carried?: readonly StoredHead[];
}

/** So many that an object stays small; the rest follow with the next tick. */
const MOST_EVENTS = 1_000;
/** Tiles of 256, as in log_tiles. */
const TILE_LEVELS = 8;

/**
 * Fixes the next tick in the caller's transaction, which holds the lock of the platform log: the events that wait, the
 * heads that changed, and the entry that commits to all heads. Nothing is signed.
 */
export async function planTick(client: pg.ClientBase, next: NextTick, options: PlanningOptions): Promise<Planned> {
  const { log } = next;
  const { epoch, nextTick: tick } = log;
  const known = (head: StoredHead): KnownHead => ({ ...head, ...headLeafOf(options.deployment, head) });
  const tree = await currentTree(client, next, known);
  const find: Find = (one) => tree.find(headOrigin(options.deployment, one));
  const { heads, refused } = await changedHeads(client, find);
  for (const head of heads) tree.set(known(head));
  for (const head of (next.carried ?? []).filter((each) => find(each) === undefined)) {
    tree.set(known(head));
    heads.push(head);
  }
  const queued = await readQueue(client, MOST_EVENTS);
  const at = new Date(Math.max(options.now.getTime(), log.tickedAt?.getTime() ?? 0));
  const grown = grow(log, [
    ...(next.first ?? []).map(eventEntry),
    ...queued.map((event) => eventEntry({ ...event, detail: detailOf(event.detail) })),
    { kind: 'heads', at: at.toISOString(), tenants: tree.size, heads_root: tree.root().toString('hex') },
  ]);
  await insertTick(client, {
    epoch,
    tick,
    at,
    firstNumber: log.frontier.size,
    ...grown,
    heads,
    logs: tree.size,
    retainUntil: new Date(at.getTime() + options.retentionMs),
  });
  await emptyQueue(
    client,
    queued.map(({ position }) => position),
  );
  return { heads: { epoch, nextTick: tick + 1, tree }, changed: heads.length, refused };
}

/** Memory is believed only where it speaks of the tick before; another worker may have planned since. */
async function currentTree(
  client: pg.ClientBase,
  { log, heads }: NextTick,
  known: (head: StoredHead) => KnownHead,
): Promise<HeadTree<KnownHead>> {
  if (heads !== null && heads.epoch === log.epoch && heads.nextTick === log.nextTick) return heads.tree;
  const tree = newHeadTree<KnownHead>();
  for (const head of await readHeads(client, log)) tree.set(known(head));
  return tree;
}

type Log = Pick<StoredHead, 'owner' | 'logEpoch'>;
type Find = (log: Log) => KnownHead | undefined;

async function changedHeads(client: pg.ClientBase, find: Find): Promise<{ heads: StoredHead[]; refused: string[] }> {
  const sizes = await readSizes(client);
  const changed = sizes.filter((log) => isChanged(log, find(log)));
  const grown = changed.filter((log) => find(log)?.size !== log.size);
  const trees =
    grown.length === 0
      ? null
      : await readTrees(
          client,
          grown.map(({ owner }) => owner),
        );
  const heads: StoredHead[] = [];
  const refused: string[] = [];
  for (const log of changed) {
    const known = find(log);
    if (known?.size === log.size) heads.push({ ...log, root: known.root });
    else {
      const found = trees?.get(log.owner);
      // Between the two statements the tenant's next epoch began: it comes with the next tick.
      if (found === undefined || found.logEpoch !== log.logEpoch) continue;
      const { frontier } = found;
      if (frontier === null || frontier.size < (known?.size ?? 0)) refused.push(log.owner);
      else heads.push({ ...log, size: frontier.size, root: frontier.root().toString('hex') });
    }
  }
  return { heads, refused };
}

function isChanged(log: LogSize, known: KnownHead | undefined): boolean {
  return known?.size !== log.size || known.mutations !== log.mutations || known.events !== log.events;
}

type EntryPart = { readonly at: string } & (
  | { readonly kind: 'heads'; readonly tenants: number; readonly heads_root: string }
  | { readonly kind: 'event'; readonly type: string; readonly detail: { readonly [key: string]: JsonValue } }
);

function eventEntry({ type, detail, at }: PlatformEvent): EntryPart {
  return { kind: 'event', at: at.toISOString(), type, detail };
}

/** Appends the entries to the log's tree; each names the leaf before it. */
function grow(
  { frontier: before, lastLeaf }: PlannedLog,
  parts: readonly EntryPart[],
): Pick<TickPlan, 'entries' | 'tiles' | 'frontier'> {
  const frontier = Frontier.fromJSON(before.toJSON());
  const tiles: TickPlan['tiles'][number][] = [];
  let prev = lastLeaf;
  const entries = parts.map((part) => {
    const entry: PlatformEntry = {
      v: 1,
      number: frontier.size,
      prev: frontier.size === 0 ? FIRST_PREV : prev,
      ...part,
    };
    const text = encodePlatformEntry(entry);
    const leaf = platformLeaf(text);
    frontier.append(leaf, ({ level, index }, hash) => {
      if (level % TILE_LEVELS === 0) tiles.push({ level: level / TILE_LEVELS, index, hash });
    });
    prev = leaf.toString('hex');
    return { text, leaf };
  });
  return { entries, tiles, frontier };
}

/** It was written by `checkPlatformEvent`; another shape would be refused when the entry is encoded. */
function detailOf(text: string): { readonly [key: string]: JsonValue } {
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) throw new Error('the detail of a queued event is no object');
  return value as { readonly [key: string]: JsonValue };
}
