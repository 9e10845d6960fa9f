import type { IncomingHttpHeaders } from 'node:http';

/** A POST to `/graphql` that came whole and in the usual form. */
export interface PlainRequest {
  /** Names in lower case; no name came twice. */
  readonly headers: IncomingHttpHeaders;
  readonly headerCount: number;
  readonly bodyBytes: number;
  readonly body: string;
}

const REQUEST_LINE = 'POST /graphql HTTP/1.1\r\n';
const HEAD_END = Buffer.from('\r\n\r\n');
const LONGEST_HEAD = 8 * 1024;
const MOST_HEADERS = 64;
/** Readers differ in what these mean. */
// oxlint-disable-next-line no-control-regex
const STRAY = /[^\x20-\x7e\r\n]|\r(?!\n)|(?<!\r)\n/;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const HOST = /^[\w.:[\]-]+$/;
const LENGTH = /^(?:0|[1-9]\d{0,8})$/;
/** Those that change what the bytes of a message mean, or ask for more than an answer. */
const NOT_PLAIN: ReadonlySet<string> = new Set([
  'transfer-encoding',
  'te',
  'trailer',
  'expect',
  'upgrade',
  'http2-settings',
  'content-encoding',
  'proxy-connection',
]);

/** The usual names as clients spell them, so that nearly no name has to be looked at letter by letter. */
const KNOWN_NAMES: ReadonlyMap<string, string> = new Map(
  [
    'accept',
    'accept-encoding',
    'accept-language',
    'authorization',
    'connection',
    'content-length',
    'content-type',
    'host',
    'origin',
    'referer',
    'sec-fetch-mode',
    'traceparent',
    'tracestate',
    'user-agent',
    'x-forwarded-for',
    'x-request-id',
  ].flatMap((name) => [
    [name, name],
    [name.replace(/(?<=^|-)[a-z]/g, (letter) => letter.toUpperCase()), name],
  ]),
);

/**
 * Reads a request from the bytes of one read, where these are all of it and nothing more. Strict: it says null, and
 * judges nothing, wherever a reader of HTTP has anything to decide, such as a field that came twice, a transfer coding, a
 * length that is not that of the body, or an octet that is no visible ASCII in the head.
 */
export function readPlainRequest(bytes: Buffer): PlainRequest | null {
  const end = bytes.indexOf(HEAD_END);
  if (end === -1 || end > LONGEST_HEAD) return null;
  const head = bytes.toString('latin1', 0, end);
  if (!head.startsWith(REQUEST_LINE) || STRAY.test(head)) return null;
  const headers: IncomingHttpHeaders = {};
  const headerCount = readFields(head, headers);
  if (headerCount === null || !isPlain(headers)) return null;
  const bodyBytes = bytes.length - end - HEAD_END.length;
  if (Number(headers['content-length']) !== bodyBytes) return null;
  return { headers, headerCount, bodyBytes, body: bytes.toString('utf8', end + HEAD_END.length) };
}

/** Returns how many there are; null where one is not plain. */
function readFields(head: string, into: IncomingHttpHeaders): number | null {
  let count = 0;
  for (let start = REQUEST_LINE.length; start < head.length; count += 1) {
    const next = head.indexOf('\r\n', start);
    const end = next === -1 ? head.length : next;
    const colon = head.indexOf(':', start);
    if (colon === -1 || colon > end || count === MOST_HEADERS) return null;
    const name = nameOf(head.slice(start, colon));
    // Also what every object inherits something under.
    if (name === null || into[name] !== undefined) return null;
    into[name] = head.slice(colon + 1, end).trim();
    start = end + 2;
  }
  return count;
}

function nameOf(written: string): string | null {
  const known = KNOWN_NAMES.get(written);
  if (known !== undefined) return known;
  if (!FIELD_NAME.test(written)) return null;
  const name = written.toLowerCase();
  return NOT_PLAIN.has(name) ? null : name;
}

function isPlain({ host, connection, 'content-length': length }: IncomingHttpHeaders): boolean {
  if (host === undefined || !HOST.test(host) || length === undefined || !LENGTH.test(length)) return false;
  return connection === undefined || connection === 'keep-alive' || connection.toLowerCase() === 'keep-alive';
}
