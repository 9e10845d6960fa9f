/** An answer that is no HTTP/1.1, or larger than it may be. */
export class HttpResponseError extends Error {
  readonly isTooLarge: boolean;

  constructor(message: string, isTooLarge = false) {
    super(message);
    this.isTooLarge = isTooLarge;
  }
}

const MAX_HEAD_BYTES = 16 * 1024;
const MAX_CHUNK_LINE_BYTES = 1024;
const HEAD_END = Buffer.from('\r\n\r\n');
const LINE_END = Buffer.from('\r\n');
const NOTHING = Buffer.alloc(0);
const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: |$)/;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Readers differ in what these mean, which is how answers are smuggled into one another. */
// oxlint-disable-next-line no-control-regex
const STRAY_CONTROL = /\0|\r(?!\n)|(?<!\r)\n/;
const CHUNK_SIZE = /^([0-9A-Fa-f]{1,8})[ \t]*(?:;|$)/;

/** Takes what it can from the bytes and returns how many those were; -1 where it needs more than there are. */
type Step = (response: HttpResponse, bytes: Buffer) => number;

/**
 * Reads one answer from the bytes of a connection (RFC 9112). Strict where leniency lets one answer pass for two: a length
 * beside a transfer coding, two lengths, any coding but `chunked`, folded lines and stray line ends are refused. Every
 * fault is an `HttpResponseError`.
 */
export class HttpResponse {
  status = 0;
  contentType: string | undefined;
  /** Parts of the body; those of the last read are views of its bytes, which their owner may overwrite afterwards. */
  readonly body: Buffer[] = [];
  /** How long the server keeps the connection for another request, in ms, as far as it says; 0 where it ends. */
  keepAliveMs: number = Infinity;
  step: Step = readHead;
  /** Bytes of the body, or of the current chunk of it, that are still to come. */
  missing = 0;
  readonly #maxBytes: number;
  #sizeBytes = 0;
  #ownParts = 0;
  #left: Buffer = NOTHING;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes the next bytes and returns whether the answer is whole; bytes beyond its end are a fault. */
  read(bytes: Buffer): boolean {
    let rest = this.#left.length === 0 ? bytes : Buffer.concat([this.#left, bytes]);
    this.#left = NOTHING;
    while (this.step !== done) {
      const taken = rest.length === 0 ? -1 : this.step(this, rest);
      if (taken < 0) {
        this.#left = Buffer.from(rest);
        this.#ownBody();
        return false;
      }
      rest = rest.subarray(taken);
    }
    if (rest.length > 0) throw new HttpResponseError('more bytes than the answer has');
    return true;
  }

  /** The connection has ended; returns whether that ended the answer as well, which otherwise is broken off. */
  end(): boolean {
    return this.step === done || this.step === readUntilEnd;
  }

