import { cellStoresOf } from '#kit/cell-stores.ts';
import { newStoreWalk } from '#kit/store-walk.ts';
import type { StorePlace } from '#schema/tenant-store.ts';
import type { TurnResult } from '../turn-loop.ts';
import { deliverStream, type Delivery } from './delivery.ts';
import { claimStream, dueStreams, hasStreams, type DueStream, type StreamScope } from './stream-store.ts';

/** What sending the streams of some cells needs; the platform is opened as `tenon_worker`. */
export interface StreamTurnOptions extends Omit<Delivery, 'cell' | 'store'> {
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
  const begin = async (place: StorePlace, due: DueStream): Promise<boolean> => {
    const stream = await claimStream(scopeOf(options, place), due);
    if (stream === null) return false;
    const ended = deliverStream({ ...options, ...place }, stream).finally(() => running.delete(due.id));
    running.set(due.id, { isFailing: due.isFailing, ended });
    return true;
  };
  const look = async (place: StorePlace): Promise<number> => {
    let begun = 0;
    for (const due of await dueStreams(scopeOf(options, place))) {
      const alike = [...running.values()].filter(({ isFailing }) => isFailing === due.isFailing).length;
      const hasRoom = alike < (due.isFailing ? MOST_FAILING : MOST_RUNNING);
      if (hasRoom && !running.has(due.id) && (await begin(place, due))) begun += 1;
    }
    return begun;
  };
  const walks = options.cells.map((cell) => walkOf(options, cell, look));
  return {
    turn: async () => {
      if (performance.now() < restsUntilMs) return 'waiting';
      let begun = 0;
      for (const cell of options.cells) begun += await look({ cell });
      const others = await Promise.all(walks.map((walk) => walk()));
      if (begun > 0 || others.includes('worked')) return 'worked';
      restsUntilMs = performance.now() + (options.pauseMs ?? PAUSE_MS);
      return running.size > 0 ? 'waiting' : 'idle';
    },
    settle: async () => {
      while (running.size > 0) await Promise.all([...running.values()].map(({ ended }) => ended));
    },
  };
}

/** The stores of a cell beside its pool; one with streams is looked at as often as the pool. */
function walkOf(
  options: StreamTurnOptions,
  cell: string,
  look: (place: StorePlace) => Promise<number>,
): () => Promise<TurnResult> {
  return newStoreWalk({
    stores: cellStoresOf(options.platform.databases, cell),
    what: 'sending streams',
    visit: async ({ name }) => {
      const place = { cell, store: name };
      if ((await look(place)) > 0) return 'worked';
      return (await hasStreams(scopeOf(options, place))) ? 'waiting' : 'idle';
    },
  });
}

function scopeOf({ platform }: StreamTurnOptions, place: StorePlace): StreamScope {
  return { databases: platform.databases, ...place, now: platform.clock() };
}
