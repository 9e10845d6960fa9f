import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { asTenonError, TenonError } from '#schema/errors.ts';
import { checkOutgoingUrl, isPrivateAllowed, publicLookup, type OutgoingSettings } from './outgoing-http.ts';

/** Bytes for an address that a tenant named. */
export interface OutgoingBytes {
  readonly host: string;
  readonly port: number;
  /** With TLS the certificate has to be valid for the host, by the public authorities or, where given, by this one (PEM). */
  readonly tls: boolean;
  readonly certificate?: string | undefined;
  readonly bytes: Uint8Array;
  /** From the first try to connect until the receiver has closed; by default 10 s. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;

/**
 * Sends bytes over a connection of their own and waits until the receiver has read to their end and closed it without an
 * error, which is all that TCP can tell. The rules of `outgoingFetch` hold: a refused address is BAD_USER_INPUT, a
 * receiver that is away, slow or breaks off SERVICE_UNAVAILABLE.
 */
export async function sendOutgoingBytes(platform: OutgoingSettings, message: OutgoingBytes): Promise<void> {
  const { host, port, tls, bytes, timeoutMs = TIMEOUT_MS } = message;
  checkOutgoingUrl(platform, `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}/`);
  const socket = open(platform, message);
  try {
    await closed(socket, bytes, timeoutMs);
  } catch (thrown) {
    const error = asTenonError(thrown);
    if (error.code !== 'INTERNAL_SERVER_ERROR') throw error;
    throw new TenonError('SERVICE_UNAVAILABLE', `no answer from ${host}: ${error.message}`, { cause: thrown });
  } finally {
    socket.destroy();
  }
}

function open(platform: OutgoingSettings, { host, port, tls, certificate }: OutgoingBytes): Socket {
  const lookup = isPrivateAllowed(platform) ? {} : { lookup: publicLookup };
  if (!tls) return connect({ host, port, ...lookup });
  return connectTls({
    host,
    port,
    ...lookup,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(certificate === undefined ? {} : { ca: certificate }),
    minVersion: 'TLSv1.2',
  });
}

/** The receiver's own end comes after it has read ours. */
function closed(socket: Socket, bytes: Uint8Array, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it did not close in time')), timeoutMs);
    let hasEnded = false;
    socket.on('end', () => (hasEnded = true));
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      if (hasEnded && socket.writableFinished) resolve();
      else reject(new Error('the connection broke off'));
    });
    socket.resume();
    socket.end(bytes);
  });
}
