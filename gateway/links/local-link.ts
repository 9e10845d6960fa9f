import type { Subgraph } from '#kit/define-subgraph.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { RequestEnding } from '#kit/request-ending.ts';
import { executeSubgraph } from '#kit/subgraph-execution.ts';
import { TenonError } from '#schema/errors.ts';
import {
  failedExchange,
  BoundsWatch,
  type Bounds,
  type Exchange,
  type Fault,
  type TenantCall,
  type Transport,
} from './exchange.ts';
import type { SubgraphRequest } from '../execution/subgraph-link.ts';

/**
 * Returns the way to a subgraph in this process: the parsed operation runs at once, nothing is serialised. Each call has
 * loaders of its own, as it has over HTTP; when it is over, so are its statements.
 */
export function localTransport(subgraph: Subgraph): Transport<TenantCall> {
  return {
    exchange: (request, { request: ctx }, bounds) =>
      new Promise((resolve) => run({ subgraph, request, ctx, bounds }, resolve)),
  };
}

interface LocalCall {
  readonly subgraph: Subgraph;
  readonly request: SubgraphRequest;
  readonly ctx: RequestContext;
  readonly bounds: Bounds;
}

function run({ subgraph, request, ctx, bounds }: LocalCall, resolve: (exchange: Exchange) => void): void {
  const over = new RequestEnding();
  const failed = (fault: Fault, detail: string) =>
    resolve(failedExchange(fault, { subgraph: subgraph.name, requestId: ctx.tenant.requestId, detail }));
  const watch = new BoundsWatch(bounds, (fault) => {
    over.abort(new TenonError('GATEWAY_TIMEOUT', `the call is over: ${fault}`));
    failed(fault, `no result after ${bounds.timeoutMs} ms`);
  });
  if (over.aborted) return;
  const { operation, variables } = request;
  executeSubgraph(
    subgraph,
    { document: operation.document(), variables, operationName: operation.name },
    { ...ctx, signal: over, loaders: new Map() },
  )
    .then((result) => resolve({ result, fault: null }))
    .catch((error: unknown) => failed('wrong', String(error)))
    .finally(() => watch.stop());
}
