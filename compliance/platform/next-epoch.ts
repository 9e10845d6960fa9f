import { basename } from 'node:path';
import { PLATFORM_UUID } from '#kit/platform-log.ts';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { Frontier } from '#schema/merkle.ts';
import { encodePlatformTick, FIRST_PREV, parsePlatformEntry, type PlatformEvent } from '#schema/platform-entry.ts';
import { inTransaction } from '../log-store.ts';
import { knowObjects } from '../retention/object-store.ts';
import { putFirst } from '../sealing/objects.ts';
import { noteText, type TickArchivingOptions } from './archiving.ts';
import { planTick, type Planned, type PlanningOptions } from './planning.ts';
import { abandonTicks, readHeads, readLog, readTickEntries, type TickRow } from './platform-store.ts';
import {
  EPOCH_END,
  epochFolder,
  isEpochEnd,
  packTick,
  readTick,
  tickFolder,
  tickKey,
  tickNumberOf,
} from './tick-object.ts';

/** The type of the entry that every epoch but the first begins with. */
export const EPOCH_OPENED = 'platform.epoch_opened';

/**
 * Gives up the ticks that were planned under numbers which are taken in the archive (the database was set back to an older
 * point, or made anew, or another one with the same past is at work) and opens the next free epoch. The archive is told
 * first that the epochs before it end, so that nobody signs more of them. Its first entry names the last checkpoint before
 * it as the archive holds it; the events of the abandoned ticks follow, so that none is lost. Null where another worker was
 * faster.
 */
export async function openNextEpoch(
  options: TickArchivingOptions,
  taken: TickRow,
  planning: PlanningOptions,
): Promise<Planned | null> {
  if ((await readLog(options.audit, { lock: false })).epoch !== taken.epoch) return null;
  const { epoch, last } = await endEpochs(options, taken);
  return inTransaction(options.audit, async (client) => {
    const log = await readLog(client, { lock: true });
    if (log.epoch !== taken.epoch) return null;
    const lost: PlatformEvent[] = [];
    for (const row of await abandonTicks(client, log.epoch)) {
      for (const text of await readTickEntries(client, row)) lost.push(...eventsIn(text));
    }
    const carried = await readHeads(client, log);
    const tickedAt = new Date(Math.max(log.tickedAt?.getTime() ?? 0, last === null ? 0 : Date.parse(last.at)));
    const empty = { ...log, epoch, nextTick: 0, frontier: new Frontier(), lastLeaf: FIRST_PREV, tickedAt };
    const opened: PlatformEvent[] =
      last === null ? [] : [{ type: EPOCH_OPENED, detail: last.checkpoint, at: planning.now }];
    return planTick(client, { log: empty, heads: null, first: [...opened, ...lost], carried }, planning);
  });
}

function eventsIn(text: string): PlatformEvent[] {
  const entry = parsePlatformEntry(Buffer.from(text));
  return entry.kind === 'event' ? [{ type: entry.type, detail: entry.detail, at: new Date(entry.at) }] : [];
}

/** The newest signed tick of an epoch, as the next one names it. */
interface LastTick {
  readonly checkpoint: { readonly epoch: number; readonly size: number; readonly root: string; readonly key: string };
  readonly at: string;
}

/** Ends the epoch and those behind it that the archive knows; returns the next one, and the last tick before it. */
async function endEpochs(
  options: TickArchivingOptions,
  taken: TickRow,
): Promise<{ epoch: number; last: LastTick | null }> {
  let last = await endEpoch(options, taken, taken.epoch);
  let epoch = taken.epoch + 1;
  for (; !(await isFree(options, epoch)); epoch++) last = (await endEpoch(options, taken, epoch)) ?? last;
  for (let before = taken.epoch - 1; last === null && before > 0; before--) {
    last = (await readEnd(options, before)).last;
  }
  return { epoch, last };
}

async function isFree({ archive, region }: TickArchivingOptions, epoch: number): Promise<boolean> {
  for await (const key of archive.list(epochFolder({ region, epoch }))) return key === '';
  return true;
}

/** Takes the number behind the last tick from everybody else, and returns that tick. */
async function endEpoch(
  options: TickArchivingOptions,
  { retainUntil }: TickRow,
  epoch: number,
): Promise<LastTick | null> {
  const { archive, audit, region, clock } = options;
  const bytes = await packTick(Buffer.from(encodePlatformTick(EPOCH_END)));
  for (;;) {
    const { last, end, isEnded } = await readEnd(options, epoch);
    const key = tickKey({ region, epoch }, end);
    if (!isEnded && !(await putFirst(archive, { key, bytes, retainUntil }))) continue;
    await knowObjects(audit, { tenantId: PLATFORM_UUID, keys: [key], now: clock() });
    return last;
  }
}

/** How an epoch ends in the archive, which alone is asked, for the database knows an older one. */
interface EpochEnding {
  readonly last: LastTick | null;
  /** The number at which it ends, or would. */
  readonly end: number;
  readonly isEnded: boolean;
}

async function readEnd({ archive, region }: TickArchivingOptions, epoch: number): Promise<EpochEnding> {
  let count = 0;
  for await (const key of archive.list(tickFolder({ region, epoch }))) {
    const number = tickNumberOf(basename(key));
    if (number !== null) count = number + 1;
  }
  const readAt = async (number: number) => readTick(await archive.get(tickKey({ region, epoch }, number)));
  const newest = count === 0 ? null : await readAt(count - 1);
  const isEnded = newest !== null && isEpochEnd(newest);
  const end = isEnded ? count - 1 : count;
  if (newest === null || end === 0) return { last: null, end, isEnded };
  const { checkpoint, entries } = isEnded ? await readAt(end - 1) : newest;
  const { size, root } = parseCheckpoint(noteText(checkpoint));
  const { at } = parsePlatformEntry(Buffer.from(entries.at(-1) ?? ''));
  const named = { epoch, size, root: Buffer.from(root).toString('hex'), key: tickKey({ region, epoch }, end - 1) };
  return { last: { checkpoint: named, at }, end, isEnded };
}
