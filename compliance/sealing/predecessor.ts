import { ZERO_PREV } from '#schema/audit-event.ts';
import { fail, TenonError } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import { manifestSha256, parseManifest } from '../manifest.ts';
import type { SegmentRow } from '../segment-store.ts';
import type { SealingOptions } from './options.ts';

/** What was signed last of a log, and what its next segment continues. */
export interface Predecessor {
  readonly epoch: number;
  /** Of the segment that comes next. */
  readonly number: number;
  /** The tree that was signed, or the empty one. */
  readonly size: number;
  readonly root: string;
  readonly frontier: readonly string[];
  readonly lastLeaf: string;
  /** Both null before the first segment. */
  readonly manifestSha256: string | null;
  readonly checkpoint: string | null;
}

/** Where a log stands by its head. */
export interface LogPosition {
  /** UUID. */
  readonly tenantId: string;
  readonly epoch: number;
  readonly sealedSize: number;
  readonly nextSegment: number;
}

/** Returns what stands before the first segment of an epoch. */
export function beginning(epoch: number): Predecessor {
  return {
    epoch,
    number: 0,
    size: 0,
    root: new Frontier().root().toString('hex'),
    frontier: [],
    lastLeaf: ZERO_PREV,
    manifestSha256: null,
    checkpoint: null,
  };
}

/**
 * Returns what was signed last, read from the archive, where nobody could change it since; `last` is the row of the
 * newest sealed segment. A tree that grows from this frontier is consistent with its root, so no checkpoint is ever
 * signed that contradicts an earlier one. CONFLICT where head, row and archive do not agree.
 */
export async function readPredecessor(
  { archive }: SealingOptions,
  position: LogPosition,
  last: SegmentRow | null,
): Promise<Predecessor> {
  const { epoch, nextSegment: number, sealedSize: size } = position;
  if (number === 0) {
    if (size !== 0) fail('CONFLICT', 'entries count as sealed, but no segment was');
    return beginning(epoch);
  }
  if (last?.state !== 'sealed' || last.archived === null) return fail('CONFLICT', 'the segment before is not sealed');
  const { manifestKey, manifest: text } = last.archived;
  const archived = await archive.get(manifestKey);
  if (archived.toString() !== text) fail('CONFLICT', 'the last manifest in the archive is another one');
  return continuing(() => {
    const manifest = parseManifest(archived);
    const root = Frontier.fromJSON({ size, nodes: last.frontier }).root().toString('hex');
    if (manifest.size_after !== size || manifest.root_after !== root) {
      fail('CONFLICT', 'the sealed size and frontier are not those that were signed');
    }
    return afterSegment({ epoch, number: number - 1, frontier: last.frontier, text });
  });
}

/** Returns what the segment after this one continues; `text` is this one's manifest. */
export function afterSegment({
  epoch,
  number,
  frontier,
  text,
}: {
  readonly epoch: number;
  readonly number: number;
  readonly frontier: readonly string[];
  readonly text: string;
}): Predecessor {
  const manifest = parseManifest(Buffer.from(text));
  return {
    epoch,
    number: number + 1,
    size: manifest.size_after,
    root: manifest.root_after,
    frontier,
    lastLeaf: manifest.last_leaf,
    manifestSha256: manifestSha256(text),
    checkpoint: manifest.checkpoint,
  };
}

/** Runs work over what was stored; whatever it refuses is a log that does not continue: CONFLICT. */
export function continuing<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof TenonError && cause.code === 'CONFLICT') throw cause;
    return fail('CONFLICT', `the log does not continue: ${cause instanceof Error ? cause.message : ''}`, { cause });
  }
}

/** Remembers what this process itself sealed last of each log: the newest 20,000 logs. */
export interface Predecessors {
  /** Returns it only while the head still stands right behind it. */
  of(position: LogPosition): Predecessor | null;
  remember(tenantId: string, predecessor: Predecessor): void;
  forgetAll(): void;
}

const MAX_REMEMBERED = 20_000;

/** Returns an empty memory. */
export function createPredecessors(): Predecessors {
  const known = new Map<string, Predecessor>();
  return {
    of: ({ tenantId, epoch, sealedSize, nextSegment }) => {
      const last = known.get(tenantId);
      const fits = last?.epoch === epoch && last.number === nextSegment && last.size === sealedSize;
      return fits ? last : null;
    },
    remember: (tenantId, predecessor) => {
      known.delete(tenantId);
      known.set(tenantId, predecessor);
      const [oldest] = known.keys();
      if (known.size > MAX_REMEMBERED && oldest !== undefined) known.delete(oldest);
    },
    forgetAll: () => known.clear(),
  };
}
