import type { BackgroundWork } from '#kit/define-subgraph.ts';
import { log } from '#kit/log.ts';
import type { Platform } from '#kit/request-context.ts';
import { asTenonError } from '#schema/errors.ts';
import { takeTurn, type UpkeepTurn } from './turn.ts';

/** How long to wait before the first turn, and between two. */
export interface UpkeepPauses {
  readonly firstMs: () => number;
  readonly nextMs: () => number;
}

const MINUTE_MS = 60_000;
/** Workers that start together do not wake together. */
const PAUSES: UpkeepPauses = {
  firstMs: () => MINUTE_MS * (1 + 4 * Math.random()),
  nextMs: () => MINUTE_MS * (55 + 10 * Math.random()),
};

/**
 * Keeps sign-in in order in every cell of the platform, about once an hour: proven domains are looked up and metadata read
 * once a day, certificates that end are warned of, and what has expired is deleted. Many processes may do so at once; one
 * at a time does. The databases have to be opened in the role of the worker.
 */
export function startUpkeep(platform: Platform, pauses: UpkeepPauses = PAUSES): BackgroundWork {
  const loops = platform.databases.cells.map((cell) => startCell({ platform, cell }, pauses));
  return { stop: async () => void (await Promise.all(loops.map((loop) => loop.stop()))) };
}

function startCell(place: Omit<UpkeepTurn, 'signal'>, pauses: UpkeepPauses): BackgroundWork {
  const ending = new AbortController();
  let running = Promise.resolve();
  let timer: NodeJS.Timeout;
  const wakeIn = (pauseMs: number) => {
    timer = setTimeout(() => (running = wake()), pauseMs).unref();
  };
  const wake = async () => {
    try {
      await takeTurn({ ...place, signal: ending.signal });
    } catch (error) {
      log('error', `sign-in was not kept in order: ${asTenonError(error).message}`, { cell: place.cell.name });
    }
    if (!ending.signal.aborted) wakeIn(pauses.nextMs());
  };
  wakeIn(pauses.firstMs());
  return {
    stop: async () => {
      ending.abort();
      clearTimeout(timer);
      await running;
    },
  };
}
