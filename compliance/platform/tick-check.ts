import { parseCheckpoint } from '#schema/checkpoint.ts';
import { fail } from '#schema/errors.ts';
import type { Frontier } from '#schema/merkle.ts';
import {
  FIRST_PREV,
  parsePlatformEntry,
  parsePlatformHead,
  platformLeaf,
  type PlatformEntry,
  type PlatformHead,
  type PlatformTick,
} from '#schema/platform-entry.ts';
import { verifyNote, type NoteVerifier } from '#schema/signed-note.ts';
import type { FileSource } from '../verify/file-source.ts';
import { reasonOf } from '../verify/report.ts';
import { PLATFORM_STOPPED } from './announcement.ts';
import type { HeadOfTree, HeadTree } from './head-tree.ts';
import { EPOCH_OPENED } from './next-epoch.ts';
import { isEpochEnd, readTick } from './tick-object.ts';

/** An epoch of a platform log on the way from its first tick to its last. */
export interface TickWalk {
  readonly keys: readonly NoteVerifier[];
  readonly epoch: number;
  /** Null before the first tick. */
  origin: string | null;
  readonly frontier: Frontier;
  /** Leaf hash of the entry before in lower-case hex; null before the first. */
  prev: string | null;
  readonly tree: HeadTree<HeadOfTree>;
  /** The tick before, also where it ended the epoch before. */
  before: CheckedTick | null;
}

/** A tick that continues the log. */
export interface CheckedTick {
  readonly at: string;
  readonly entries: number;
  /** Those that it has changed. */
  readonly heads: readonly PlatformHead[];
  /** Tells that the platform said it would stop. */
  readonly isStopped: boolean;
  readonly epoch: number;
  readonly size: number;
  /** Lower-case hex. */
  readonly root: string;
}

const MAX_PACKED_BYTES = 256 * 1024 * 1024;

/**
 * Checks a tick against its signature and the tick before, and moves the walk behind it; else says why not. Null where it
 * is the end of the epoch.
 */
export async function checkTick(
  walk: TickWalk,
  { source, file }: { source: FileSource; file: string },
): Promise<CheckedTick | { readonly fault: string } | null> {
  try {
    const tick = await readTick(await source.read(file, MAX_PACKED_BYTES));
    return isEpochEnd(tick) ? null : takeTick(walk, tick);
  } catch (thrown) {
    return { fault: reasonOf(thrown) };
  }
}

function takeTick(walk: TickWalk, tick: PlatformTick): CheckedTick {
  const entries = tick.entries.map((text) => takeEntry(walk, text));
  const last = entries.at(-1);
  if (last?.kind !== 'heads' || entries.slice(0, -1).some(({ kind }) => kind === 'heads'))
    return refuse('its last entry, and no other, has to commit to the heads');
  if (walk.before !== null && last.at < walk.before.at) refuse('it is older than the tick before');
  if (entries[0]?.number === 0) judgeOpening(walk, entries[0]);
  const heads = tick.heads.map((text) => takeHead(walk, text));
  if (heads.some(({ origin }, index) => index > 0 && origin <= (heads[index - 1]?.origin ?? '')))
    refuse('its heads are not in the order of their origins');
  if (walk.tree.size !== last.tenants || walk.tree.root().toString('hex') !== last.heads_root)
    refuse('its heads are not those that its entry commits to');
  const { size, root } = takeCheckpoint(walk, tick.checkpoint);
  const isStopped = entries.some((entry) => entry.kind === 'event' && entry.type === PLATFORM_STOPPED);
  return { at: last.at, entries: entries.length, heads, isStopped, epoch: walk.epoch, size, root };
}

function takeEntry(walk: TickWalk, text: string): PlatformEntry {
  const entry = parsePlatformEntry(Buffer.from(text));
  if (entry.number !== walk.frontier.size) refuse(`entry ${entry.number} stands where ${walk.frontier.size} belongs`);
  if (entry.prev !== (walk.prev ?? FIRST_PREV)) refuse(`entry ${entry.number} does not name the leaf before it`);
  const leaf = platformLeaf(text);
  walk.frontier.append(leaf);
  walk.prev = leaf.toString('hex');
  return entry;
}

function takeHead({ tree }: TickWalk, text: string): PlatformHead {
  const head = parsePlatformHead(Buffer.from(text));
  tree.set({ origin: head.origin, leaf: platformLeaf(text) });
  return head;
}

function takeCheckpoint(walk: TickWalk, note: string): { size: number; root: string } {
  const { origin, size, root } = parseCheckpoint(verifyNote(note, walk.keys).text);
  if (!new RegExp(`^[^/]+(?:/[^/]+)*/platform/[^/]+/${walk.epoch}$`).test(origin))
    refuse('it was signed for another log');
  if (walk.origin !== null && walk.origin !== origin) refuse('it was signed under another origin than the tick before');
  if (size !== walk.frontier.size || !walk.frontier.root().equals(root))
    refuse('its checkpoint was signed over other entries');
  walk.origin = origin;
  return { size, root: Buffer.from(root).toString('hex') };
}

/** Every epoch but the first begins with the end of the one before, as it was signed. */
function judgeOpening({ epoch, before }: TickWalk, first: PlatformEntry): void {
  if (epoch === 1 || before === null) return;
  if (first.kind !== 'event' || first.type !== EPOCH_OPENED)
    return refuse('it does not say how the epoch before ended');
  const { epoch: ended, size, root } = first.detail;
  if (ended !== before.epoch || size !== before.size || root !== before.root)
    refuse('it names another end of the epoch before than is there');
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `platform log: ${reason}`);
}
