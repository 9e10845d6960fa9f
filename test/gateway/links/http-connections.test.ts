import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createSecureServer } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { HttpCall, HttpConnection } from '../../../gateway/links/http-connection.ts';
import { HttpConnections } from '../../../gateway/links/http-connections.ts';
import type { HttpResponse } from '../../../gateway/links/http-response.ts';
import { isInstalled } from '../../support/programs.ts';

const REQUEST = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n';
const answer = (body: string, ...fields: string[]) =>
  `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n${body}`;

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

/** A server that gets each request of each connection as it comes, and remembers its connections. */
async function serve(server: Server, onRequest: (socket: Socket, place: number) => void) {
  const sockets: Socket[] = [];
  const gone: number[] = [];
  server.on(server.listenerCount('connection') > 0 ? 'secureConnection' : 'connection', (socket: Socket) => {
    const place = sockets.push(socket) - 1;
    socket.on('data', () => onRequest(socket, place));
    socket.on('error', () => undefined);
    socket.on('close', () => gone.push(place));
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  opened.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { sockets, gone, port: (server.address() as AddressInfo).port };
}

function connectionsTo(origin: string, max = 8): HttpConnections {
  const connections = new HttpConnections(
    { origin: new URL(origin), connectTimeoutMs: 2_000, maxAnswerBytes: 1_000 },
    max,
  );
  opened.push(() => connections.close());
  return connections;
}

/** Sends a request and gives the body of its answer. */
function send(connections: HttpConnections, message = REQUEST): Promise<string> {
  return new Promise((resolve, reject) => connections.send(new Call(message, resolve, reject)));
}

class Call implements HttpCall {
  connection: HttpConnection | null = null;
  readonly isAscii = false;

  constructor(
    readonly message: string,
    readonly resolve: (body: string) => void,
    readonly onFailure: (error: Error) => void,
  ) {}

  onAnswer({ body }: HttpResponse): void {
    this.resolve(Buffer.concat(body).toString());
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 5_000; !condition();) {
    if (performance.now() > deadline) throw new Error('it does not happen');
    await new Promise((next) => void setImmediate(next));
  }
}

describe('connections of the gateway to a subgraph', () => {
  it('serve one call after the other, and no more at once than there may be', async () => {
    const waiting: Socket[] = [];
    const { sockets, port } = await serve(createServer(), (socket) => waiting.push(socket));
    const connections = connectionsTo(`http://127.0.0.1:${port}`, 2);
    const bodies = Promise.all(Array.from({ length: 6 }, () => send(connections)));
    for (let served = 0; served < 6; served++) {
      await until(() => waiting.length > 0);
      waiting.shift()?.write(answer(`${served}`));
    }
    expect((await bodies).toSorted()).toEqual(['0', '1', '2', '3', '4', '5']);
    expect(sockets.length).toBe(2);
  });

  it('are not used again where the server ends them, says so, or is about to', async () => {
    const answers = [answer('a', 'connection: close'), answer('b', 'keep-alive: timeout=1'), answer('c'), answer('d')];
    const { sockets, port, gone } = await serve(createServer(), (socket) => {
      socket.write(answers.shift() ?? '');
      if (answers.length === 1) socket.end();
    });
    const connections = connectionsTo(`http://127.0.0.1:${port}`);
    const bodies = [await send(connections), await send(connections), await send(connections)];
    await until(() => gone.includes(2));
    bodies.push(await send(connections));
    expect(bodies).toEqual(['a', 'b', 'c', 'd']);
    expect(sockets.length).toBe(4);
  });

  it('are ended by a server that speaks unasked: it could be taken for the next answer', async () => {
    const { sockets, port, gone } = await serve(createServer(), (socket, place) => {
      socket.write(answer(`of ${place}`));
    });
    const connections = connectionsTo(`http://127.0.0.1:${port}`);
    expect(await send(connections)).toBe('of 0');
    sockets[0]?.write(answer('forged'));
    await until(() => gone.includes(0));
    expect(await send(connections)).toBe('of 1');
  });

  it('fail the call whose connection breaks, and none of the others', async () => {
    const { port } = await serve(createServer(), (socket, place) => {
      if (place === 0) socket.destroy();
      else socket.write(answer(`of ${place}`));
    });
    const connections = connectionsTo(`http://127.0.0.1:${port}`, 1);
    const [first, second] = await Promise.allSettled([send(connections), send(connections)]);
    expect([first.status, second]).toEqual(['rejected', { status: 'fulfilled', value: 'of 1' }]);
  });

  it('end with a call that is given up, which is told nothing more; one that waits is not sent at all', async () => {
    let requests = 0;
    const { port, gone } = await serve(createServer(), () => (requests += 1));
    const connections = connectionsTo(`http://127.0.0.1:${port}`, 1);
    const told: unknown[] = [];
    const [running, waiting] = [0, 1].map(
      () =>
        new Call(
          REQUEST,
          (body) => told.push(body),
          (error) => told.push(error),
        ),
    );
    if (running === undefined || waiting === undefined) throw new Error('two calls were made');
    connections.send(running);
    connections.send(waiting);
    await until(() => requests === 1);
    connections.abandon(waiting);
    connections.abandon(running);
    await until(() => gone.includes(0));
    expect([told, requests]).toEqual([[], 1]);
  });

  it('stay when a call is given up that has its answer', async () => {
    const { sockets, port } = await serve(createServer(), (socket, place) => void socket.write(answer(`of ${place}`)));
    const connections = connectionsTo(`http://127.0.0.1:${port}`);
    const bodies: string[] = [];
    const call = new Call(
      REQUEST,
      (body) => bodies.push(body),
      () => undefined,
    );
    connections.send(call);
    await until(() => bodies.length === 1);
    connections.abandon(call);
    expect(await send(connections)).toBe('of 0');
    expect(sockets.length).toBe(1);
  });

  it('close when the calls under way have ended', async () => {
    const asked: Socket[] = [];
    const { port, gone } = await serve(createServer(), (socket) => asked.push(socket));
    const connections = connectionsTo(`http://127.0.0.1:${port}`);
    const body = send(connections);
    await until(() => asked.length === 1);
    const closed = connections.close();
    expect(gone).toEqual([]);
    asked[0]?.write(answer('at last'));
    expect(await body).toBe('at last');
    await closed;
    await until(() => gone.length === 1);
  });

  it.skipIf(!isInstalled(['openssl'], 'connections over TLS'))(
    'go over TLS, to nobody without a good certificate',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'tenon-tls-'));
      const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
      const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
      const made = ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-keyout', keyFile, '-out', certFile, ...subject];
      execFileSync('openssl', made, { stdio: 'ignore' });
      const files = { key: readFileSync(keyFile), cert: readFileSync(certFile) };
      rmSync(folder, { recursive: true });
      const { port } = await serve(createSecureServer(files), (socket) => void socket.write(answer('secret')));
      const connections = connectionsTo(`https://127.0.0.1:${port}`);
      await expect(send(connections)).rejects.toThrow('certificate');
      process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
      opened.push(() => delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']);
      expect([await send(connections), await send(connections)]).toEqual(['secret', 'secret']);
    },
  );
});
