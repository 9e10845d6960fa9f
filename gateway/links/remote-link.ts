import type { Abortable } from '#kit/request-ending.ts';
import { Pool, type Dispatcher } from 'undici';
import { CONTEXT_HEADER, contextHeaders } from '#kit/request-context.ts';
import { injectTrace } from '#kit/tenant-trace.ts';
import {
  failedExchange,
  BoundsWatch,
  type Bounds,
  type Exchange,
  type Fault,
  type FaultNote,
  type TenantCall,
  type Transport,
} from './exchange.ts';
import { readAnswer, type ReadAnswer } from './http-answer.ts';
import type { SubgraphLink, SubgraphRequest } from '../execution/subgraph-link.ts';

/** A way to one subgraph over HTTP, with connections kept open. */
export interface RemoteTransport<Call> extends Transport<Call> {
  /** Lets calls under way end, then closes the connections. */
  close(): Promise<void>;
}

/** Where a subgraph is. */
export interface SubgraphAddress {
  /** The name, for the log. */
  readonly subgraph: string;
  /** The whole address that takes the operations. */
  readonly url: string;
}

/** What the gateway knows of a request that no tenant is behind. */
export interface PlainCall {
  readonly requestId: string;
  readonly signal: Abortable | undefined;
}

/** Connections to one subgraph; more calls wait for one, but not without end. */
const CONNECTIONS = 64;
const MAX_UNDER_WAY = CONNECTIONS + 512;
/** Larger answers are broken off: they would be held several times over before the caller gets them. */
const MAX_ANSWER_BYTES = 10 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 2_000;
/** A call of a plain link may take this long. */
const PLAIN_TIMEOUT_MS = 30_000;
const STATIC_HEADERS = ['content-type', 'application/json', 'accept', 'application/json'] as const;

/** Returns the way to a subgraph of the platform in another process: the sealed tenant context goes with every call. */
export function remoteTransport(address: SubgraphAddress): RemoteTransport<TenantCall> {
  return httpTransport(address, { requestIdOf: (call) => call.request.tenant.requestId, headersOf: tenantHeaders });
}

/** Returns the link to any GraphQL server, which learns nothing of the caller; for supergraphs of others. */
export function plainLink(address: SubgraphAddress): SubgraphLink<PlainCall> & { close(): Promise<void> } {
  const transport = httpTransport<PlainCall>(address, {
    requestIdOf: (call) => call.requestId,
    headersOf: plainHeaders,
  });
  return {
    send: async (request, call) => {
      const bounds = { timeoutMs: PLAIN_TIMEOUT_MS, signal: call.signal };
      return (await transport.exchange(request, call, bounds)).result;
    },
    close: () => transport.close(),
  };
}

interface CallFacts<Call> {
  readonly requestIdOf: (call: Call) => string;
  readonly headersOf: (call: Call) => string[];
}

function httpTransport<Call>(address: SubgraphAddress, facts: CallFacts<Call>): RemoteTransport<Call> {
  const { origin, pathname, search } = new URL(address.url);
  const path = `${pathname}${search}`;
  const pool = new Pool(origin, {
    connections: CONNECTIONS,
    pipelining: 1,
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxResponseSize: MAX_ANSWER_BYTES,
    // Every call brings a timer of its own, to the millisecond.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const noteOf = (call: Call, detail: string) => ({
    subgraph: address.subgraph,
    requestId: facts.requestIdOf(call),
    detail,
  });
  let underWay = 0;
  const onEnd = () => {
    underWay -= 1;
  };
  return {
    exchange: (request, call, bounds) =>
      new Promise((resolve) => {
        if (underWay >= MAX_UNDER_WAY) return resolve(failedExchange('refused', noteOf(call, 'too many calls wait')));
        const options = { path, method: 'POST' as const, headers: facts.headersOf(call), body: bodyOf(request) };
        underWay += 1;
        return new PoolCall(
          bounds,
          (answer) => resolve(goodOrNull(answer) ?? badExchange(answer, noteOf(call, answer.detail))),
          onEnd,
        ).send(pool, options);
      }),
    close: () => pool.close(),
  };
}

