import { parseCheckpoint } from '#schema/checkpoint.ts';
import { Frontier } from '#schema/merkle.ts';
import { FIRST_PREV, parsePlatformEntry, type PlatformEvent } from '#schema/platform-entry.ts';
import { inTransaction } from '../log-store.ts';
import { noteText, type TickArchivingOptions } from './archiving.ts';
import { planTick, type Planned, type PlanningOptions } from './planning.ts';
import { abandonTicks, readHeads, readLog, readTickEntries, type TickRow } from './platform-store.ts';
import { readTick, tickFolder, tickPrefix } from './tick-object.ts';

/** The type of the entry that every epoch but the first begins with. */
export const EPOCH_OPENED = 'platform.epoch_opened';

/**
 * Gives up the ticks that were planned over what the archive holds already (the database was set back to an older point,
 * or made anew) and opens the next free epoch. Its first entry names the last checkpoint of the epoch before it as the
 * archive holds it; the events of the abandoned ticks follow, so that none is lost. Null where another worker was faster.
 */
export async function openNextEpoch(
  options: TickArchivingOptions,
  taken: TickRow,
  planning: PlanningOptions,
): Promise<Planned | null> {
  const epoch = await nextFreeEpoch(options, taken.epoch);
  const last = await lastCheckpoint(options, epoch - 1);
  const opened: PlatformEvent = { type: EPOCH_OPENED, detail: last, at: planning.now };
  return inTransaction(options.audit, async (client) => {
    const log = await readLog(client, { lock: true });
    if (log.epoch !== taken.epoch) return null;
    const lost: PlatformEvent[] = [];
    for (const row of await abandonTicks(client, log.epoch)) {
      for (const text of await readTickEntries(client, row)) lost.push(...eventsIn(text));
    }
    const carried = await readHeads(client, log);
    const empty = { ...log, epoch, nextTick: 0, frontier: new Frontier(), lastLeaf: FIRST_PREV };
    return planTick(client, { log: empty, heads: null, first: [opened, ...lost], carried }, planning);
  });
}

function eventsIn(text: string): PlatformEvent[] {
  const entry = parsePlatformEntry(Buffer.from(text));
  return entry.kind === 'event' ? [{ type: entry.type, detail: entry.detail, at: new Date(entry.at) }] : [];
}

async function nextFreeEpoch({ archive, region }: TickArchivingOptions, from: number): Promise<number> {
  for (let epoch = from + 1; ; epoch++) {
    let isFree = true;
    for await (const key of archive.list(tickPrefix({ region, epoch }, 0))) isFree = key === '';
    if (isFree) return epoch;
  }
}

/** Read from the archive alone, for the database knows an older one. */
async function lastCheckpoint({ archive, region }: TickArchivingOptions, epoch: number) {
  let newest = '';
  for await (const key of archive.list(tickFolder({ region, epoch }))) newest = key;
  const { checkpoint } = await readTick(await archive.get(newest));
  const { size, root } = parseCheckpoint(noteText(checkpoint));
  return { epoch, size, root: Buffer.from(root).toString('hex'), key: newest };
}
