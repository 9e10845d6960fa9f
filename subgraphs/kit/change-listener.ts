import pg from 'pg';
import { inStore, POOL } from '#schema/tenant-store.ts';

/** The channel that the databases announce changes on. */
export const CHANGE_CHANNEL = 'tenon_changes';

/** A connection that listens to one database for as long as it is wanted. */
export interface ChangeListener {
  /**
   * True while every message of the database arrives: all that was committed before the last 750 ms has been given to
   * `onMessage`, whatever was lost on the way.
   */
  isLive(): boolean;
  /** Resolves when every message that was committed before this call has been given to `onMessage`, or at once. */
  caughtUp(): Promise<void>;
  close(): Promise<void>;
}

/** What a listener is made of. */
export interface ListenerOptions {
  /** Leads to the database itself or to a pooler of whole sessions: one of transactions loses messages. */
  readonly url: string;
  readonly onMessage: (payload: string) => void;
  /** Called before the listener is live, at first and again after a loss: any message may have been missed. */
  readonly onRestart: () => void;
  /** Whether the database counts its messages, as a cell does: then one that is lost is found out. */
  readonly isCounted: boolean;
  /** The store that is listened to; without it the database as a whole. */
  readonly store?: string;
}

/** How often the connection has to prove that it is alive, and that nothing was lost. */
const HEARTBEAT_MS = 200;
/** Without a proof for so long it does not count as live, whatever the socket says. */
const MAX_SILENCE_MS = 750;
/** A heartbeat that is not answered in this time ends the connection. */
const ANSWER_TIMEOUT_MS = 1_000;
/** News is sent a moment after its commit can be seen; what has not come by then is lost. */
const LATE_MS = 50;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2_000;

/** Opens a listener and waits for its first attempt; where that fails it goes on trying, and is not live until then. */
export async function openChangeListener(options: ListenerOptions): Promise<ChangeListener> {
  const state: State = {
    client: null,
    provenMs: 0,
    heard: 0,
    owed: 0,
    retryMs: FIRST_RETRY_MS,
    timer: undefined,
    closed: false,
  };
  let running: Promise<void> | null = null;
  let next: Promise<void> | null = null;
  const barrier = () => (running = prove(state, options).finally(() => (running = null)));
  await connect(state, options);
  return {
    isLive: () => isLive(state),
    caughtUp: async () => {
      if (!isLive(state)) return;
      // One that is under way may be older than the change; all who wait for it share the one behind it.
      if (running === null) return barrier();
      next ??= running.then(() => {
        next = null;
        return barrier();
      });
      return next;
    },
    close: async () => {
      state.closed = true;
      clearTimeout(state.timer);
      await state.client?.end().catch(ignore);
      state.client = null;
    },
  };
}

interface State {
  client: pg.Client | null;
  /** When the last answered heartbeat was sent: the connection was alive at that moment or later. */
  provenMs: number;
  /** Number of the last message that came. */
  heard: number;
  /** Number of the last message that the database is known to have sent. */
  owed: number;
  retryMs: number;
  timer: NodeJS.Timeout | undefined;
  closed: boolean;
}

function isLive(state: State): boolean {
  return state.client !== null && state.heard >= state.owed && performance.now() - state.provenMs < MAX_SILENCE_MS;
}

async function connect(state: State, options: ListenerOptions): Promise<void> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: inStore(`'tenon changes'`, options.store ?? POOL).slice(1, -1),
    keepAlive: true,
    connectionTimeoutMillis: 5_000,
    query_timeout: ANSWER_TIMEOUT_MS,
  });
  client.on('error', () => lose(state, client, options));
  client.on('end', () => lose(state, client, options));
  client.on('notification', ({ payload = '' }) => hear(state, options, payload));
  try {
    await client.connect();
    const sentMs = performance.now();
    await client.query(`listen ${inStore(CHANGE_CHANNEL, options.store ?? POOL)}`);
    const { sent } = await ask(client, options);
    if (state.closed) return await client.end();
    options.onRestart();
    Object.assign(state, { client, provenMs: sentMs, heard: sent, owed: sent, retryMs: FIRST_RETRY_MS });
    schedule(state, HEARTBEAT_MS, () => void prove(state, options));
  } catch {
    drop(client);
    retry(state, options);
  }
}

/** Messages are counted in the order of their commits, in which they also come: a number left out is a message lost. */
function hear(state: State, options: ListenerOptions, payload: string): void {
  const number = numberOf(payload);
  if (number !== null && options.isCounted && state.client !== null) {
    if (number > state.heard + 1) options.onRestart();
    state.heard = Math.max(state.heard, number);
  }
  options.onMessage(payload);
}

/** `<topic> <tenant> <number> ...`; null where it was not counted. */
function numberOf(payload: string): number | null {
  const [, number = ''] = /^\S+ \S+ (\d{1,15})(?: |$)/.exec(payload) ?? [];
  return number === '' ? null : Number(number);
}

interface Answer {
  readonly listens: boolean;
  /** Number of the last message that was committed. */
  readonly sent: number;
}

async function ask(client: pg.Client, { isCounted, store = POOL }: ListenerOptions): Promise<Answer> {
  const sent = isCounted ? inStore('(select sequence from tenon.change_counter)', store) : '0';
  const { rows } = await client.query<{ listens: boolean; sent: string }>(
    `select $1 in (select pg_listening_channels()) as listens, ${sent}::text as sent`,
    [inStore(CHANGE_CHANNEL, store)],
  );
  return { listens: rows[0]?.listens === true, sent: Number(rows[0]?.sent) };
}

/**
 * One round trip. PostgreSQL signals every listener before it answers a commit, and hands out what is waiting before it
 * answers the next statement, so what was committed before this call has been heard after it; what has not is owed.
 */
async function prove(state: State, options: ListenerOptions): Promise<void> {
  const { client, heard, owed } = state;
  if (client === null) return;
  try {
    const sentMs = performance.now();
    const { listens, sent } = await ask(client, options);
    // A pooler that swapped the session behind this connection is found out here.
    if (!listens) throw new Error('the session does not listen');
    if (state.client !== client) return;
    // What was owed at the last proof is late by now; a number beyond the database's own was never sent by it.
    const isLost = state.heard < owed || heard > sent;
    if (isLost && options.isCounted) {
      options.onRestart();
      state.heard = sent;
    }
    state.owed = sent;
    state.provenMs = sentMs;
    schedule(state, state.heard < sent ? LATE_MS : HEARTBEAT_MS, () => void prove(state, options));
  } catch {
    lose(state, client, options);
  }
}

function lose(state: State, client: pg.Client, options: ListenerOptions): void {
  if (state.client !== client) return;
  state.client = null;
  drop(client);
  retry(state, options);
}

function retry(state: State, options: ListenerOptions): void {
  if (state.closed) return;
  // Spread, so that all gateways do not come back in the same moment.
  schedule(state, state.retryMs * (0.5 + Math.random()), () => void connect(state, options));
  state.retryMs = Math.min(LAST_RETRY_MS, state.retryMs * 2);
}

function schedule(state: State, delayMs: number, work: () => void): void {
  clearTimeout(state.timer);
  if (!state.closed) state.timer = setTimeout(work, delayMs).unref();
}

/** A half-open socket would keep a polite goodbye waiting for minutes. */
function drop(client: pg.Client): void {
  (client as pg.Client & { readonly connection: pg.Connection }).connection.stream.destroy();
}

function ignore(): void {}
