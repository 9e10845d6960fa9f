import type { TurnResult } from '../turn-loop.ts';
import { deliverStream, type Delivery } from './delivery.ts';
import { claimStream, dueStreams, type DueStream, type StreamScope } from './stream-store.ts';

/** What sending the streams of some cells needs; the platform is opened as `tenon_worker`. */
export interface StreamTurnOptions extends Omit<Delivery, 'cell'> {
  /** Names of the cells to serve. */
  readonly cells: readonly string[];
  /** How long to wait until streams are looked at again when none had something to send; 1 s by default. */
  readonly pauseMs?: number;
}

/** What sends, turn by turn. */
export interface StreamTurn {
  /**
   * Begins to send for the streams that have something to send, as far as there is room, and does not wait for their
   * receivers. 'waiting' means that some are under way, or that it was not looked.
   */
  readonly turn: () => Promise<TurnResult>;
  /** Resolves when what is under way has ended; after the last turn, before the databases are closed. */
  readonly settle: () => Promise<void>;
}

/** Streams under way at once in one process and cell; those that fail have room of their own, so they hold up no other. */
const MOST_RUNNING = 24;
const MOST_FAILING = 8;
const PAUSE_MS = 1_000;

/**
 * Returns what sends the streams of all tenants: in order and at least once each, many beside each other. Several
 * workers may do so at once; a stream is sent by one of them, and goes on two minutes after that one was killed.
 */
export function createStreamTurn(options: StreamTurnOptions): StreamTurn {
  const running = new Map<string, { readonly isFailing: boolean; readonly ended: Promise<void> }>();
  let restsUntilMs = 0;
  const begin = async (cell: string, due: DueStream): Promise<boolean> => {
    const stream = await claimStream(scopeOf(options, cell), due);
    if (stream === null) return false;
    const ended = deliverStream({ ...options, cell }, stream).finally(() => running.delete(due.id));
    running.set(due.id, { isFailing: due.isFailing, ended });
    return true;
  };
  const look = async (cell: string): Promise<number> => {
    let begun = 0;
    for (const due of await dueStreams(scopeOf(options, cell))) {
      const alike = [...running.values()].filter(({ isFailing }) => isFailing === due.isFailing).length;
      const hasRoom = alike < (due.isFailing ? MOST_FAILING : MOST_RUNNING);
      if (hasRoom && !running.has(due.id) && (await begin(cell, due))) begun += 1;
    }
    return begun;
  };
  return {
    turn: async () => {
      if (performance.now() < restsUntilMs) return 'waiting';
      let begun = 0;
      for (const cell of options.cells) begun += await look(cell);
      if (begun > 0) return 'worked';
      restsUntilMs = performance.now() + (options.pauseMs ?? PAUSE_MS);
      return running.size > 0 ? 'waiting' : 'idle';
    },
    settle: async () => {
      while (running.size > 0) await Promise.all([...running.values()].map(({ ended }) => ended));
    },
  };
}

function scopeOf({ platform }: StreamTurnOptions, cell: string): StreamScope {
  return { databases: platform.databases, cell, now: platform.clock() };
}
