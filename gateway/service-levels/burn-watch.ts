import { log } from '#kit/log.ts';
import type { GatewayMetrics } from './metrics.ts';
import type { PlatformStatus } from './status.ts';

/**
 * Returns a function that shows the burn rates of a status as measurements and writes a log line for each alert that has
 * begun or ended since the last one. Where cells are away no alert ends: what they would say is not known.
 */
export function newBurnWatch(metrics: Pick<GatewayMetrics, 'burning'>, write = log): (status: PlatformStatus) => void {
  const firing = new Set<string>();
  return ({ tiers, away }) => {
    for (const { tier, burnRates } of tiers) {
      metrics.burning(tier, burnRates);
      for (const rate of burnRates) {
        const { indicator, severity, longMinutes, shortMinutes, longRate, shortRate } = rate;
        const key = `${tier} ${indicator} ${longMinutes}`;
        if (rate.firing === firing.has(key) || (!rate.firing && away.length > 0)) continue;
        const facts = { tier, indicator, severity, longMinutes, shortMinutes, longRate, shortRate };
        if (rate.firing) {
          firing.add(key);
          write(severity === 'page' ? 'error' : 'warn', 'the error budget of a tier burns', facts);
        } else {
          firing.delete(key);
          write('info', 'the error budget of a tier burns no more', facts);
        }
      }
    }
  };
}
