import { RequestEnding, type Abortable } from '#kit/request-ending.ts';
import { TenonError } from '#schema/errors.ts';
import type { HttpExchange } from '../http/exchange.ts';

/** The caller did not wait for her answer: no fault of ours, and nobody is left to be told. */
export class CallerGoneError extends TenonError {
  constructor() {
    super('GATEWAY_TIMEOUT', 'the caller went away');
  }
}

/** Watches a request until its answer is ready; its signal is aborted when the caller goes away or the time is up. */
export class RequestWatch {
  readonly signal: Abortable;
  readonly #ending = new RequestEnding();
  readonly #exchange: Pick<HttpExchange, 'watch'>;
  readonly #timer: NodeJS.Timeout;

  constructor(exchange: Pick<HttpExchange, 'watch'>, deadlineMs: number) {
    this.signal = this.#ending;
    this.#exchange = exchange;
    this.#timer = setTimeout(timeIsUp, deadlineMs, this.#ending);
    exchange.watch(() => this.#ending.abort(new CallerGoneError()));
  }

  /** Ends the request for a reason of the gateway's own; once its answer is ready this does nothing. */
  abort(reason: TenonError): void {
    this.#ending.abort(reason);
  }

  /** Stops watching; called when the answer is ready. */
  end(): void {
    clearTimeout(this.#timer);
    this.#exchange.watch(null);
  }
}

function timeIsUp(ending: RequestEnding): void {
  ending.abort(new TenonError('GATEWAY_TIMEOUT', 'the time of the request is up'));
}
