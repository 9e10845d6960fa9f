import { EventEmitter, once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cancelOnAbort, type Cancellable } from '#kit/statement-cancel.ts';

/** Length, code of a cancel request, process and secret (PostgreSQL protocol, section 55.7). */
const CANCEL_REQUEST = [16, 80_877_102, 4711, 815];

/** A PostgreSQL that takes cancel requests only; `onRequest` is what the backend makes of each. */
let server: Server;
let requests: number[][];
let onRequest: () => void;

beforeEach(async () => {
  requests = [];
  onRequest = () => undefined;
  server = createServer((socket) => {
    socket.once('data', (bytes) => {
      requests.push([0, 4, 8, 12].map((at) => bytes.readInt32BE(at)));
      onRequest();
      socket.end();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
});

afterEach(() => {
  server.close();
});

function transaction(): { watched: Cancellable; end: () => void } {
  const { port } = server.address() as AddressInfo;
  const client = Object.assign(new EventEmitter(), {
    host: '127.0.0.1',
    port,
    ssl: false,
    processID: 4711,
    secretKey: 815,
  }) as unknown as pg.ClientBase;
  let isRunning = true;
  return {
    watched: { client, opened: Promise.resolve(), isRunning: () => isRunning },
    end: () => {
      isRunning = false;
      client.emit('drain');
    },
  };
}

describe('the cancel request of a statement', () => {
  it('is sent once where it ends the statement', async () => {
    const gone = new AbortController();
    const { watched, end } = transaction();
    onRequest = end;
    const watch = cancelOnAbort(gone.signal, watched);
    gone.abort();
    expect(await watch.end()).toBe(true);
    expect(requests).toEqual([CANCEL_REQUEST]);
  });

  it('is sent again until the statement has ended: one that comes between two statements is lost', async () => {
    const gone = new AbortController();
    const { watched, end } = transaction();
    onRequest = () => {
      if (requests.length === 3) end();
    };
    const watch = cancelOnAbort(gone.signal, watched);
    gone.abort();
    expect(await watch.end()).toBe(true);
    expect(requests).toEqual([CANCEL_REQUEST, CANCEL_REQUEST, CANCEL_REQUEST]);
  });

  it('is not sent where nothing runs any more', async () => {
    const gone = new AbortController();
    const { watched, end } = transaction();
    const watch = cancelOnAbort(gone.signal, watched);
    end();
    gone.abort();
    expect(await watch.end()).toBe(false);
    expect(requests).toEqual([]);
  });

  it('waits for the transaction to be open, and is not sent after the watch has ended', async () => {
    const gone = new AbortController();
    const { watched, end } = transaction();
    let open = () => undefined as void;
    const opened = new Promise<void>((resolve) => (open = resolve));
    onRequest = end;
    const watch = cancelOnAbort(gone.signal, { ...watched, opened });
    gone.abort();
    expect(requests).toEqual([]);
    open();
    expect(await watch.end()).toBe(true);

    const later = new AbortController();
    const other = transaction();
    expect(await cancelOnAbort(later.signal, other.watched).end()).toBe(false);
    later.abort();
    expect(requests).toHaveLength(1);
  });
});
