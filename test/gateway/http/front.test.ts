import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { HttpAnswer, HttpExchange } from '../../../gateway/http/exchange.ts';
import { openFront, type Front } from '../../../gateway/http/front.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const answerOf = (text: string, headers: Readonly<Record<string, string>> = {}): HttpAnswer => ({
  status: 200,
  mediaType: 'application/json',
  headers,
  text,
});
const requestOf = (body: string, ...more: readonly string[]): string =>
  ['POST /graphql HTTP/1.1', 'host: a.test', `content-length: ${Buffer.byteLength(body)}`, ...more, '', body].join(
    '\r\n',
  );

interface Opened {
  readonly server: Server;
  readonly front: Front;
  readonly port: number;
  /** Bodies that the front took, and addresses that Node's server did. */
  readonly taken: string[];
  readonly left: string[];
}

/** A server whose front answers with what `serve` does; Node's own reading answers `node <body>`. */
async function open(serve: (exchange: HttpExchange, body: string) => void, timesMs = 60_000): Promise<Opened> {
  const [taken, left]: [string[], string[]] = [[], []];
  const server = createServer((req, res) => {
    let body = '';
    req.on('data', (chunk: Buffer) => {
      body += String(chunk);
    });
    req.on('end', () => {
      left.push(`${req.method} ${req.url}`);
      res.end(`node ${body}`);
    });
  });
  const front = openFront(server, {
    serve: (exchange) => {
      const body = exchange.readBody(1_000) as string;
      taken.push(body);
      serve(exchange, body);
    },
    keepAliveMs: timesMs,
    firstBytesMs: timesMs,
    sweepMs: 10,
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  closers.push(
    () => new Promise((resolve) => void server.close(resolve)),
    () => server.closeAllConnections(),
    () => front.close(),
  );
  return { server, front, port: (server.address() as AddressInfo).port, taken, left };
}

const echo = (exchange: HttpExchange, body: string) =>
  exchange.write(answerOf(body), { lines: ['x-request-id', 'r'], isLast: false });

interface Caller {
  readonly socket: Socket;
  /** Everything that came so far. */
  text(): string;
  until(pattern: RegExp): Promise<string>;
  readonly ended: Promise<unknown>;
}

async function call(port: number): Promise<Caller> {
  const socket = connect(port, '127.0.0.1');
  closers.push(() => socket.destroy());
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += String(chunk);
  });
  socket.on('error', () => undefined);
  const ended = new Promise((resolve) => void socket.once('close', resolve));
  await new Promise((resolve) => void socket.once('connect', resolve));
  const until = async (pattern: RegExp) => {
    await expect.poll(() => text, { timeout: 5_000, interval: 2 }).toMatch(pattern);
    return text;
  };
  return { socket, text: () => text, until, ended };
}