function goodOrNull({ result, fault }: ReadAnswer): Exchange | null {
  return fault === null && result !== null ? { result, fault } : null;
}

/** Errors of GraphQL that came with an error status are handed on; the log is told either way. */
function badExchange({ result, fault }: ReadAnswer, note: FaultNote): Exchange {
  const failed = failedExchange(fault ?? 'wrong', note);
  return result === null ? failed : { result, fault };
}

/** Put together from parts that are JSON already; a name is of letters, digits and `_`. */
function bodyOf({ operation, variablesJson }: SubgraphRequest): string {
  const variables = variablesJson === undefined ? '' : `,"variables":${variablesJson}`;
  const name = operation.name === undefined ? '' : `,"operationName":"${operation.name}"`;
  return `{"query":${operation.textJson}${variables}${name}}`;
}

function tenantHeaders({ request: { tenant, databases } }: TenantCall): string[] {
  const headers = contextHeaders(tenant, databases.keys);
  return traced([...STATIC_HEADERS, CONTEXT_HEADER, headers[CONTEXT_HEADER], 'x-request-id', tenant.requestId]);
}

function plainHeaders({ requestId }: PlainCall): string[] {
  return traced([...STATIC_HEADERS, 'x-request-id', requestId]);
}

function traced(headers: string[]): string[] {
  const { traceparent } = injectTrace<{ readonly traceparent?: string }>({});
  if (traceparent !== undefined) headers.push('traceparent', traceparent);
  return headers;
}

/**
 * One call through the low door of undici: no stream, no response object, one buffer in most cases. A class, since a call
 * makes nothing then but one object.
 */
class PoolCall implements Dispatcher.DispatchHandler {
  readonly #settle: (answer: ReadAnswer) => void;
  readonly #onEnd: () => void;
  readonly #watch: BoundsWatch;
  readonly #timeoutMs: number;
  readonly #chunks: Buffer[] = [];
  #controller: Dispatcher.DispatchController | null = null;
  #isOver = false;
  #status = 0;
  #contentType: string | string[] | undefined;

  /** `settle` is called once; `onEnd` when the pool is done with the call, which can be later than its caller is. */
  constructor(bounds: Bounds, settle: (answer: ReadAnswer) => void, onEnd: () => void) {
    this.#settle = settle;
    this.#onEnd = onEnd;
    this.#timeoutMs = bounds.timeoutMs;
    this.#watch = new BoundsWatch(bounds, (fault) => this.#giveUp(fault));
  }

  send(pool: Pool, options: Dispatcher.DispatchOptions): void {
    if (this.#isOver) this.#onEnd();
    else pool.dispatch(options, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // Thrown, not aborted: the connection that has become free stays open for the next call.
    if (this.#isOver) throw new Error('the call is over before it began');
  }

  onResponseStart(_: unknown, status: number, headers: Record<string, string | string[] | undefined>): void {
    this.#status = status;
    this.#contentType = headers['content-type'];
  }

  onResponseData(_: unknown, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    this.#onEnd();
    if (this.#isOver) return;
    this.#watch.stop();
    this.#settle(readAnswer({ status: this.#status, contentType: this.#contentType, chunks: this.#chunks }));
  }

  onResponseError(_: unknown, error: Error): void {
    this.#onEnd();
    if (this.#isOver) return;
    this.#watch.stop();
    this.#settle({ result: null, fault: faultOf(error), detail: error.message });
  }

  #giveUp(fault: Fault): void {
    this.#isOver = true;
    this.#settle({ result: null, fault, detail: `no answer after ${this.#timeoutMs} ms` });
    this.#controller?.abort(new Error(fault));
  }
}

function faultOf(error: Error): Fault {
  const { code } = error as { code?: unknown };
  return code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE' || code === 'UND_ERR_INVALID_ARG' ? 'refused' : 'away';
}
