import { once } from 'node:events';
import { createServer, connect as connectTo, type Socket } from 'node:net';
import { Transform } from 'node:stream';

/** A way to a database that can be spoilt. */
export interface Road {
  /** The address of the database over this way. */
  readonly url: string;
  /** Lets answers through and swallows the news (NotificationResponse) from now on, or no longer. */
  swallowNews(swallow: boolean): void;
  /** Lets one message of news in so many be lost. */
  loseOneIn(count: number): void;
  /** Nothing comes through the connections there are, and nothing is closed. */
  block(): void;
  close(): Promise<void>;
}

const NOTIFICATION = 'A'.charCodeAt(0);

/** Opens a way to the database of the address. */
export async function openRoad(address: string): Promise<Road> {
  const to = new URL(address);
  const sockets = new Set<Socket>();
  const rule = { everyOne: 0, count: 0 };
  const isLost = () => rule.everyOne > 0 && ++rule.count % rule.everyOne === 0;
  const server = createServer((near) => {
    const far = connectTo(Number(to.port), to.hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => [near, far].forEach((end) => end.destroy()));
    }
    near.pipe(far);
    far.pipe(withoutNews(isLost)).pipe(near);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    url: Object.assign(new URL(to), { hostname: '127.0.0.1', port: String(port) }).href,
    swallowNews: (swallow) => Object.assign(rule, { everyOne: swallow ? 1 : 0, count: 0 }),
    loseOneIn: (count) => Object.assign(rule, { everyOne: count, count: 0 }),
    block: () => sockets.forEach((socket) => socket.unpipe().pause()),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Messages of the server are a letter, four bytes of length that count themselves, and the rest. */
function withoutNews(isLost: () => boolean): Transform {
  let pending = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 5) {
        const length = 1 + pending.readInt32BE(1);
        if (pending.length < length) break;
        if (pending[0] !== NOTIFICATION || !isLost()) this.push(pending.subarray(0, length));
        pending = pending.subarray(length);
      }
      done();
    },
  });
}
