import { STATUS_CODES, type IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import { tooLarge, type HttpAnswer, type HttpExchange, type Writing } from './exchange.ts';
import { readPlainRequest, type PlainRequest } from './plain-request.ts';

/** What a connection belongs to. */
export interface FrontOwner {
  /** Answers a request; called again only after it was answered. */
  serve(exchange: HttpExchange): void;
  /** Hands the connection over for good, with the bytes that came on it and were not taken. */
  handOver(socket: Socket, bytes: Buffer): void;
  /** Told once when the connection is over or was handed over. */
  onGone(connection: FrontConnection): void;
  /** Seconds that an idle connection is kept, as clients are told. */
  readonly keepAliveSeconds: number;
}

/** What comes before an answer is kept up to here; beyond, nothing more is read until then. */
const MOST_EARLY_BYTES = 64 * 1024;
/** What a field may hold (RFC 9110 section 5.5), without what only some take: a line end would begin another field. */
const FIELD_VALUE = /^[\x20-\x7e]*$/;

/** One connection, from its first byte until it ends or brings something that is no plain request. */
export class FrontConnection {
  readonly socket: Socket;
  /** By `performance.now()`: since when nothing is under way on it. */
  idleSinceMs: number = performance.now();
  /** False until a first request came. */
  wasUsed = false;
  /** The request under way. */
  current: FrontExchange | null = null;
  readonly owner: FrontOwner;
  #early: Buffer[] = [];
  readonly #onData = (bytes: Buffer) => this.#take(bytes);
  readonly #onEnd = () => void this.socket.destroy();
  readonly #onClose = () => this.#gone();

  constructor(socket: Socket, owner: FrontOwner) {
    this.socket = socket;
    this.owner = owner;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onEnd);
    socket.on('close', this.#onClose);
  }

  /** The answer to the request under way is written, as one text. */
  answered(message: string, { isAscii, isLast }: { readonly isAscii: boolean; readonly isLast: boolean }): void {
    this.current = null;
    if (isLast) {
      this.socket.end(message, isAscii ? 'latin1' : 'utf8');
      return;
    }
    const isTaken = this.socket.write(message, isAscii ? 'latin1' : 'utf8');
    this.idleSinceMs = performance.now();
    if (this.#early.length > 0) this.#handOver(Buffer.concat(this.#early));
    // Who does not read her answers sends no further requests either.
    else if (!isTaken) this.#waitForReader();
  }

  #take(bytes: Buffer): void {
    this.wasUsed = true;
    if (this.current !== null) return this.#keep(bytes);
    const request = this.socket.writable ? readPlainRequest(bytes) : null;
    if (request === null) return this.#handOver(bytes);
    this.current = new FrontExchange(this, request);
    this.owner.serve(this.current);
  }

  /** Comes before the answer to what came before it; a client that does so is none of the usual ones. */
  #keep(bytes: Buffer): void {
    this.#early.push(bytes);
    const size = this.#early.reduce((sum, { length }) => sum + length, 0);
    if (size > MOST_EARLY_BYTES) this.socket.pause();
  }

  #waitForReader(): void {
    this.socket.pause();
    this.socket.once('drain', () => this.socket.resume());
  }

  #handOver(bytes: Buffer): void {
    const { socket } = this;
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('error', this.#onEnd);
    socket.off('close', this.#onClose);
    this.owner.onGone(this);
    this.owner.handOver(socket, bytes);
  }

  #gone(): void {
    this.owner.onGone(this);
    this.current?.callerGone();
    this.current = null;
  }
}

/** A class, since every request has one. */
class FrontExchange implements HttpExchange {
  readonly method = 'POST';
  readonly url = '/graphql';
  readonly headers: IncomingHttpHeaders;
  readonly headerCount: number;
  readonly #connection: FrontConnection;
  readonly #request: PlainRequest;
  #onGone: (() => void) | null = null;

  constructor(connection: FrontConnection, request: PlainRequest) {
    this.#connection = connection;
    this.#request = request;
    this.headers = request.headers;
    this.headerCount = request.headerCount;
  }

  get remoteAddress(): string {
    return this.#connection.socket.remoteAddress ?? '';
  }

  get isGone(): boolean {
    return this.#connection.current !== this || this.#connection.socket.destroyed;
  }

  readBody(maxBytes: number): string {
    if (this.#request.bodyBytes > maxBytes) throw tooLarge(maxBytes);
    return this.#request.body;
  }

  watch(onGone: (() => void) | null): void {
    this.#onGone = onGone;
  }

  callerGone(): void {
    this.#onGone?.();
  }

  write(answer: HttpAnswer, { lines, isLast }: Writing): void {
    if (this.isGone) return;
    const { keepAliveSeconds } = this.#connection.owner;
    const bytes = Buffer.byteLength(answer.text);
    const ends = isLast || answer.headers['connection'] === 'close';
    const head = headOf(answer, lines, bytes);
    const tail = ends
      ? 'connection: close\r\n\r\n'
      : `connection: keep-alive\r\nkeep-alive: timeout=${keepAliveSeconds}\r\n\r\n`;
    // In as many bytes as it has characters there are none but ASCII's.
    const isAscii = bytes === answer.text.length;
    this.#connection.answered(`${head}${tail}${answer.text}`, { isAscii, isLast: ends });
  }
}

function headOf({ status, mediaType, headers }: HttpAnswer, lines: readonly string[], bytes: number): string {
  let head =
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: ${mediaType}; charset=utf-8\r\n` +
    `content-length: ${bytes}\r\ndate: ${dateNow()}\r\n`;
  for (let index = 0; index < lines.length; index += 2) head += lineOf(lines[index] ?? '', lines[index + 1] ?? '');
  for (const name in headers) if (name !== 'connection') head += lineOf(name, headers[name] ?? '');
  return head;
}

function lineOf(name: string, value: string): string {
  if (!FIELD_VALUE.test(value)) throw new Error(`the header ${name} holds what HTTP does not take`);
  return `${name}: ${value}\r\n`;
}

const today = { second: 0, text: '' };

/** The form of RFC 9110 section 5.6.7, made once a second. */
function dateNow(): string {
  const second = Math.floor(Date.now() / 1000);
  if (today.second !== second) Object.assign(today, { second, text: new Date(second * 1000).toUTCString() });
  return today.text;
}
