import { setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import type { Config } from '#schema/config.ts';
import { asTenonError, TenonError } from '#schema/errors.ts';
import { trustedProxiesOf } from './caller-address.ts';
import { originOf, sendError } from './mount-routes.ts';
import type { Platform } from './request-context.ts';

/** Longer than the keep-alive of clients and balancers, so that a reused connection never meets a closing one. */
export const KEEP_ALIVE_TIMEOUT_MS = 65_000;

/** Takes a request before the router sees it and returns true, or leaves it alone and returns false. */
export type FrontDoor = (req: IncomingMessage, res: ServerResponse) => boolean;

/** What stands before the router of a server. */
export interface ServerFront {
  readonly door?: FrontDoor;
  /** Is given Node's server before it listens. */
  readonly onServer?: (server: Server) => void;
}

/** Returns the HTTP server of gateway and subgraphs: bodies come as bytes, bounded; faults come out of the table. */
export function newHttpServer({ config }: Platform, { door, onServer }: ServerFront = {}): FastifyInstance {
  const server = Fastify({
    bodyLimit: config.maxBodyBytes,
    serverFactory: (handler) => {
      const node = createServer(
        { keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS, requestTimeout: config.requestTimeoutMs },
        (req, res) => void (door?.(req, res) === true || handler(req, res)),
      );
      onServer?.(node);
      return node;
    },
    routerOptions: { maxParamLength: 256 },
    // Lock-outs and audit events speak of the caller's address, not of the balancer's.
    trustProxy: trustedProxiesOf(config),
    forceCloseConnections: 'idle',
    // While it closes, what comes on a connection that is there already is answered, and is its last.
    return503OnClosing: false,
    logger: false,
  });
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_req, body, done) => done(null, body));
  server.setErrorHandler((error, req, reply) =>
    sendError(reply, httpError(error), { style: errorStyle(req.url), requestId: originOf(req).requestId }),
  );
  server.setNotFoundHandler((req, reply) =>
    sendError(reply, new TenonError('NOT_FOUND', 'no such address'), {
      style: errorStyle(req.url),
      requestId: originOf(req).requestId,
    }),
  );
  return server;
}

/** Listens where the settings say and returns the address; a port in use is SERVICE_UNAVAILABLE. */
export async function listen(server: FastifyInstance, { host, port }: Pick<Config, 'host' | 'port'>): Promise<string> {
  await server.listen({ port, host }).catch((error: unknown) => refuseListening(error, port));
  return addressOf(server);
}

/** Returns a signal that is aborted when the caller goes away before her answer was written. */
export function callerGone({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  // One a transaction under way.
  setMaxListeners(0, gone.signal);
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort();
  });
  return gone.signal;
}

function httpError(error: unknown): TenonError {
  const { code, statusCode } = error as { code?: string; statusCode?: number };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new TenonError('PAYLOAD_TOO_LARGE', 'the body is too large');
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new TenonError('BAD_REQUEST', String(code));
  return asTenonError(error);
}

function errorStyle(url: string): 'problem' | 'scim' {
  return url.startsWith('/scim/') ? 'scim' : 'problem';
}

function addressOf(server: FastifyInstance): string {
  const [address]: (AddressInfo | string)[] = server.addresses();
  if (address === undefined || typeof address === 'string') throw new Error('a listening server has an address');
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${host}:${address.port}`;
}

function refuseListening(error: unknown, port: number): never {
  const inUse = (error as { code?: unknown }).code === 'EADDRINUSE';
  throw new TenonError(
    'SERVICE_UNAVAILABLE',
    inUse ? `port ${port} is in use; set PORT to another one` : (error as Error).message,
    { cause: error },
  );
}
