import type { Config } from '#schema/config.ts';

/** A health check every second that has to fail three times, and then the balancer's own time. */
const PRODUCTION_DRAIN_MS = 5_000;

/** Returns how long a gateway that is told to end still takes requests; nobody balances between embedded ones. */
export function drainMsOf({ drainMs, profile }: Pick<Config, 'drainMs' | 'profile'>): number {
  return drainMs ?? (profile === 'production' ? PRODUCTION_DRAIN_MS : 0);
}
