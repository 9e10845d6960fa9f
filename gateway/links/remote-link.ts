import { Pool, type Dispatcher } from 'undici';
import { contextHeaders, type RequestContext } from '#kit/request-context.ts';
import { injectTrace } from '#kit/tenant-trace.ts';
import { failedExchange, watchBounds, type Bounds, type Fault, type TenantCall, type Transport } from './exchange.ts';
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
  readonly signal: AbortSignal | undefined;
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
  let underWay = 0;
  const onEnd = () => {
    underWay -= 1;
  };
  return {
    exchange: async (request, call, bounds) => {
      const note = { subgraph: address.subgraph, requestId: facts.requestIdOf(call) };
      if (underWay >= MAX_UNDER_WAY) return failedExchange('refused', { ...note, detail: 'too many calls wait' });
      underWay += 1;
      const options = { path, method: 'POST' as const, headers: facts.headersOf(call), body: bodyOf(request) };
      const { result, fault, detail } = await dispatch(pool, options, { bounds, onEnd });
      if (fault === null && result !== null) return { result, fault };
      const failed = failedExchange(fault ?? 'wrong', { ...note, detail });
      return result === null ? failed : { result, fault };
    },
    close: () => pool.close(),
  };
}

/** Put together from parts that are JSON already; a name is of letters, digits and `_`. */
function bodyOf({ operation, variablesJson }: SubgraphRequest): string {
  const variables = variablesJson === undefined ? '' : `,"variables":${variablesJson}`;
  const name = operation.name === undefined ? '' : `,"operationName":"${operation.name}"`;
  return `{"query":${operation.textJson}${variables}${name}}`;
}

/** The calls of a request share one envelope, which lives longer than any request. */
const envelopes = new WeakMap<RequestContext, readonly string[]>();

function tenantHeaders({ request: ctx }: TenantCall): string[] {
  let sealed = envelopes.get(ctx);
  if (sealed === undefined) {
    sealed = Object.entries(contextHeaders(ctx.tenant, ctx.databases.keys)).flat();
    envelopes.set(ctx, sealed);
  }
  return traced([...STATIC_HEADERS, ...sealed]);
}

function plainHeaders({ requestId }: PlainCall): string[] {
  return traced([...STATIC_HEADERS, 'x-request-id', requestId]);
}

function traced(headers: string[]): string[] {
  const { traceparent } = injectTrace<{ readonly traceparent?: string }>({});
  if (traceparent !== undefined) headers.push('traceparent', traceparent);
  return headers;
}

interface Watch {
  readonly bounds: Bounds;
  /** Called when the pool is done with the call, which can be later than its caller is. */
  readonly onEnd: () => void;
}

/** The low door of undici: no stream, no response object, one buffer in most cases. */
function dispatch(pool: Pool, options: Dispatcher.DispatchOptions, { bounds, onEnd }: Watch): Promise<ReadAnswer> {
  return new Promise((resolve) => {
    let controller: Dispatcher.DispatchController | null = null;
    // Changed by callbacks, which the compiler does not see.
    let over = false as boolean;
    let head: { status: number; contentType: string | string[] | undefined } = { status: 0, contentType: undefined };
    const chunks: Buffer[] = [];
    const stop = watchBounds(bounds, (fault) => {
      over = true;
      resolve({ result: null, fault, detail: `no answer after ${bounds.timeoutMs} ms` });
      controller?.abort(new Error(fault));
    });
    if (over) return onEnd();
    pool.dispatch(options, {
      onRequestStart: (started) => {
        controller = started;
        // Thrown, not aborted: the connection that has become free stays open for the next call.
        if (over) throw new Error('the call is over before it began');
      },
      onResponseStart: (_controller, status, headers) => {
        head = { status, contentType: headers['content-type'] };
      },
      onResponseData: (_controller, chunk) => {
        chunks.push(chunk);
      },
      onResponseEnd: () => {
        onEnd();
        stop();
        resolve(readAnswer({ ...head, chunks }));
      },
      onResponseError: (_controller, error) => {
        onEnd();
        stop();
        resolve({ result: null, fault: faultOf(error), detail: error.message });
      },
    });
  });
}

function faultOf(error: Error): Fault {
  const { code } = error as { code?: unknown };
  return code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE' || code === 'UND_ERR_INVALID_ARG' ? 'refused' : 'away';
}
