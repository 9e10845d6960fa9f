import type { ServerResponse } from 'node:http';
import { RequestEnding, type Abortable } from '#kit/request-ending.ts';
import { TenonError } from '#schema/errors.ts';

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
  readonly #response: Pick<ServerResponse, 'once' | 'off'>;
  readonly #timer: NodeJS.Timeout;
  readonly #onClose: () => void;

  constructor(response: Pick<ServerResponse, 'once' | 'off'>, deadlineMs: number) {
    this.signal = this.#ending;
    this.#response = response;
    this.#onClose = this.#closed.bind(this);
    this.#timer = setTimeout(timeIsUp, deadlineMs, this.#ending);
    response.once('close', this.#onClose);
  }

  /** Ends the request for a reason of the gateway's own; once its answer is ready this does nothing. */
  abort(reason: TenonError): void {
    this.#ending.abort(reason);
  }

  /** Stops watching; called when the answer is ready. */
  end(): void {
    clearTimeout(this.#timer);
    this.#response.off('close', this.#onClose);
  }

  #closed(): void {
    this.#ending.abort(new CallerGoneError());
  }
}

function timeIsUp(ending: RequestEnding): void {
  ending.abort(new TenonError('GATEWAY_TIMEOUT', 'the time of the request is up'));
}
