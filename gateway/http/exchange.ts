import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { TenonError } from '#schema/errors.ts';

/** One answer, ready to be written. */
export interface HttpAnswer {
  readonly status: number;
  readonly mediaType: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Empty once it is forgotten. */
  text: string;
}

/**
 * Lets go of the text of an answer that nobody needs any more. A request that waited for its turn has promises that are old
 * objects by the time they resolve to the answer: they are garbage at once, but would keep it until the next collection of old
 * objects, and a flood of answers that become old brings one every few seconds, which everybody waits for.
 */
export function forget(answer: HttpAnswer): void {
  answer.text = '';
}

/** How an answer is written. */
export interface Writing {
  /** Further headers, names and values in turn. */
  readonly lines: readonly string[];
  /** Whether the connection ends with it. */
  readonly isLast: boolean;
}

/** One request over HTTP and the way of its answer. */
export interface HttpExchange {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly headerCount: number;
  /** Of whoever opened the connection. */
  readonly remoteAddress: string;
  /** Whether nobody is there any more to be answered. */
  readonly isGone: boolean;
  /** The body as text, at once where it is there; more than `maxBytes` is PAYLOAD_TOO_LARGE, one that breaks off BAD_REQUEST. */
  readBody(maxBytes: number): string | Promise<string>;
  /** Tells one listener when the caller goes away; null tells nobody any more. */
  watch(onGone: (() => void) | null): void;
  /** Writes the answer, once. */
  write(answer: HttpAnswer, writing: Writing): void;
}

/** Returns the exchange of a request that Node's HTTP server has read. */
export function nodeExchange(req: IncomingMessage, res: ServerResponse): HttpExchange {
  return new NodeExchange(req, res);
}

class NodeExchange implements HttpExchange {
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  #onGone: (() => void) | null = null;

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.#req = req;
    this.#res = res;
  }

  get method(): string {
    return this.#req.method ?? '';
  }

  get url(): string {
    return this.#req.url ?? '';
  }

  get headers(): IncomingHttpHeaders {
    return this.#req.headers;
  }

  get headerCount(): number {
    return this.#req.rawHeaders.length / 2;
  }

  get remoteAddress(): string {
    return this.#req.socket.remoteAddress ?? '';
  }

  get isGone(): boolean {
    return this.#res.destroyed;
  }

  readBody(maxBytes: number): Promise<string> {
    return readBody(this.#req, maxBytes);
  }

  watch(onGone: (() => void) | null): void {
    if (this.#onGone !== null) this.#res.off('close', this.#onGone);
    this.#onGone = onGone;
    if (onGone !== null) this.#res.once('close', onGone);
  }

  write({ status, mediaType, headers, text }: HttpAnswer, { lines, isLast }: Writing): void {
    if (isLast) this.#res.shouldKeepAlive = false;
    const length = String(Buffer.byteLength(text));
    const head = ['content-type', `${mediaType}; charset=utf-8`, 'content-length', length, ...lines];
    for (const name in headers) head.push(name, headers[name] ?? '');
    this.#res.writeHead(status, head);
    this.#res.end(text);
  }
}

function readBody(req: IncomingMessage, maxBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    req.on('data', (chunk: Buffer) => {
      length += chunk.length;
      // What comes after is not kept; the connection is closed with the answer.
      if (length > maxBytes) return reject(tooLarge(maxBytes));
      chunks.push(chunk);
    });
    req.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    req.once('error', (error) => reject(new TenonError('BAD_REQUEST', error.message)));
  });
}

/** Returns the refusal of a body. */
export function tooLarge(maxBytes: number): TenonError {
  return new TenonError('PAYLOAD_TOO_LARGE', `more than ${maxBytes} bytes`);
}
