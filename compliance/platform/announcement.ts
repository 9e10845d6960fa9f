import { recordPlatformEvent } from './event.ts';
import { createPlatformTurn, type PlatformTurnOptions } from './turn.ts';

/** The type of the event that says that the platform stops on purpose: the silence behind it is not a fault. */
export const PLATFORM_STOPPED = 'platform.stopped';

/**
 * Says in the platform log that its keeper stops, and brings that into the archive at once, out of turn. To be called after
 * the worker has stopped; where another worker goes on, the log does too and nothing comes of it.
 */
export async function announceStop(options: PlatformTurnOptions): Promise<void> {
  const at = options.clock();
  await recordPlatformEvent(options.audit, { type: PLATFORM_STOPPED, detail: {}, at });
  // Intervals of a millisecond: the tick is due whatever the minute.
  await createPlatformTurn({ ...options, intervalMs: 1 })();
}
