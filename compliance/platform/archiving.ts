import type pg from 'pg';
import { encodeCheckpoint, parseCheckpoint } from '#schema/checkpoint.ts';
import { fail } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import { compareOrigins, platformLeaf, platformOrigin } from '#schema/platform-entry.ts';
import { signNote, type NoteSigner } from '#schema/signed-note.ts';
import { headLeafOf } from '#kit/platform-log.ts';
import type { Archive } from '../archive/archive.ts';
import { confirm, putFirst, putPacked } from '../sealing/objects.ts';
import {
  findArchivedTick,
  markArchived,
  markSigned,
  readTickEntries,
  readTickHeads,
  type TickRow,
} from './platform-store.ts';
import { claimKey, packTick, readTick, tickBytes, tickKey, unpackTick, type TickBytes } from './tick-object.ts';

/** What bringing ticks into the archive needs. */
export interface TickArchivingOptions {
  /** Pool of `tenon_worker` over the audit database. */
  readonly audit: pg.Pool;
  readonly archive: Archive;
  readonly region: string;
  readonly cell: string;
  /** Signs every checkpoint; its name is the deployment's. */
  readonly signer: NoteSigner;
  readonly clock: () => Date;
}

/** What became of a tick: it is in the archive, or its number is another one's, or behind the end of its epoch. */
export type TickFate = 'archived' | 'taken';

/**
 * Takes a tick from its state to the last. Nothing is signed before the tree was shown to continue the one that was
 * signed last, and before the archive holds the text to be signed under the tick's number, where it takes no other: of
 * workers over databases that part ways one alone signs. What is signed is fixed in the database before it leaves it.
 * SERVICE_UNAVAILABLE where the archive is away or does not hold what it was given, CONFLICT where the stored log does
 * not continue.
 */
export async function archiveTick(options: TickArchivingOptions, planned: TickRow): Promise<TickFate> {
  const signed = planned.state === 'planned' ? await signTick(options, planned) : null;
  if (signed === 'taken') return 'taken';
  const row = signed?.row ?? planned;
  // Another worker has signed it, with the same bytes, and goes on with it.
  if (row.signed === null) return 'archived';
  const object = signed?.object ?? (await objectOf(options, row, row.signed.checkpoint));
  if (object.sha256 !== row.signed.sha256 || object.key !== row.signed.key) {
    fail('CONFLICT', 'the entries or heads of a signed tick have changed');
  }
  const { key, bytes } = object;
  const packing = { pack: packTick, unpack: unpackTick };
  const packed = await putPacked(options.archive, { key, bytes, retainUntil: row.retainUntil }, packing);
  if (packed === null) return 'taken';
  await confirm(options.archive, { key, sizeBytes: packed.length, retainUntil: row.retainUntil });
  await markArchived(options.audit, row, options.clock());
  return 'archived';
}

async function signTick(
  options: TickArchivingOptions,
  planned: TickRow,
): Promise<{ row: TickRow; object: TickBytes } | 'taken' | null> {
  const { signer, cell, audit } = options;
  const size = await continued(options, planned);
  const origin = platformOrigin({ deployment: signer.name, cell, epoch: planned.epoch });
  const text = encodeCheckpoint({ origin, size, root: planned.root });
  if (!(await claim(options, planned, text))) return 'taken';
  const checkpoint = signNote(text, signer);
  const object = await objectOf(options, planned, checkpoint);
  const { sha256, key } = object;
  const row = await markSigned(audit, planned, { checkpoint, sha256, key });
  return row === null ? null : { row, object };
}

/** False where the archive holds another text for the tick, or under its number another tick or the end of the epoch. */
async function claim(
  { archive, region }: TickArchivingOptions,
  { epoch, tick, retainUntil }: TickRow,
  text: string,
): Promise<boolean> {
  const folder = { region, epoch };
  if (!(await putFirst(archive, { key: claimKey(folder, tick), bytes: Buffer.from(text), retainUntil }))) return false;
  const key = tickKey(folder, tick);
  return (await archive.head(key)) === null || noteText((await readTick(await archive.get(key))).checkpoint) === text;
}

/**
 * Returns the size of the tree behind the tick, having proved that it grows from the one in the archive: a tree that
 * grows from its frontier is consistent with its root, so no checkpoint is ever signed that contradicts an earlier one.
 */
async function continued(options: TickArchivingOptions, row: TickRow): Promise<number> {
  const frontier = await signedBefore(options, row);
  for (const text of await readTickEntries(options.audit, row)) frontier.append(platformLeaf(text));
  if (frontier.size !== row.firstNumber + row.count || !frontier.root().equals(row.root)) {
    fail('CONFLICT', 'the entries of a planned tick do not continue the platform log');
  }
  return frontier.size;
}

async function signedBefore({ audit, archive }: TickArchivingOptions, { epoch, tick }: TickRow): Promise<Frontier> {
  if (tick === 0) return new Frontier();
  const before = await findArchivedTick(audit, { epoch, tick: tick - 1 });
  if (before === null) return fail('CONFLICT', 'the tick before is not archived');
  const archived = await readTick(await archive.get(before.key));
  const { size, root } = parseCheckpoint(noteText(archived.checkpoint));
  const frontier = Frontier.fromJSON({ size: before.size, nodes: before.frontier });
  if (archived.checkpoint !== before.checkpoint || size !== before.size || !frontier.root().equals(root)) {
    fail('CONFLICT', 'the stored platform log is not the one that was signed');
  }
  return frontier;
}

/** Returns what the signatures of a note cover. */
export function noteText(note: string): string {
  return note.slice(0, note.lastIndexOf('\n\n') + 1);
}

async function objectOf(options: TickArchivingOptions, row: TickRow, checkpoint: string): Promise<TickBytes> {
  const { audit, region, signer } = options;
  const heads = (await readTickHeads(audit, row)).map((head) => headLeafOf(signer.name, head)).toSorted(compareOrigins);
  return tickBytes({ region, epoch: row.epoch }, row.tick, {
    v: 1,
    entries: await readTickEntries(audit, row),
    heads: heads.map(({ text }) => text),
    checkpoint,
  });
}