  append(part: Buffer): number {
    this.#sizeBytes += part.length;
    this.bound(this.#sizeBytes);
    this.body.push(part);
    return part.length;
  }

  bound(sizeBytes: number): void {
    if (sizeBytes > this.#maxBytes) throw new HttpResponseError(`more than ${this.#maxBytes} bytes`, true);
  }

  #ownBody(): void {
    for (const { body } = this; this.#ownParts < body.length; this.#ownParts++)
      body[this.#ownParts] = Buffer.from(body[this.#ownParts] ?? NOTHING);
  }
}

function done(): number {
  return 0;
}

function readHead(response: HttpResponse, bytes: Buffer): number {
  const end = bytes.indexOf(HEAD_END);
  if (end === -1 ? bytes.length > MAX_HEAD_BYTES : end > MAX_HEAD_BYTES) throw new HttpResponseError('endless head');
  if (end === -1) return -1;
  const text = bytes.toString('latin1', 0, end);
  if (STRAY_CONTROL.test(text)) throw new HttpResponseError('stray control characters');
  const lineEnd = text.indexOf('\r\n');
  const statusLine = STATUS_LINE.exec(lineEnd === -1 ? text : text.slice(0, lineEnd));
  if (statusLine === null) throw new HttpResponseError('no status line of HTTP/1.1');
  response.status = Number(statusLine[2]);
  if (response.status === 101) throw new HttpResponseError('another protocol');
  // Interim answers (RFC 9110 section 15.2) come before the one.
  if (response.status < 200) return end + 4;
  const framing = readFields(response, lineEnd === -1 ? '' : text.slice(lineEnd + 2));
  if (statusLine[1] === '0') response.keepAliveMs = 0;
  response.step = bodyStep(response, framing);
  return end + 4;
}

/** What the fields say of where the body ends. */
interface Framing {
  length: number | null;
  isChunked: boolean;
}

function readFields(response: HttpResponse, text: string): Framing {
  const framing: Framing = { length: null, isChunked: false };
  for (let start = 0; start < text.length;) {
    const next = text.indexOf('\r\n', start);
    const end = next === -1 ? text.length : next;
    const colon = text.indexOf(':', start);
    const name = nameOf(colon === -1 || colon > end ? '' : text.slice(start, colon));
    if (READ_FIELDS.has(name)) readField(response, framing, { name, value: text.slice(colon + 1, end).trim() });
    start = end + 2;
  }
  return framing;
}

/** The fields that say something about an answer; whatever stands in another one is passed by. */
const READ_FIELDS: ReadonlySet<string> = new Set([
  'content-type',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
]);
/** Spellings that are usual, so that nearly no name is looked at letter by letter. */
const USUAL_NAMES: ReadonlyMap<string, string> = new Map(
  [...READ_FIELDS, 'date'].flatMap((name) => [
    [name, name],
    [name.replace(/(?<=^|-)[a-z]/g, (letter) => letter.toUpperCase()), name],
  ]),
);

function nameOf(written: string): string {
  const usual = USUAL_NAMES.get(written);
  if (usual !== undefined) return usual;
  if (!FIELD_NAME.test(written)) throw new HttpResponseError('a field without a name');
  return written.toLowerCase();
}

function readField(
  response: HttpResponse,
  framing: Framing,
  { name, value }: { readonly name: string; readonly value: string },
): void {
  if (name === 'content-type') response.contentType = value;
  else if (name === 'content-length') framing.length = lengthOf(value, framing.length);
  else if (name === 'transfer-encoding') {
    if (framing.isChunked || value.toLowerCase() !== 'chunked') throw new HttpResponseError('an unknown coding');
    framing.isChunked = true;
  } else if (name === 'connection') {
    if (/(?:^|,)\s*close\s*(?:,|$)/i.test(value)) response.keepAliveMs = 0;
  } else if (name === 'keep-alive') {
    const seconds = /(?:^|,)\s*timeout=(\d{1,6})/i.exec(value)?.[1];
    if (seconds !== undefined) response.keepAliveMs = Math.min(response.keepAliveMs, Number(seconds) * 1_000);
  }
}

function lengthOf(value: string, before: number | null): number {
  if (!/^\d{1,15}$/.test(value)) throw new HttpResponseError('no length');
  const length = Number(value);
  if (before !== null && before !== length) throw new HttpResponseError('two lengths');
  return length;
}

/** RFC 9112 section 6.3; no answer to HEAD or CONNECT comes here. */
function bodyStep(response: HttpResponse, { length, isChunked }: Framing): Step {
  if (isChunked && length !== null) throw new HttpResponseError('a length beside a coding');
  if (response.status === 204 || response.status === 304 || length === 0) return done;
  if (isChunked) return readChunkSize;
  if (length === null) {
    response.keepAliveMs = 0;
    return readUntilEnd;
  }
  response.bound(length);
  response.missing = length;
  return readLength;
}

function readLength(response: HttpResponse, bytes: Buffer): number {
  const taken = response.append(bytes.length > response.missing ? bytes.subarray(0, response.missing) : bytes);
  response.missing -= taken;
  if (response.missing === 0) response.step = done;
  return taken;
}

function readUntilEnd(response: HttpResponse, bytes: Buffer): number {
  return response.append(bytes);
}

function readChunkSize(response: HttpResponse, bytes: Buffer): number {
  const end = bytes.indexOf(LINE_END);
  if ((end === -1 ? bytes.length : end) > MAX_CHUNK_LINE_BYTES) throw new HttpResponseError('endless chunk size');
  if (end === -1) return -1;
  const digits = CHUNK_SIZE.exec(bytes.toString('latin1', 0, end))?.[1];
  if (digits === undefined) throw new HttpResponseError('no chunk size');
  response.missing = Number.parseInt(digits, 16);
  response.step = response.missing === 0 ? readTrailer : readChunk;
  return end + 2;
}

function readChunk(response: HttpResponse, bytes: Buffer): number {
  if (response.missing > 0) {
    const taken = response.append(bytes.length > response.missing ? bytes.subarray(0, response.missing) : bytes);
    response.missing -= taken;
    return taken;
  }
  if (bytes.length < 2) return -1;
  if (!bytes.subarray(0, 2).equals(LINE_END)) throw new HttpResponseError('a chunk longer than its size');
  response.step = readChunkSize;
  return 2;
}

/** Fields behind the body are read over. */
function readTrailer(response: HttpResponse, bytes: Buffer): number {
  const end = bytes.indexOf(LINE_END);
  if ((end === -1 ? bytes.length : end) > MAX_HEAD_BYTES) throw new HttpResponseError('endless trailer');
  if (end === -1) return -1;
  if (end === 0) response.step = done;
  return end + 2;
}
