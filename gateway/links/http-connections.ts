import { HttpConnection, type ConnectionOwner, type ConnectionTarget, type HttpCall } from './http-connection.ts';

/** How often idle connections that ran out are looked for. */
const SWEEP_MS = 1_000;

/** The connections to one server: a call takes a free one, else a new one, else it waits for its turn. */
export class HttpConnections {
  readonly #target: ConnectionTarget;
  readonly #max: number;
  /** The one that was used last comes first, so that what is not needed runs out. */
  readonly #free: HttpConnection[] = [];
  readonly #open = new Set<HttpConnection>();
  readonly #waiting = new Set<HttpCall>();
  readonly #owner: ConnectionOwner = {
    onFree: (connection) => this.#reuse(connection),
    onGone: (connection) => this.#forget(connection),
  };
  readonly #sweep: NodeJS.Timeout;
  #isClosing = false;
  #onClosed: () => void = () => undefined;

  constructor(target: ConnectionTarget, max: number) {
    this.#target = target;
    this.#max = max;
    this.#sweep = setInterval(() => this.#closeIdle(performance.now()), SWEEP_MS).unref();
  }

  /** Sends a call as soon as there is a connection for it. */
  send(call: HttpCall): void {
    const connection = this.#takeFree() ?? this.#connect();
    if (connection === null) this.#waiting.add(call);
    else connection.send(call);
  }

  /** Gives a call up: it is told nothing more, and the server sees its caller go. */
  abandon(call: HttpCall): void {
    this.#waiting.delete(call);
    call.connection?.destroy();
  }

  /** Lets the calls under way end, then closes the connections. */
  async close(): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#sweep);
    this.#closeIdle(Infinity);
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
  }

  #takeFree(): HttpConnection | null {
    const nowMs = performance.now();
    for (let connection = this.#free.pop(); connection !== undefined; connection = this.#free.pop()) {
      if (connection.freeUntilMs > nowMs) return connection;
      connection.destroy();
    }
    return null;
  }

  #connect(): HttpConnection | null {
    if (this.#open.size >= this.#max) return null;
    const connection = new HttpConnection(this.#target, this.#owner);
    this.#open.add(connection);
    return connection;
  }

  #reuse(connection: HttpConnection): void {
    const [next] = this.#waiting;
    if (next !== undefined) {
      this.#waiting.delete(next);
      connection.send(next);
    } else if (this.#isClosing) connection.destroy();
    else this.#free.push(connection);
  }

  #forget(connection: HttpConnection): void {
    this.#open.delete(connection);
    const place = this.#free.indexOf(connection);
    if (place !== -1) this.#free.splice(place, 1);
    const [next] = this.#waiting;
    if (next !== undefined) {
      this.#waiting.delete(next);
      this.send(next);
    } else if (this.#isClosing && this.#open.size === 0) this.#onClosed();
  }

  #closeIdle(nowMs: number): void {
    for (const connection of this.#free.toReversed()) if (connection.freeUntilMs <= nowMs) connection.destroy();
  }
}
