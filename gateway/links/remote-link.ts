import type { Abortable } from '#kit/request-ending.ts';
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
import type { HttpCall, HttpConnection } from './http-connection.ts';
import { HttpConnections } from './http-connections.ts';
import { HttpResponseError, type HttpResponse } from './http-response.ts';
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
/** What a field may hold (RFC 9110 section 5.5), without what only some take. */
const FIELD_VALUE = /^[\x20-\x7e]*$/;

/** Returns the way to a subgraph of the platform in another process: the sealed tenant context goes with every call. */
export function remoteTransport(address: SubgraphAddress): RemoteTransport<TenantCall> {
  return httpTransport(address, { requestIdOf: (call) => call.request.tenant.requestId, fieldsOf: tenantFields });
}

/** Returns the link to any GraphQL server, which learns nothing of the caller; for supergraphs of others. */
export function plainLink(address: SubgraphAddress): SubgraphLink<PlainCall> & { close(): Promise<void> } {
  const transport = httpTransport<PlainCall>(address, {
    requestIdOf: (call) => call.requestId,
    fieldsOf: plainFields,
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
  /** Fields as names and values in turn. */
  readonly fieldsOf: (call: Call) => string[];
}

function httpTransport<Call>(address: SubgraphAddress, facts: CallFacts<Call>): RemoteTransport<Call> {
  const url = new URL(address.url);
  const target = { origin: url, connectTimeoutMs: CONNECT_TIMEOUT_MS, maxAnswerBytes: MAX_ANSWER_BYTES };
  const connections = new HttpConnections(target, CONNECTIONS);
  const begin =
    `POST ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\n` +
    'content-type: application/json\r\naccept: application/json\r\n';
  const noteOf = (call: Call, detail: string) => ({
    subgraph: address.subgraph,
    requestId: facts.requestIdOf(call),
    detail,
  });
  let underWay = 0;
  return {
    exchange: (request, call, bounds) =>
      new Promise((resolve) => {
        if (underWay >= MAX_UNDER_WAY) return resolve(failedExchange('refused', noteOf(call, 'too many calls wait')));
        const lines = linesOf(facts.fieldsOf(call));
        if (lines === null) return resolve(failedExchange('refused', noteOf(call, 'a field that HTTP does not take')));
        underWay += 1;
        const body = bodyOf(request);
        const bodyBytes = Buffer.byteLength(body);
        const message = `${begin}${lines}content-length: ${bodyBytes}\r\n\r\n${body}`;
        // In as many bytes as it has characters there are none but ASCII's.
        return new RemoteCall(bounds, { message, isAscii: bodyBytes === body.length }, (answer) => {
          underWay -= 1;
          resolve(goodOrNull(answer) ?? badExchange(answer, noteOf(call, answer.detail)));
        }).send(connections);
      }),
    close: () => connections.close(),
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

/** The body put together from parts that are JSON already; a name is of letters, digits and `_`. */
function bodyOf({ operation, variablesJson }: SubgraphRequest): string {
  const variables = variablesJson === undefined ? '' : `,"variables":${variablesJson}`;
  const name = operation.name === undefined ? '' : `,"operationName":"${operation.name}"`;
  return `{"query":${operation.textJson}${variables}${name}}`;
}

function tenantFields({ request: { tenant, databases } }: TenantCall): string[] {
  const headers = contextHeaders(tenant, databases.keys);
  return traced([CONTEXT_HEADER, headers[CONTEXT_HEADER], 'x-request-id', tenant.requestId]);
}

function plainFields({ requestId }: PlainCall): string[] {
  return traced(['x-request-id', requestId]);
}

function traced(fields: string[]): string[] {
  const { traceparent } = injectTrace<{ readonly traceparent?: string }>({});
  if (traceparent !== undefined) fields.push('traceparent', traceparent);
  return fields;
}

/** Returns the lines of fields, or null: a value with a line end in it would be the beginning of another request. */
function linesOf(fields: readonly string[]): string | null {
  let lines = '';
  for (let index = 0; index < fields.length; index += 2) {
    const value = fields[index + 1] ?? '';
    if (!FIELD_VALUE.test(value)) return null;
    lines += `${fields[index]}: ${value}\r\n`;
  }
  return lines;
}

/** One call over a connection of the gateway's own. A class, since a call makes nothing then but one object. */
class RemoteCall implements HttpCall {
  readonly message: string;
  readonly isAscii: boolean;
  connection: HttpConnection | null = null;
  readonly #settle: (answer: ReadAnswer) => void;
  readonly #watch: BoundsWatch;
  readonly #timeoutMs: number;
  #connections: HttpConnections | null = null;
  #isOver = false;

  /** `settle` is called once. */
  constructor(
    bounds: Bounds,
    { message, isAscii }: Pick<HttpCall, 'message' | 'isAscii'>,
    settle: (answer: ReadAnswer) => void,
  ) {
    this.message = message;
    this.isAscii = isAscii;
    this.#settle = settle;
    this.#timeoutMs = bounds.timeoutMs;
    this.#watch = new BoundsWatch(bounds, (fault) => this.#giveUp(fault));
  }

  send(connections: HttpConnections): void {
    if (this.#isOver) return;
    this.#connections = connections;
    connections.send(this);
  }

  onAnswer({ status, contentType, body }: HttpResponse): void {
    this.#end(readAnswer({ status, contentType, chunks: body }));
  }

  onFailure(error: Error): void {
    this.#end({ result: null, fault: faultOf(error), detail: error.message });
  }

  #end(answer: ReadAnswer): void {
    this.#isOver = true;
    this.#watch.stop();
    this.#settle(answer);
  }

  #giveUp(fault: Fault): void {
    this.#isOver = true;
    this.#connections?.abandon(this);
    this.#settle({ result: null, fault, detail: `no answer after ${this.#timeoutMs} ms` });
  }
}

function faultOf(error: Error): Fault {
  return error instanceof HttpResponseError && error.isTooLarge ? 'refused' : 'away';
}
