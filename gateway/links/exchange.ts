import { log } from '#kit/log.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { Abortable } from '#kit/request-ending.ts';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';
import { ERRORS, type ErrorCode } from '#schema/errors.ts';
import type { SubgraphRequest } from '../execution/subgraph-link.ts';

/**
 * Why a call got no proper answer: `slow` took longer than it may; `away` is a connection that broke, or 502, 503 and
 * 504; `wrong` is an answer that is no GraphQL, or any other 5xx; `refused` came out of a bound of our own; `given up`
 * by the caller or at the end of her request's time; `open` is a breaker that lets nothing through.
 */
export type Fault = 'slow' | 'away' | 'wrong' | 'refused' | 'given up' | 'open';

/** What came of a call: a result for the caller in every case, and what was wrong with the way it came. */
export interface Exchange {
  readonly result: SubgraphResult;
  readonly fault: Fault | null;
}

/** What the gateway knows of a request of a tenant; its signal ends every call that is made for it. */
export interface TenantCall {
  readonly request: RequestContext;
}

/** The bounds of one call. */
export interface Bounds {
  readonly timeoutMs: number;
  readonly signal: Abortable | undefined;
}

/** One way to one subgraph, without judgement or second try. It never rejects. */
export interface Transport<Call> {
  exchange(request: SubgraphRequest, call: Call, bounds: Bounds): Promise<Exchange>;
}

/** What the log says of a failed call; the caller reads none of it. */
export interface FaultNote {
  readonly subgraph: string;
  readonly requestId: string;
  readonly detail: string;
}

const CODES: Readonly<Record<Fault, ErrorCode>> = {
  slow: 'GATEWAY_TIMEOUT',
  'given up': 'GATEWAY_TIMEOUT',
  away: 'SERVICE_UNAVAILABLE',
  wrong: 'SERVICE_UNAVAILABLE',
  refused: 'SERVICE_UNAVAILABLE',
  open: 'SUBGRAPH_CIRCUIT_BREAKER_REJECTED',
};

/** Returns the exchange of a call that failed: one error of public text and code, and the reason under its request id in the log. */
export function failedExchange(fault: Fault, { subgraph, requestId, detail }: FaultNote): Exchange {
  // Callers who leave are no news, and an open breaker was news when it opened.
  if (fault !== 'given up' && fault !== 'open')
    log('warn', 'a subgraph call failed', { requestId, subgraph, fault, detail });
  return { result: failedResult(fault), fault };
}

/** Returns the result of a failed call as its caller reads it. */
export function failedResult(fault: Fault): SubgraphResult {
  const code = CODES[fault];
  return { errors: [{ message: ERRORS[code].message, extensions: { code } }] };
}

/** Watches the bounds of one call. */
export class BoundsWatch {
  readonly #signal: Abortable | undefined;
  readonly #onEnd: (fault: 'slow' | 'given up') => void;
  readonly #onAbort: () => void;
  readonly #timer: NodeJS.Timeout;

  /** Calls back once, when the time is up or the signal is aborted, unless it was stopped before; at once where it is. */
  constructor({ timeoutMs, signal }: Bounds, onEnd: (fault: 'slow' | 'given up') => void) {
    this.#signal = signal;
    this.#onEnd = onEnd;
    this.#timer = setTimeout(endSlow, timeoutMs, this);
    this.#onAbort = this.#giveUp.bind(this);
    if (signal?.aborted === true) this.#giveUp();
    else signal?.addEventListener('abort', this.#onAbort);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }

  /** Ends the call for this reason. */
  end(fault: 'slow' | 'given up'): void {
    this.stop();
    this.#onEnd(fault);
  }

  #giveUp(): void {
    this.end('given up');
  }
}

function endSlow(watch: BoundsWatch): void {
  watch.end('slow');
}
