import {
  BrokenCircuitError,
  circuitBreaker,
  CircuitState,
  decorrelatedJitterGenerator,
  ExponentialBackoff,
  handleWhenResult,
  noJitterGenerator,
  retry,
  SamplingBreaker,
  type CircuitBreakerPolicy,
} from 'cockatiel';
import { log } from '#kit/log.ts';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';
import { TIERS, type Tier } from '#schema/tenant-context.ts';
import { CALL_TIMES, type CallTimes } from './call-times.ts';
import { failedResult, type Exchange, type Fault, type TenantCall, type Transport } from './exchange.ts';
import type { SubgraphLink, SubgraphRequest } from '../execution/subgraph-link.ts';

/** Whether a breaker lets calls through: all, none, or one that tries. */
export type BreakerState = 'closed' | 'open' | 'half_open';

/** A breaker and how it stands. */
export interface BreakerReport {
  readonly subgraph: string;
  readonly tier: Tier;
  readonly state: BreakerState;
}

/** The links of a gateway with what keeps a failing subgraph from taking the rest along. */
export interface ResilientLinks {
  /** Returns the link over a transport; its breakers, one a tier, are those of the subgraph's name. */
  link(subgraph: string, transport: Transport<TenantCall>): SubgraphLink<TenantCall>;
  /** Returns how a breaker stands; closed where nothing was called yet. */
  state(subgraph: string, tier: Tier): BreakerState;
}

/** How links are made resilient; all but the first is for tests. */
export interface ResilienceOptions {
  /** Called at every change of a breaker. */
  readonly onState?: (report: BreakerReport) => void;
  readonly times?: Readonly<Record<Tier, CallTimes>>;
}

/** Opens where more than half of the calls of the window are slow or fail, out of at least twenty. */
const SAMPLING = { threshold: 0.5, duration: 10_000, minimumRps: 2 } as const;
/** A breaker is open for this long, and twice as long after each try that fails, up to the second number. */
const HALF_OPEN_AFTER = { initialDelay: 5_000, maxDelay: 30_000, exponent: 2, generator: noJitterGenerator } as const;
const RETRY = {
  maxAttempts: 2,
  backoff: new ExponentialBackoff({ initialDelay: 25, maxDelay: 250, generator: decorrelatedJitterGenerator }),
};
const STATES: Readonly<Record<CircuitState, BreakerState>> = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.Open]: 'open',
  [CircuitState.Isolated]: 'open',
  [CircuitState.HalfOpen]: 'half_open',
};
/** Faults that the subgraph is to blame for. */
const FAILURES: ReadonlySet<Fault> = new Set(['slow', 'away', 'wrong']);

/**
 * Returns links whose calls are bounded by the tier's timeout and the request's signal, tried again (at most twice, with
 * jitter, queries alone) where the subgraph could not be reached, and kept off a subgraph that is slow or failing for
 * that tier. Errors that a subgraph answers with are answers; a caller who leaves says nothing about the subgraph.
 */
export function newResilientLinks({ onState, times = CALL_TIMES }: ResilienceOptions = {}): ResilientLinks {
  const breakers = new Map<string, Readonly<Record<Tier, Breaker>>>();
  const breakersOf = (subgraph: string) => {
    const known = breakers.get(subgraph) ?? newBreakers(subgraph, onState);
    breakers.set(subgraph, known);
    return known;
  };
  return {
    link: (subgraph, transport) => {
      const ofTier = breakersOf(subgraph);
      return {
        send: (request, call) => {
          const { tier } = call.request.tenant;
          const attempt: Attempt = {
            request,
            call,
            transport,
            breaker: ofTier[tier],
            timeoutMs: times[tier].timeoutMs,
          };
          return judged(attempt).then((first) =>
            first.fault === 'away' && request.operation.kind === 'query' ? tryAgain(attempt, first) : first.result,
          );
        },
      };
    },
    state: (subgraph, tier) => {
      const breaker = breakers.get(subgraph)?.[tier];
      return breaker === undefined ? 'closed' : STATES[breaker.policy.state];
    },
  };
}

