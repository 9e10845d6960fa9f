import { log } from '#kit/log.ts';
import type { Platform } from '#kit/request-context.ts';
import { asTenonError } from '#schema/errors.ts';
import { newBurnWatch } from './burn-watch.ts';
import { newLevelCounter } from './level-counter.ts';
import { flushLevels, type FlushLimits, type FlushReport } from './level-writer.ts';
import { newGatewayMetrics, type GatewayMetrics } from './metrics.ts';
import { readStatus, type PlatformStatus } from './status.ts';

/** What a gateway measures of itself, and what it knows of all gateways together. */
export interface ServiceLevels {
  readonly metrics: GatewayMetrics;
  /** The status of the platform, at most seconds old; SERVICE_UNAVAILABLE never: cells that are away are named. */
  status(): Promise<PlatformStatus>;
  /** Stores what was counted; flushes that run at once each take what the others have not. */
  flush(limits?: FlushLimits): Promise<FlushReport>;
  /** What happens each minute: stores, reads the status, says which alerts have begun or ended. */
  tick(): Promise<void>;
  /** Ends the minutes and stores what is left, in bounded time; the databases are still open. */
  close(): Promise<void>;
}

const TICK_MS = 60_000;
/** Tenants are named for so many minutes at least, so that series do not come and go with every minute. */
const TICKS_A_CHOICE = 10;
/** How long a status is shown again: a page that many load costs the databases one reading. */
const STATUS_MS = 5_000;
/** A flush ends long before the next one begins; what is left over goes with that. */
const EACH_MINUTE: FlushLimits = { tenants: 5_000, timeMs: 10_000 };
const AT_THE_END: FlushLimits = { tenants: Infinity, timeMs: 5_000 };
/** The status page shows what this gateway has served until now as well; tiers are few rows. */
const BEFORE_STATUS: FlushLimits = { tenants: 0, timeMs: 2_000 };

/** Opens the measuring of a gateway; it stores and watches each minute until it is closed. */
export function openServiceLevels({ databases, clock }: Pick<Platform, 'databases' | 'clock'>): ServiceLevels {
  const counter = newLevelCounter();
  const metrics = newGatewayMetrics({ counter, nowMs: () => clock().getTime() });
  const watch = newBurnWatch(metrics);
  const flush = (limits = EACH_MINUTE) => flushLevels({ databases, counter }, { ...limits, nowMs: clock().getTime() });
  const status = cached(async () => {
    await flush(BEFORE_STATUS);
    return readStatus(databases, clock());
  });
  let ticks = 0;
  const tick = async () => {
    ticks += 1;
    if (ticks % TICKS_A_CHOICE === 0) metrics.chooseTenants();
    await flush();
    watch(await status());
  };
  let ticking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    ticking = tick().catch((error: unknown) =>
      log('warn', 'service levels stand still', { reason: asTenonError(error).message }),
    );
  }, TICK_MS);
  timer.unref();
  return {
    metrics,
    status,
    flush,
    tick,
    close: async () => {
      clearInterval(timer);
      await ticking;
      await flush(AT_THE_END);
    },
  };
}

/** One reading at a time, shown again for seconds; one that failed is not kept. */
function cached(read: () => Promise<PlatformStatus>): () => Promise<PlatformStatus> {
  let known: { readonly answer: Promise<PlatformStatus>; readonly untilMs: number } | null = null;
  return () => {
    if (known !== null && performance.now() < known.untilMs) return known.answer;
    const answer = read();
    known = { answer, untilMs: performance.now() + STATUS_MS };
    answer.catch(() => {
      known = null;
    });
    return answer;
  };
}
