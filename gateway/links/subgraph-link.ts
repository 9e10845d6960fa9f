import { parse, type DocumentNode } from 'graphql';
import type { GraphQLDataSource } from '@apollo/gateway';
import { Pool } from 'undici';
import type { Subgraph } from '#kit/define-subgraph.ts';
import type { GatewayContext } from '../gateway-context.ts';
import { contextHeaders, type RequestContext } from '#kit/request-context.ts';
import { executeSubgraph, type SubgraphResult } from '#kit/subgraph-execution.ts';
import { injectTrace } from '#kit/tenant-trace.ts';
import { ERRORS, type ErrorCode } from '#schema/errors.ts';

type ProcessOptions = Parameters<GraphQLDataSource<GatewayContext>['process']>[0];

/** Returns the link to a subgraph in this process: the plan's parsed document runs at once, nothing is serialised. */
export function localLink(subgraph: Subgraph): GraphQLDataSource<GatewayContext> {
  return {
    process: async (options) => {
      const result = await executeSubgraph(subgraph, operationOf(options), contextOf(options));
      return result;
    },
  };
}

/** A subgraph behind HTTP, with connections kept open. */
export interface RemoteLink extends GraphQLDataSource<GatewayContext> {
  close(): Promise<void>;
}

/** Connections to one subgraph; more wait their turn, which keeps a slow one from filling the gateway's memory. */
const CONNECTIONS = 64;

/** Returns the link to a subgraph in another process; the signed tenant context goes with every call. */
export function remoteLink(address: { readonly url: string; readonly timeoutMs: number }): RemoteLink {
  const url = new URL(address.url);
  const pool = new Pool(url.origin, {
    connections: CONNECTIONS,
    headersTimeout: address.timeoutMs,
    bodyTimeout: address.timeoutMs,
  });
  const path = `${url.pathname.replace(/\/$/, '')}/graphql`;
  return {
    process: async (options) => {
      const ctx = contextOf(options);
      const { query, variables, operationName } = options.request;
      try {
        const { body } = await pool.request({
          path,
          method: 'POST',
          headers: injectTrace({
            'content-type': 'application/json',
            ...contextHeaders(ctx.tenant, ctx.databases.keys),
          }),
          body: JSON.stringify({ query, variables, operationName }),
        });
        return (await body.json()) as SubgraphResult;
      } catch (error) {
        return { errors: [transportError(error)] };
      }
    },
    close: () => pool.close(),
  };
}

function operationOf(options: ProcessOptions): {
  document: DocumentNode;
  variables?: Record<string, unknown>;
  operationName?: string;
} {
  const planned = 'document' in options ? options.document : undefined;
  const { query, variables, operationName } = options.request;
  return {
    document: planned ?? parse(query ?? ''),
    ...(variables === undefined ? {} : { variables }),
    ...(operationName === undefined ? {} : { operationName }),
  };
}

function contextOf(options: ProcessOptions): RequestContext {
  return (options.context as GatewayContext).request;
}

function transportError(error: unknown) {
  const name = (error as Error).name;
  const code: ErrorCode =
    name === 'HeadersTimeoutError' || name === 'BodyTimeoutError' ? 'GATEWAY_TIMEOUT' : 'SERVICE_UNAVAILABLE';
  return { message: ERRORS[code].message, extensions: { code } };
}
