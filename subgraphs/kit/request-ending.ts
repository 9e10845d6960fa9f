import { fail } from '#schema/errors.ts';

/** Told once when a request is over before its answer. */
export type EndListener = () => void;

/** The part of an AbortSignal that work under way looks at, so that either can be handed down. */
export interface Abortable {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
  addEventListener(type: 'abort', listener: EndListener, options?: { readonly once?: boolean }): void;
  removeEventListener(type: 'abort', listener: EndListener): void;
}

/**
 * The end of a request before its answer: its caller went away, or its time is up. It does what an AbortController and its
 * signal do for those who wait, at a tenth of their cost, since every request has one and hardly any is ever aborted.
 */
export class RequestEnding implements Abortable {
  aborted = false;
  reason: unknown = undefined;
  #first: EndListener | null = null;
  #others: Set<EndListener> | null = null;

  /** Ends the request; again does nothing. */
  abort(reason: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    const listeners = [...(this.#first === null ? [] : [this.#first]), ...(this.#others ?? [])];
    this.#first = null;
    this.#others = null;
    for (const listener of listeners) listener();
  }

  throwIfAborted(): void {
    if (!this.aborted) return;
    if (this.reason instanceof Error) throw this.reason;
    fail('GATEWAY_TIMEOUT', 'the request was aborted', { cause: this.reason });
  }

  addEventListener(_type: 'abort', listener: EndListener): void {
    if (this.#first === null) this.#first = listener;
    else (this.#others ??= new Set()).add(listener);
  }

  removeEventListener(_type: 'abort', listener: EndListener): void {
    if (this.#first === listener) this.#first = null;
    else this.#others?.delete(listener);
  }
}
