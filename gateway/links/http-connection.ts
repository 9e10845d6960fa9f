import { connect, isIP, type Socket } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import { HttpResponse, HttpResponseError } from './http-response.ts';

/** A request on its way. */
export interface HttpCall {
  /** All of its bytes: request line, fields, empty line and body. */
  readonly message: string;
  /** Whether it holds nothing but ASCII. */
  readonly isAscii: boolean;
  /** Where it runs; set and taken away by whoever runs it. */
  connection: HttpConnection | null;
  /** Called once, with an answer whose body is to be read before the function returns. */
  onAnswer(answer: HttpResponse): void;
  /** Called once instead, where there is no whole answer. */
  onFailure(error: Error): void;
}

/** What a connection is opened to, and its bounds. */
export interface ConnectionTarget {
  readonly origin: URL;
  readonly connectTimeoutMs: number;
  readonly maxAnswerBytes: number;
}

/** Told what becomes of a connection. */
export interface ConnectionOwner {
  /** It is free for another call. */
  onFree(connection: HttpConnection): void;
  /** It has ended; told once. */
  onGone(connection: HttpConnection): void;
}

/** What one read takes at most; every connection has a buffer of its own for it. */
const READ_BYTES = 16 * 1024;
/** A server that does not say how long it keeps an idle connection is not trusted for longer; one that does, for a second less. */
const KEEP_ALIVE_MS = 4_000;
const KEEP_ALIVE_MARGIN_MS = 1_000;

/**
 * One connection to a server that speaks HTTP/1.1, for one call after the other. It reads into one buffer and writes a
 * request in one piece, without a stream between: over undici a hop costs twice as much (test/bench/README.md).
 */
export class HttpConnection {
  /** By `performance.now()`: until then a call may still be sent. */
  freeUntilMs = 0;
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #maxAnswerBytes: number;
  #call: HttpCall | null = null;
  #response: HttpResponse;
  #isGone = false;

  constructor(target: ConnectionTarget, owner: ConnectionOwner) {
    this.#owner = owner;
    this.#maxAnswerBytes = target.maxAnswerBytes;
    this.#response = new HttpResponse(target.maxAnswerBytes);
    this.#socket = open(target, (bytes) => this.#take(bytes));
    const timer = setTimeout(() => this.#fail(new Error('connecting took too long')), target.connectTimeoutMs);
    this.#socket.once(target.origin.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(timer));
    this.#socket.once('error', (error) => this.#fail(error));
    this.#socket.once('end', () => this.#ended());
    this.#socket.once('close', () => {
      clearTimeout(timer);
      this.#fail(new Error('the connection broke'));
    });
  }

  /** Sends a call; there must be none under way. */
  send(call: HttpCall): void {
    this.#call = call;
    call.connection = this;
    // Cheaper than as UTF-8, and the same bytes.
    this.#socket.write(call.message, call.isAscii ? 'latin1' : 'utf8');
  }

  /** Ends the connection, and with it the call that is under way, which is told nothing more. */
  destroy(): void {
    this.#letGo();
    this.#gone();
  }

  #take(bytes: Buffer): void {
    // Nobody asked: what a server says now could pass for the answer to the next call.
    if (this.#call === null) return this.#gone();
    try {
      if (this.#response.read(bytes)) this.#finish();
    } catch (error) {
      this.#fail(error instanceof Error ? error : new HttpResponseError(String(error)));
    }
  }

  #ended(): void {
    if (this.#call !== null && this.#response.end()) this.#finish();
    else this.#fail(new Error('the connection ended'));
  }

  #finish(): void {
    const [call, response] = [this.#letGo(), this.#response];
    const keptMs = Math.min(KEEP_ALIVE_MS, response.keepAliveMs - KEEP_ALIVE_MARGIN_MS);
    if (keptMs > 0) {
      this.#response = new HttpResponse(this.#maxAnswerBytes);
      this.freeUntilMs = performance.now() + keptMs;
      this.#owner.onFree(this);
    } else this.#gone();
    call?.onAnswer(response);
  }

  #fail(error: Error): void {
    const call = this.#letGo();
    this.#gone();
    call?.onFailure(error);
  }

  #letGo(): HttpCall | null {
    const call = this.#call;
    this.#call = null;
    if (call !== null) call.connection = null;
    return call;
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#socket.destroy();
    this.#owner.onGone(this);
  }
}

function open({ origin }: ConnectionTarget, take: (bytes: Buffer) => void): Socket {
  const isSecure = origin.protocol === 'https:';
  const host = origin.hostname.replace(/^\[|\]$/g, '');
  const port = Number(origin.port) || (isSecure ? 443 : 80);
  if (isSecure) {
    const name = isIP(host) === 0 ? { servername: host } : {};
    const socket = connectSecurely({ host, port, ...name, ALPNProtocols: ['http/1.1'] });
    socket.setNoDelay(true).on('data', take);
    return socket;
  }
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const callback = (length: number): boolean => {
    take(length === READ_BYTES ? buffer : buffer.subarray(0, length));
    return true;
  };
  return connect({ host, port, noDelay: true, onread: { buffer, callback } });
}
