import { setMaxListeners } from 'node:events';
import type { ServerResponse } from 'node:http';

/** The end of a request, before its answer: her caller went away, or its time is up. */
export interface RequestSignal {
  readonly signal: AbortSignal;
  /** Stops watching; called when the answer is ready. */
  end(): void;
}

/** Watches a request until its answer is ready. */
export function watchRequest(response: Pick<ServerResponse, 'once' | 'off'>, deadlineMs: number): RequestSignal {
  const over = new AbortController();
  // One a call of a subgraph under way.
  setMaxListeners(0, over.signal);
  const abort = () => over.abort();
  const timer = setTimeout(abort, deadlineMs);
  response.once('close', abort);
  return {
    signal: over.signal,
    end: () => {
      clearTimeout(timer);
      response.off('close', abort);
    },
  };
}
