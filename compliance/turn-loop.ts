/** What a turn found: something to do, something to do later, or nothing. */
export type TurnResult = 'worked' | 'waiting' | 'idle';

/** What runs again and again. */
export interface TurnLoopOptions {
  readonly turn: () => Promise<TurnResult>;
  /** Told of every turn that failed; the next one comes later and later. */
  readonly onFailure: (error: unknown) => void;
}

/** A running loop. */
export interface TurnLoop {
  /** Resolves when a turn that began after this call found nothing to do; rejects where the loop is stopped before. */
  settled(): Promise<void>;
  /** Lets the current turn end and begins no other. */
  stop(): Promise<void>;
}

/** A poll of an empty table costs little; these bound how late an event is noticed and how often nothing is asked. */
const LEAST_PAUSE_MS = 50;
const MOST_PAUSE_MS = 250;
const MOST_FAILURE_PAUSE_MS = 10_000;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Starts a loop: at once again after a turn that worked, else after a pause that grows up to a quarter of a second. */
export function startTurnLoop(options: TurnLoopOptions): TurnLoop {
  const loop = { stopping: false, waiters: [] as Waiter[], pause: createPause() };
  const ended = run(loop, options);
  return {
    settled: () =>
      new Promise((resolve, reject) => {
        if (loop.stopping) return reject(stopped());
        loop.waiters.push({ resolve, reject });
        loop.pause.end();
      }),
    stop: () => {
      loop.stopping = true;
      loop.pause.end();
      return ended;
    },
  };
}

interface RunningLoop {
  stopping: boolean;
  waiters: Waiter[];
  readonly pause: Pause;
}

async function run(loop: RunningLoop, { turn, onFailure }: TurnLoopOptions): Promise<void> {
  let pauseMs = 0;
  while (!loop.stopping) {
    const asked = loop.waiters;
    loop.waiters = [];
    const result = await turn().catch((error: unknown) => {
      onFailure(error);
      return 'failed' as const;
    });
    if (result === 'idle') for (const { resolve } of asked) resolve();
    // Whoever asked during the turn is answered by the next one, which then begins at once.
    const isAsked = loop.waiters.length > 0;
    if (result !== 'idle') loop.waiters.push(...asked);
    const mostMs = result === 'failed' ? MOST_FAILURE_PAUSE_MS : MOST_PAUSE_MS;
    pauseMs = result === 'worked' ? 0 : Math.min(Math.max(pauseMs * 2, LEAST_PAUSE_MS), mostMs);
    if (pauseMs > 0 && !isAsked && !loop.stopping) await loop.pause.begin(pauseMs);
  }
  for (const { reject } of loop.waiters) reject(stopped());
}

function stopped(): Error {
  return new Error('the loop has been stopped');
}

interface Pause {
  begin(pauseMs: number): Promise<void>;
  /** Ends the pause early; without effect outside of one. */
  end(): void;
}

function createPause(): Pause {
  let current: { timer: NodeJS.Timeout; resolve: () => void } | null = null;
  return {
    begin: (pauseMs) =>
      new Promise((resolve) => {
        current = { timer: setTimeout(resolve, pauseMs), resolve };
      }),
    end: () => {
      clearTimeout(current?.timer);
      current?.resolve();
      current = null;
    },
  };
}
