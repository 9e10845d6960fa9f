import type { Abortable } from '#kit/request-ending.ts';

/** How fast refusals of one tenant are answered. */
export interface RefusalPaceOptions {
  /** Refusals a second and tenant; what comes faster waits for its turn. */
  readonly perSecond?: number;
  /** The longest that an answer is held back. */
  readonly maxDelayMs?: number;
  /** By a clock that only goes forward. */
  readonly nowMs?: () => number;
}

/** Holds refusals back, so that sending again at once earns a flood nothing. */
export interface RefusalPace {
  /** Resolves when the refusal of this tenant may be answered; undefined where it may be now. Ends early on abort. */
  hold(tenantId: string, signal?: Abortable): Promise<void> | undefined;
}

const PER_SECOND = 50;
const MAX_DELAY_MS = 1_000;
/** Tenants held; beyond it the longest unused one is forgotten, which answers it faster and harms nobody. */
const MAX_TENANTS = 10_000;

/**
 * Returns a pace of refusals. A refusal costs little, but a client that asks again the moment it is refused makes
 * thousands a second of it; held back, each of its connections makes one a second.
 */
export function newRefusalPace(options: RefusalPaceOptions = {}): RefusalPace {
  const { perSecond = PER_SECOND, maxDelayMs = MAX_DELAY_MS, nowMs = () => performance.now() } = options;
  const intervalMs = 1_000 / perSecond;
  /** When the next refusal of a tenant is due. */
  const dueMs = new Map<string, number>();
  return {
    hold(tenantId, signal) {
      const now = nowMs();
      const due = Math.min(Math.max(now, dueMs.get(tenantId) ?? now), now + maxDelayMs);
      dueMs.delete(tenantId);
      dueMs.set(tenantId, due + intervalMs);
      if (dueMs.size > MAX_TENANTS) for (const [oldest] of dueMs) return void dueMs.delete(oldest);
      const delayMs = due - now;
      if (delayMs < 1) return undefined;
      return pause(delayMs, signal);
    },
  };
}

function pause(delayMs: number, signal: Abortable | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, delayMs);
    if (signal?.aborted === true) end();
    else signal?.addEventListener('abort', end);
  });
}
