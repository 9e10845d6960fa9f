import type { TenantContext } from '#schema/tenant-context.ts';
import { failedResult, type TenantCall } from './exchange.ts';
import type { Abortable } from '#kit/request-ending.ts';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';
import type { SubgraphLink, SubgraphRequest } from '../execution/subgraph-link.ts';
import type { TenantKey } from '../tenant-key.ts';

/** How calls are told apart. */
export interface CoalescingOptions {
  readonly subgraph: string;
  readonly keyOf: (context: TenantContext) => TenantKey;
}

/**
 * Returns a link that sends a query once while the same one, for the same tenant, actor, scopes and client, is under
 * way; never a mutation. The call goes on until its last caller has left, and each caller gets a copy of her own.
 */
export function coalescingLink<Call extends TenantCall>(
  link: SubgraphLink<Call>,
  { subgraph, keyOf }: CoalescingOptions,
): SubgraphLink<Call> {
  const flights = new Map<string, Flight>();
  const takeOff = (key: string, request: SubgraphRequest, call: Call): Flight => {
    const over = new AbortController();
    const result = link.send(request, { ...call, request: { ...call.request, signal: over.signal } });
    const forget = () => {
      if (flights.get(key) === flight) flights.delete(key);
    };
    const land = () => {
      forget();
      over.abort();
    };
    const flight: Flight = { result: result.finally(forget), callers: 0, land };
    flights.set(key, flight);
    return flight;
  };
  return {
    send: (request, call) => {
      if (request.operation.kind !== 'query') return link.send(request, call);
      const key = flightKey(keyOf(call.request.tenant), subgraph, request);
      return board(flights.get(key) ?? takeOff(key, request, call), call.request.signal);
    },
  };
}

/** A call under way. */
interface Flight {
  readonly result: Promise<SubgraphResult>;
  /** How many wait for it. */
  callers: number;
  /** Ends it; whoever comes now starts another. */
  readonly land: () => void;
}

/** Every part is JSON, so that no two calls have the same key. */
function flightKey(tenant: TenantKey, subgraph: string, { operation, variablesJson }: SubgraphRequest): string {
  const name = JSON.stringify(operation.name ?? null);
  return `[${tenant},${JSON.stringify(subgraph)},${operation.textJson},${name},${variablesJson ?? 'null'}]`;
}

function board(flight: Flight, signal: Abortable | undefined): Promise<SubgraphResult> {
  flight.callers += 1;
  const isFirst = flight.callers === 1;
  return new Promise((resolve, reject) => {
    const leave = () => {
      flight.callers -= 1;
      if (flight.callers === 0) flight.land();
      resolve(failedResult('given up'));
    };
    if (signal?.aborted === true) return leave();
    signal?.addEventListener('abort', leave, { once: true });
    flight.result
      // Whoever merges answers writes into them.
      .then((result) => resolve(isFirst ? result : structuredClone(result)))
      .catch(reject)
      .finally(() => signal?.removeEventListener('abort', leave));
  });
}