/** A breaker, and the window that it counts in. */
interface Breaker {
  readonly policy: CircuitBreakerPolicy;
  readonly window: SamplingBreaker;
}

interface Attempt {
  readonly request: SubgraphRequest;
  readonly call: TenantCall;
  readonly transport: Transport<TenantCall>;
  readonly breaker: Breaker;
  readonly timeoutMs: number;
}

const again = retry(
  handleWhenResult((exchange) => (exchange as Exchange).fault === 'away'),
  RETRY,
);

/** The first try went without the policy of tries, which costs more than the call's own bookkeeping. */
async function tryAgain(attempt: Attempt, first: Exchange): Promise<SubgraphResult> {
  let isFirst = true;
  // A caller who leaves meanwhile is noticed at the next try, a quarter of a second later at most.
  const last = await again.execute(() => {
    if (!isFirst) return judged(attempt);
    isFirst = false;
    return first;
  });
  return last.result;
}

/** Carries a call that says nothing about the subgraph past the breaker. */
class Unjudged extends Error {
  readonly exchange: Exchange;

  constructor(exchange: Exchange) {
    super('not judged');
    this.exchange = exchange;
  }
}

function judged(attempt: Attempt): Promise<Exchange> {
  const { request, call, transport, breaker, timeoutMs } = attempt;
  const { signal } = call.request;
  if (signal?.aborted === true)
    return Promise.resolve({ result: failedResult('given up'), fault: 'given up' } as const);
  if (breaker.policy.state !== CircuitState.Closed) return judgedByPolicy(attempt);
  return transport.exchange(request, call, { timeoutMs, signal }).then((exchange) => {
    note(breaker, exchange);
    return exchange;
  });
}

/**
 * Tells a closed breaker of a call that was made past its policy, which would cost as much as all else that a call takes
 * here. A call that ends after the breaker opened is no news of the subgraph as it is now.
 */
function note({ policy, window }: Breaker, exchange: Exchange): void {
  if (policy.state !== CircuitState.Closed) return;
  if (exchange.fault === null) window.success(CircuitState.Closed);
  else if (FAILURES.has(exchange.fault)) void policy.execute(() => exchange);
}

async function judgedByPolicy({ request, call, transport, breaker, timeoutMs }: Attempt): Promise<Exchange> {
  const { policy } = breaker;
  // While one call tries, the others do not wait for it.
  if (policy.state === CircuitState.HalfOpen) return rejected();
  try {
    return await policy.execute(async () => {
      const exchange = await transport.exchange(request, call, { timeoutMs, signal: call.request.signal });
      if (exchange.fault === null || FAILURES.has(exchange.fault) || policy.state === CircuitState.HalfOpen)
        return exchange;
      throw new Unjudged(exchange);
    });
  } catch (error) {
    if (error instanceof Unjudged) return error.exchange;
    if (error instanceof BrokenCircuitError) return rejected();
    throw error;
  }
}

function rejected(): Exchange {
  return { result: failedResult('open'), fault: 'open' };
}

function newBreakers(subgraph: string, onState: ResilienceOptions['onState']): Readonly<Record<Tier, Breaker>> {
  const breakerOf = (tier: Tier): Breaker => {
    const window = new SamplingBreaker(SAMPLING);
    const policy = circuitBreaker(
      // One that tries and comes to nothing proves nothing: the breaker opens again.
      handleWhenResult((exchange) => (exchange as Exchange).fault !== null),
      { breaker: window, halfOpenAfter: new ExponentialBackoff(HALF_OPEN_AFTER) },
    );
    policy.onStateChange((changed) => {
      const state = STATES[changed];
      log(state === 'closed' ? 'info' : 'warn', 'a circuit breaker changed', { subgraph, tier, state });
      onState?.({ subgraph, tier, state });
    });
    return { policy, window };
  };
  return Object.fromEntries(TIERS.map((tier) => [tier, breakerOf(tier)])) as Record<Tier, Breaker>;
}
