import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HttpResponse, HttpResponseError } from '../../../gateway/links/http-response.ts';

interface Read {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly body: string;
  readonly keepAliveMs: number;
}

/** Reads the text in the given pieces, out of one buffer that every read overwrites, as a connection does. */
function read(text: string, pieces: readonly number[] = [], maxBytes = 1_000_000): Read | 'more to come' {
  const bytes = Buffer.from(text, 'latin1');
  const response = new HttpResponse(maxBytes);
  const shared = Buffer.alloc(bytes.length);
  const ends = [...new Set([...pieces.map((piece) => piece % (bytes.length + 1)), bytes.length])].toSorted(
    (a, b) => a - b,
  );
  let from = 0;
  let isWhole = false;
  for (const end of ends) {
    if (end === from) continue;
    shared.fill(0x21);
    bytes.copy(shared, 0, from, end);
    isWhole = response.read(shared.subarray(0, end - from));
    from = end;
  }
  if (!isWhole && !response.end()) return 'more to come';
  const { status, contentType, keepAliveMs } = response;
  return { status, contentType, body: Buffer.concat(response.body).toString('latin1'), keepAliveMs };
}

const OK = 'HTTP/1.1 200 OK\r\n';
const lines = (...fields: string[]) => `${OK}${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
const chunked = (...chunks: string[]) =>
  `${lines('transfer-encoding: chunked')}${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`;

describe('an answer of a subgraph', () => {
  it.each([
    ['with a length', `${lines('Content-Type: application/json', 'Content-Length: 4')}abcd`, 'abcd', Infinity],
    ['with its length twice', `${lines('content-length: 4', 'content-length: 4')}abcd`, 'abcd', Infinity],
    ['with a length of nothing', lines('content-length: 0'), '', Infinity],
    ['in chunks', chunked('abc', 'd'), 'abcd', Infinity],
    [
      'in chunks with extensions and trailers',
      `${lines('transfer-encoding: Chunked')}4;a="b"\r\nabcd\r\n0\r\nx: y\r\n\r\n`,
      'abcd',
      Infinity,
    ],
    ['up to the end of the connection', `${OK}\r\nabcd`, 'abcd', 0],
    [
      'behind interim ones',
      `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100\r\n\r\n${lines('content-length: 1')}a`,
      'a',
      Infinity,
    ],
    ['of a server that closes', `${lines('connection: x, Close', 'content-length: 1')}a`, 'a', 0],
    [
      'of a server that says how long it waits',
      `${lines('keep-alive: max=3, timeout=5', 'content-length: 1')}a`,
      'a',
      5_000,
    ],
    ['of an old server', 'HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na', 'a', 0],
  ])('%s is read whole, in whatever pieces it comes', (_, text, body, keepAliveMs) => {
    expect(read(text)).toMatchObject({ status: 200, body, keepAliveMs });
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 12 }), (pieces) => {
        expect(read(text, pieces)).toEqual(read(text));
      }),
      { numRuns: 200 },
    );
  });

  it('without content has none whatever it says of a length', () => {
    expect(read('HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n')).toMatchObject({ status: 204, body: '' });
    expect(read('HTTP/1.1 304\r\n\r\n')).toMatchObject({ status: 304, body: '' });
  });

  it('says its media type', () => {
    expect(read(lines('CONTENT-TYPE:  application/json; charset=utf-8 ', 'content-length: 0'))).toMatchObject({
      contentType: 'application/json; charset=utf-8',
    });
  });

  it.each([
    ['a length beside a coding', `${lines('content-length: 4', 'transfer-encoding: chunked')}0\r\n\r\n`],
    ['two lengths', `${lines('content-length: 4', 'content-length: 5')}abcd`],
    ['a list of lengths', `${lines('content-length: 4, 4')}abcd`],
    ['a length with a sign', `${lines('content-length: +4')}abcd`],
    ['a length in hex', `${lines('content-length: 0x4')}abcd`],
    ['a coding behind another', lines('transfer-encoding: gzip, chunked')],
    ['a coding twice', lines('transfer-encoding: chunked', 'transfer-encoding: chunked')],
    ['an unknown coding', lines('transfer-encoding: xchunked')],
    ['a folded line', lines('a: b', ' c')],
    ['space before the colon', lines('content-length : 4')],
    ['a line without a colon', lines('content-length')],
    ['a bare line feed', `${OK}a: b\ncontent-length: 4\r\n\r\n`],
    ['a bare carriage return', lines('a: b\rcontent-length: 4')],
    ['a null character', lines('a: \0')],
    ['another version', 'HTTP/2.0 200 OK\r\n\r\n'],
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n'],
    ['a chunk longer than its size', `${lines('transfer-encoding: chunked')}1\r\nab\r\n0\r\n\r\n`],
    ['a chunk of no size', `${lines('transfer-encoding: chunked')}\r\nab\r\n`],
    ['a chunk of a huge size', `${lines('transfer-encoding: chunked')}fffffffff\r\n`],
    ['a chunk size with a sign', `${lines('transfer-encoding: chunked')}-1\r\n`],
    ['an endless chunk size', `${lines('transfer-encoding: chunked')}1;${'a'.repeat(2_000)}`],
    ['an endless head', `${OK}a: ${'b'.repeat(20_000)}`],
    ['an endless trailer', `${lines('transfer-encoding: chunked')}0\r\n${'a'.repeat(20_000)}`],
    ['another answer behind it', `${lines('content-length: 1')}aHTTP/1.1 200 OK\r\n`],
  ])('with %s is refused', (_, text) => {
    expect(() => read(text)).toThrow(HttpResponseError);
  });

  it('is refused as soon as it is larger than it may be', () => {
    const tooLarge = expect.objectContaining({ isTooLarge: true });
    expect(() => read(lines('content-length: 11'), [], 10)).toThrow(tooLarge);
    expect(() => read(chunked('abcdef', 'ghijk'), [], 10)).toThrow(tooLarge);
    expect(() => read(`${OK}\r\nabcdefghijk`, [], 10)).toThrow(tooLarge);
    expect(read(`${lines('content-length: 10')}abcdefghij`, [], 10)).toMatchObject({ body: 'abcdefghij' });
  });

  it('is not taken for whole before its end', () => {
    for (const text of [OK, `${lines('content-length: 4')}abc`, chunked('abc').slice(0, -2)])
      expect(read(text)).toBe('more to come');
  });

  it('ends or fails with its own error on whatever bytes', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array).toString('latin1')),
      fc
        .constantFrom(chunked('abc'), `${lines('content-length: 3')}abc`)
        .chain((text) =>
          fc
            .tuple(fc.nat(text.length - 1), fc.nat(255))
            .map(([at, byte]) => text.slice(0, at) + String.fromCharCode(byte) + text.slice(at + 1)),
        ),
    );
    fc.assert(
      fc.property(bytes, fc.array(fc.nat(), { maxLength: 5 }), (text, pieces) => {
        try {
          read(text, pieces);
        } catch (error) {
          expect(error).toBeInstanceOf(HttpResponseError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
