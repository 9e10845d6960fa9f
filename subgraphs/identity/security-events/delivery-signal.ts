import pg from 'pg';

/** A connection that hears of new deliveries until it is closed. */
export interface DeliverySignal {
  close(): Promise<void>;
}

const CHANNEL = 'tenon_deliveries';
const RETRY_MS = 1_000;

/**
 * Calls `onNews` whenever a transaction that owes a receiver something has been committed, and after every connection, since
 * something may have been missed before it. A connection that is lost comes back by itself.
 */
export function listenForDeliveries(url: string, onNews: () => void): DeliverySignal {
  const state: State = { url, onNews, client: null, timer: undefined, closed: false, connecting: Promise.resolve() };
  state.connecting = connect(state);
  return {
    close: async () => {
      state.closed = true;
      clearTimeout(state.timer);
      await state.connecting;
      await state.client?.end().catch(() => undefined);
      state.client = null;
    },
  };
}

interface State {
  readonly url: string;
  readonly onNews: () => void;
  client: pg.Client | null;
  timer: NodeJS.Timeout | undefined;
  closed: boolean;
  connecting: Promise<void>;
}

async function connect(state: State): Promise<void> {
  const client = new pg.Client({
    connectionString: state.url,
    application_name: 'tenon deliveries',
    keepAlive: true,
    connectionTimeoutMillis: 5_000,
  });
  const lose = () => {
    if (state.client !== null && state.client !== client) return;
    state.client = null;
    if (state.closed) return;
    clearTimeout(state.timer);
    state.timer = setTimeout(() => (state.connecting = connect(state)), RETRY_MS).unref();
  };
  client.on('error', lose);
  client.on('end', lose);
  client.on('notification', state.onNews);
  try {
    await client.connect();
    await client.query(`listen ${CHANNEL}`);
    state.client = client;
    state.onNews();
  } catch {
    await client.end().catch(() => undefined);
    lose();
  }
}
