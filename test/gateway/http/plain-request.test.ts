import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { readPlainRequest } from '../../../gateway/http/plain-request.ts';

const BODY = '{"query":"{ ü }"}';
const LENGTH = `content-length: ${Buffer.byteLength(BODY)}`;
const requestOf = (lines: readonly string[], body = BODY): Buffer =>
  Buffer.from([...lines, '', body].join('\r\n'), 'utf8');
const USUAL = ['POST /graphql HTTP/1.1', 'host: tenon.test', 'content-type: application/json', LENGTH];

/** What a reader of HTTP has to decide about, or what more than one reads in more than one way. */
const UNUSUAL: Readonly<Record<string, readonly string[]>> = {
  'a GET': ['GET /graphql HTTP/1.1', ...USUAL.slice(1)],
  'another path': ['POST /graphql/op HTTP/1.1', ...USUAL.slice(1)],
  'a query string': ['POST /graphql?query=a HTTP/1.1', ...USUAL.slice(1)],
  'a whole address': ['POST http://tenon.test/graphql HTTP/1.1', ...USUAL.slice(1)],
  'HTTP/1.0': ['POST /graphql HTTP/1.0', ...USUAL.slice(1)],
  'two blanks in the request line': ['POST  /graphql HTTP/1.1', ...USUAL.slice(1)],
  'no host': USUAL.filter((line) => !line.startsWith('host')),
  'two hosts': [...USUAL, 'host: other.test'],
  'a host with a path': ['POST /graphql HTTP/1.1', 'host: tenon.test/a', ...USUAL.slice(2)],
  'no length': USUAL.filter((line) => line !== LENGTH),
  'two equal lengths': [...USUAL, LENGTH],
  'two lengths': [...USUAL, 'Content-Length: 1'],
  'a length with a sign': [...USUAL.slice(0, 3), `content-length: +${Buffer.byteLength(BODY)}`],
  'a length with a zero before it': [...USUAL.slice(0, 3), `content-length: 0${Buffer.byteLength(BODY)}`],
  'a length in a list': [...USUAL.slice(0, 3), `${LENGTH}, ${Buffer.byteLength(BODY)}`],
  'a length beyond the body': [...USUAL.slice(0, 3), `content-length: ${Buffer.byteLength(BODY) + 1}`],
  'a length below the body': [...USUAL.slice(0, 3), `content-length: ${Buffer.byteLength(BODY) - 1}`],
  'a transfer coding': [...USUAL, 'transfer-encoding: chunked'],
  'a transfer coding in capitals': [...USUAL, 'TRANSFER-ENCODING: chunked'],
  'a content coding': [...USUAL, 'content-encoding: gzip'],
  'an expectation': [...USUAL, 'expect: 100-continue'],
  'an upgrade': [...USUAL, 'upgrade: h2c'],
  'a trailer': [...USUAL, 'trailer: x'],
  'a connection that is to end': [...USUAL, 'connection: close'],
  'a connection with options': [...USUAL, 'connection: keep-alive, x-request-id'],
  'a token twice': [...USUAL, 'authorization: Bearer a', 'Authorization: Bearer b'],
  'a field that every object has': [...USUAL, 'constructor: a'],
  'a prototype': [...USUAL, '__proto__: a'],
  'a folded line': [...USUAL, 'x-a: b', ' c'],
  'a blank before a colon': [...USUAL, 'x-a : b'],
  'a field without a name': [...USUAL, ': b'],
  'a line without a colon': [...USUAL, 'x-a'],
  'a tab in a value': [...USUAL, 'x-a: b\tc'],
  'a NUL in a value': [...USUAL, 'x-a: b\0c'],
  'a bare line feed': [...USUAL, 'x-a: b\nx-c: d'],
  'a bare carriage return': [...USUAL, 'x-a: b\rx-c: d'],
  'a letter beyond ASCII': [...USUAL, 'x-a: ü'],
  'more fields than anybody sends': [...USUAL, ...Array.from({ length: 65 }, (_, at) => `x-${at}: a`)],
  'an endless head': [...USUAL, `x-a: ${'a'.repeat(9_000)}`],
};

/** Reads the same bytes with Node's server; null where it refuses them. */
async function readByNode(bytes: Buffer): Promise<{ headers: IncomingHttpHeaders; body: string } | null> {
  let read: { headers: IncomingHttpHeaders; body: string } | null = null;
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      read = { headers: req.headers, body: Buffer.concat(chunks).toString() };
      res.shouldKeepAlive = false;
      res.end();
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await new Promise<void>(
    (resolve) =>
      void socket
        .on('data', () => undefined)
        .once('end', resolve)
        .end(bytes),
  );
  await new Promise((resolve) => void server.close(resolve));
  return read;
}

describe('a plain request', () => {
  it('is read with its fields and its body', () => {
    const bytes = requestOf([
      'POST /graphql HTTP/1.1',
      'Host: tenon.test:8080',
      LENGTH,
      'X-Own:  a b  ',
      'Connection: Keep-Alive',
    ]);
    expect(readPlainRequest(bytes)).toEqual({
      headers: { host: 'tenon.test:8080', 'content-length': '18', 'x-own': 'a b', connection: 'Keep-Alive' },
      headerCount: 4,
      bodyBytes: 18,
      body: BODY,
    });
  });

  it.each(Object.entries(UNUSUAL))('is none with %s', (_name, lines) => {
    expect(readPlainRequest(requestOf(lines))).toBeNull();
  });

  it('is none with anything behind it, or before all of it is there', () => {
    const bytes = requestOf(USUAL);
    expect(readPlainRequest(bytes)).not.toBeNull();
    expect(readPlainRequest(Buffer.concat([bytes, Buffer.from('P')]))).toBeNull();
    for (let length = 0; length < bytes.length; length++)
      expect(readPlainRequest(bytes.subarray(0, length))).toBeNull();
  });

  it('is read as Node reads it, whatever its fields are', async () => {
    const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,12}$/);
    const line = fc.tuple(name, fc.stringMatching(/^[\x20-\x7e]{0,24}$/)).map(([key, value]) => `${key}: ${value}`);
    const odd = fc.constantFrom(...Object.values(UNUSUAL).map((lines) => lines.at(-1) ?? ''));
    const lines = fc.array(fc.oneof({ arbitrary: line, weight: 9 }, { arbitrary: odd, weight: 1 }), { maxLength: 8 });
    let plain = 0;
    await fc.assert(
      fc.asyncProperty(lines, async (more) => {
        const bytes = requestOf([...USUAL, ...more]);
        const own = readPlainRequest(bytes);
        if (own === null) return;
        plain += 1;
        expect({ headers: own.headers, body: own.body }).toEqual(await readByNode(bytes));
      }),
      { numRuns: 150, seed: 20261123 },
    );
    expect(plain).toBeGreaterThan(50);
  });
});
