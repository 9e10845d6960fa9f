import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { HttpExchange } from './exchange.ts';
import { FrontConnection, type FrontOwner } from './front-connection.ts';

/** What the front of a server does with requests, and how long it waits for them. */
export interface FrontOptions {
  readonly serve: (exchange: HttpExchange) => void;
  /** How long a connection that was answered may be idle. */
  readonly keepAliveMs: number;
  /** How long a new one may take to its first bytes. */
  readonly firstBytesMs: number;
  /** How often connections whose time is over are looked for. */
  readonly sweepMs?: number;
}

/** The front of a server. */
export interface Front {
  /** Ends the connections that are idle after an answer; those that were never used stay for one. */
  readonly closeIdle: () => void;
  readonly close: () => void;
}

const SWEEP_MS = 5_000;

/**
 * Stands in front of a server's own reading of HTTP: a plain POST to `/graphql` is read and answered here, which saves a
 * small operation a fifth of its CPU (test/bench/README.md). A connection that brings anything else is handed over to
 * Node's server with its bytes, and stays there.
 */
export function openFront(server: Server, options: FrontOptions): Front {
  const { serve, keepAliveMs, firstBytesMs, sweepMs = SWEEP_MS } = options;
  const connections = new Set<FrontConnection>();
  const nodeListeners = server.listeners('connection');
  server.removeAllListeners('connection');
  const owner: FrontOwner = {
    serve,
    keepAliveSeconds: Math.floor(keepAliveMs / 1000),
    onGone: (connection) => void connections.delete(connection),
    handOver: (socket, bytes) => {
      socket.pause();
      for (const listener of nodeListeners) listener.call(server, socket);
      if (socket.destroyed) return;
      socket.unshift(bytes);
      socket.resume();
    },
  };
  server.on('connection', (socket: Socket) => void connections.add(new FrontConnection(socket, owner)));
  const endIdle = (isOver: (connection: FrontConnection) => boolean) => {
    for (const connection of connections)
      if (connection.current === null && isOver(connection)) connection.socket.destroy();
  };
  const sweep = setInterval(() => {
    const nowMs = performance.now();
    endIdle(({ wasUsed, idleSinceMs }) => nowMs - idleSinceMs > (wasUsed ? keepAliveMs : firstBytesMs));
  }, sweepMs).unref();
  return {
    closeIdle: () => endIdle(({ wasUsed }) => wasUsed),
    close: () => clearInterval(sweep),
  };
}
