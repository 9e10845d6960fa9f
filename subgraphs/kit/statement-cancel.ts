import { once } from 'node:events';
import pg from 'pg';
import type { Abortable } from './request-ending.ts';

/** A connection in a transaction whose statements end when a signal is aborted. */
export interface Cancellable {
  readonly client: pg.ClientBase;
  /** Settles when the transaction is open; before that there is nothing worth cancelling. */
  readonly opened: Promise<unknown>;
  /** True while a statement of the work runs. */
  readonly isRunning: () => boolean;
}

/** The watch over one transaction. */
export interface StatementWatch {
  /**
   * Ends the watch. Once it resolves, no cancel request is under way any more, so that the connection may go to its next
   * borrower; true if one was sent, which may have hit whatever came after the statement it was meant for.
   */
  end(): Promise<boolean>;
}

/** A cancel request that the server does not take in this time is given up and sent again. */
const CANCEL_TIMEOUT_MS = 2_000;
/** A request that arrives between two statements is lost on both; it is repeated after this. */
const REPEAT_AFTER_MS = 50;
const UNWATCHED: StatementWatch = { end: () => Promise.resolve(false) };

/**
 * Cancels what runs in a transaction when the signal is aborted, by PostgreSQL's cancel protocol: it needs no right
 * beyond the connection's own secret, and no connection out of a pool that may be exhausted.
 */
export function cancelOnAbort(signal: Abortable | undefined, transaction: Cancellable): StatementWatch {
  if (signal === undefined) return UNWATCHED;
  let cancelled: Promise<boolean> | null = null;
  const onAbort = () => (cancelled ??= cancelStatements(transaction));
  signal.addEventListener('abort', onAbort, { once: true });
  return {
    end: () => {
      signal.removeEventListener('abort', onAbort);
      return cancelled ?? Promise.resolve(false);
    },
  };
}

async function cancelStatements({ client, opened, isRunning }: Cancellable): Promise<boolean> {
  await opened.catch(ignore);
  let sent = false;
  while (isRunning()) {
    sent = true;
    await requestCancel(client as DriverClient).catch(ignore);
    // Emitted when all that was sent is answered.
    if (isRunning()) await once(client, 'drain', { signal: AbortSignal.timeout(REPEAT_AFTER_MS) }).catch(ignore);
  }
  return sent;
}

/** What the driver knows of a connection but does not declare. */
interface DriverClient extends pg.ClientBase {
  readonly host: string;
  readonly port: number;
  readonly ssl: boolean | object;
  readonly processID: number;
  readonly secretKey: number;
}

/** The driver's connection below a client, as far as it does not declare it. */
interface DriverConnection extends pg.Connection {
  connect(port: number | string, host?: string): void;
  cancel(processID: number, secretKey: number): void;
}

/** The server closes the connection once the signal is sent to the backend, which is what this waits for. */
async function requestCancel({ host, port, ssl, processID, secretKey }: DriverClient): Promise<void> {
  const connection = new pg.Connection({ ssl }) as DriverConnection;
  try {
    const ended = once(connection, 'end', { signal: AbortSignal.timeout(CANCEL_TIMEOUT_MS) });
    connection.once(ssl === false ? 'connect' : 'sslconnect', () => connection.cancel(processID, secretKey));
    if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`);
    else connection.connect(port, host);
    await ended;
  } finally {
    connection.on('error', ignore);
    connection.stream.destroy();
  }
}

function ignore(): void {}
