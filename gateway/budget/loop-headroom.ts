import { performance } from 'node:perf_hooks';

/** Tells whether the event loop has time for more. */
export interface Headroom {
  /** Whether the loop was busy for no more than its part since this last said yes; saying yes starts anew. */
  take(): boolean;
}

/** Returns the headroom of this thread's event loop for so large a part of busy time. */
export function newHeadroom(maxLoad: number): Headroom {
  let last = performance.eventLoopUtilization();
  return {
    take() {
      const now = performance.eventLoopUtilization();
      // Idle time is booked when the loop wakes up: within the same turn nothing has passed that could be judged.
      const idleMs = now.idle - last.idle;
      const busyMs = now.active - last.active;
      if (idleMs <= 0 || busyMs > (idleMs + busyMs) * maxLoad) return false;
      last = now;
      return true;
    },
  };
}

/** Requests of one tenant, or of all, that fade as they grow old; changed by `newCrowding` alone. */
export interface Asked {
  count: number;
  atMs: number;
}

/** What a tenant asks for, and how it stands between her and all others at this moment. */
export interface Share {
  readonly asked: Asked;
  /** Operations of hers, and of all others, that run. */
  readonly running: number;
  readonly others: number;
}

/** Tells whether one tenant asks for much more than all the others together. */
export interface Crowding {
  /** Counts a request of a tenant. */
  note(own: Asked, nowMs: number): void;
  /** True while there are others and this tenant outweighs them: among equals nobody crowds, however busy all are. */
  crowds(share: Share, nowMs: number): boolean;
}

const HALF_LIFE_MS = 250;
/** A request counts for this much after something less than a second; below it nobody is there. */
const LEAST = 0.1;
/** So many times what all others ask for. */
const OUTWEIGHS = 2;
/** What a page asks for at once; the beginning of a flood, which no count of the past shows, is more. */
const AT_ONCE = 3;

/** Returns what weighs tenants against each other. */
export function newCrowding(): Crowding {
  const all: Asked = { count: 0, atMs: 0 };
  return {
    note(own, nowMs) {
      for (const asked of [own, all]) {
        asked.count = faded(asked, nowMs) + 1;
        asked.atMs = nowMs;
      }
    },
    crowds({ asked, running, others }, nowMs) {
      const mine = faded(asked, nowMs);
      const theirs = faded(all, nowMs) - mine;
      if (theirs <= LEAST) return false;
      return mine > OUTWEIGHS * theirs || (running >= AT_ONCE && running > OUTWEIGHS * others);
    },
  };
}

function faded({ count, atMs }: Asked, nowMs: number): number {
  return count * 0.5 ** (Math.max(0, nowMs - atMs) / HALF_LIFE_MS);
}
