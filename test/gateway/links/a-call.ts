import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getOperationAST, OperationTypeNode, parse } from 'graphql';
import { onTestFinished } from 'vitest';
import type { Databases } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { mintId } from '#schema/ids.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import type { SubgraphRequest } from '../../../gateway/execution/subgraph-link.ts';
import type { Bounds, Exchange, TenantCall, Transport } from '../../../gateway/links/exchange.ts';
import { CONTEXT_KEYS } from '../../support/databases.ts';

/** A request of a subgraph as a program makes it. */
export function requestOf(text: string, variables?: Record<string, unknown>): SubgraphRequest {
  const definition = getOperationAST(parse(text));
  return {
    operation: {
      text,
      textJson: JSON.stringify(text),
      name: definition?.name?.value,
      kind: definition?.operation === OperationTypeNode.MUTATION ? 'mutation' : 'query',
      document: () => parse(text),
    },
    variables,
    variablesJson: variables === undefined ? undefined : JSON.stringify(variables),
  };
}

export const TENANT: TenantContext = {
  tenant: mintId('tnt'),
  tier: 'GROWTH',
  region: 'eu',
  cell: 'eu-1',
  state: 'active',
  actor: { type: 'user', id: mintId('usr'), ip: '::1', ua: 'test' },
  scopes: ['users:read'],
  sessionId: 's1',
  epoch: 1,
  client: null,
  requestId: 'req_of_the_test',
};

/** A call of a tenant that reaches no database. */
export function callOf(change: Partial<TenantContext> = {}, signal?: AbortSignal): TenantCall {
  const databases = { keys: CONTEXT_KEYS } as Databases;
  return { request: { tenant: { ...TENANT, ...change }, databases, signal } as RequestContext };
}

/** Serves until the test is over and returns the address. */
export async function serve(
  answer: (req: IncomingMessage, res: ServerResponse, body: string) => void,
  onConnection: () => void = () => undefined,
): Promise<string> {
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => answer(req, res, Buffer.concat(chunks).toString()));
  });
  server.on('connection', onConnection);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`;
}

/** A transport that answers what a test says, call by call, and keeps the bounds it was given. */
export function scripted(
  answer: (count: number, call: TenantCall) => Exchange | Promise<Exchange>,
): Transport<TenantCall> & { readonly calls: Bounds[] } {
  const calls: Bounds[] = [];
  return {
    calls,
    exchange: async (_request, call, bounds) => {
      calls.push(bounds);
      return answer(calls.length, call);
    },
  };
}