describe('the front of a server', () => {
  it('answers one plain request after the other, in HTTP/1.1 and as many bytes as it says', async () => {
    const { port, taken, left } = await open(echo);
    const caller = await call(port);
    caller.socket.write(requestOf('"ä"'));
    const [head = '', body] = (await caller.until(/"ä"$/)).split('\r\n\r\n');
    expect(head.split('\r\n')).toEqual([
      'HTTP/1.1 200 OK',
      'content-type: application/json; charset=utf-8',
      'content-length: 4',
      expect.stringMatching(/^date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/),
      'x-request-id: r',
      'connection: keep-alive',
      'keep-alive: timeout=60',
    ]);
    expect(body).toBe('"ä"');
    caller.socket.write(requestOf('second'));
    await caller.until(/second$/);
    expect([taken, left]).toEqual([['"ä"', 'second'], []]);
  });

  it.each([
    ['another path', 'GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n', 'GET /readyz', 'node '],
    [
      'a coding',
      requestOf('', 'transfer-encoding: chunked').replace('content-length: 0\r\n', '') + '3\r\nabc\r\n0\r\n\r\n',
      'POST /graphql',
      'node abc',
    ],
  ])('leaves %s to Node, also after an answer of its own', async (_name, bytes, address, expected) => {
    const { port, left } = await open(echo);
    for (const before of [false, true]) {
      const caller = await call(port);
      if (before) {
        caller.socket.write(requestOf('own'));
        await caller.until(/own$/);
      }
      caller.socket.write(bytes);
      await caller.until(new RegExp(`${expected}(\\r\\n0\\r\\n\\r\\n)?$`));
      // From then on all of it is Node's.
      caller.socket.write(requestOf('later'));
      await caller.until(/node later/);
    }
    expect(left).toEqual([address, 'POST /graphql', address, 'POST /graphql']);
  });

  it('leaves a request that comes in pieces to Node, wherever it is cut', async () => {
    const { port, taken, left } = await open(echo);
    const request = requestOf('in pieces');
    for (const cut of [1, 30, request.indexOf('\r\n\r\n') + 2, request.length - 1]) {
      const caller = await call(port);
      caller.socket.setNoDelay(true);
      caller.socket.write(request.slice(0, cut));
      await new Promise((resolve) => void setTimeout(resolve, 20));
      caller.socket.write(request.slice(cut));
      await caller.until(/node in pieces/);
    }
    expect([taken.length, left.length]).toEqual([0, 4]);
  });

  it('answers what came before its answer after it, in order', async () => {
    let answer = () => undefined as void;
    const { port, taken, left } = await open((exchange, body) => (answer = () => echo(exchange, body)));
    const caller = await call(port);
    caller.socket.setNoDelay(true);
    caller.socket.write(requestOf('first'));
    await expect.poll(() => taken).toEqual(['first']);
    caller.socket.write(requestOf('second'));
    await new Promise((resolve) => void setTimeout(resolve, 20));
    expect(caller.text()).toBe('');
    answer();
    expect(await caller.until(/node second/)).toMatch(/^HTTP\/1\.1 200 [\s\S]*first[\s\S]*node second/);
    expect(left).toEqual(['POST /graphql']);
  });

  it('hands two requests that came at once to Node, which reads both', async () => {
    const { port, taken, left } = await open(echo);
    const caller = await call(port);
    caller.socket.write(requestOf('one') + requestOf('two'));
    await caller.until(/node one[\s\S]*node two/);
    expect([taken, left]).toEqual([[], ['POST /graphql', 'POST /graphql']]);
  });

  it('tells of a caller who goes away, and writes nothing to her', async () => {
    let gone = 0;
    const exchanges: HttpExchange[] = [];
    const { port } = await open((exchange) => {
      exchanges.push(exchange);
      exchange.watch(() => (gone += 1));
    });
    const caller = await call(port);
    caller.socket.write(requestOf('a'));
    await expect.poll(() => exchanges.length).toBe(1);
    caller.socket.destroy();
    await expect.poll(() => gone).toBe(1);
    expect(exchanges[0]?.isGone).toBe(true);
    expect(() => exchanges[0] && echo(exchanges[0], 'a')).not.toThrow();
  });

  it('ends the connection with an answer that says so', async () => {
    const { port } = await open((exchange, body) =>
      exchange.write(answerOf(body, body === 'header' ? { connection: 'close' } : {}), {
        lines: [],
        isLast: body === 'last',
      }),
    );
    for (const body of ['header', 'last']) {
      const caller = await call(port);
      caller.socket.write(requestOf(body));
      await caller.ended;
      expect(caller.text().match(/connection: [\w-]+/g)).toEqual(['connection: close']);
    }
  });

  it('ends connections that are idle for too long, new ones too, and none that is being answered', async () => {
    const { port, taken } = await open(() => undefined, 60);
    const [silent, waiting] = [await call(port), await call(port)];
    waiting.socket.write(requestOf('waits'));
    await silent.ended;
    expect(taken).toEqual(['waits']);
    expect(waiting.socket.destroyed).toBe(false);
  });

  it('refuses to write a header that would begin another', async () => {
    let thrown: unknown = null;
    const { port } = await open((exchange, body) => {
      try {
        exchange.write(answerOf(body, { 'x-a': 'b\r\nset-cookie: c' }), { lines: [], isLast: false });
      } catch (error) {
        thrown = error;
        exchange.write(answerOf('refused'), { lines: [], isLast: true });
      }
    });
    const caller = await call(port);
    caller.socket.write(requestOf('a'));
    await caller.ended;
    expect(String(thrown)).toContain('x-a');
    expect(caller.text()).not.toContain('set-cookie');
  });
});
