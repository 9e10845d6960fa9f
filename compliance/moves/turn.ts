import type { log as logLine } from '#kit/log.ts';
import { asTenonError } from '#schema/errors.ts';
import { driveMove } from './machine.ts';
import { drivenAlone, noteMove, openMoves } from './move-store.ts';
import type { MoverOptions } from './mover.ts';

/** What the turn needs beside what moves need. */
export interface MoveTurnOptions extends MoverOptions {
  readonly log: typeof logLine;
}

/**
 * Returns the function that drives, each time it is called, every move that no other worker drives, and tells whether there
 * was one. A move that fails is tried again with the next call, and says meanwhile what keeps it.
 */
export function createMoveTurn({ log, ...options }: MoveTurnOptions): () => Promise<boolean> {
  const { databases } = options.platform;
  return async () => {
    let hasWorked = false;
    for (const { id, tenant } of await openMoves(databases)) {
      try {
        hasWorked = (await drivenAlone(databases, id, () => driveMove(options, id).then(() => true))) ?? hasWorked;
      } catch (error) {
        const { message: obstacle } = asTenonError(error);
        log('error', `a tenant is not moved: ${obstacle}`, { tenant });
        await noteMove(databases, id, { obstacle: obstacle.slice(0, 1000) });
      }
    }
    return hasWorked;
  };
}
