import type { ApolloGateway } from '@apollo/gateway';
import { parse, type DocumentNode, type GraphQLSchema } from 'graphql';
import { auditActions } from '#kit/audit-actions.ts';
import { readCostSchema } from '#schema/cost/cost-schema.ts';
import { schemaFault } from '#schema/operation-check.ts';
import { newApolloGateway } from './apollo-gateway.ts';
import { newExecution } from './execution/execution.ts';
import type { ApolloContext, GatewayContext } from './gateway-context.ts';
import { newKnownOperations, type KnownOperations } from './known-operations.ts';
import { supergraphPermissionsOf } from './permissions.ts';
import { operationIn, prepareOperation, type PreparedOn } from './prepared-operation.ts';

/** One supergraph and all that is made of it. */
export interface Supergraph extends PreparedOn {
  readonly sdl: string;
  readonly known: KnownOperations;
}

/** The supergraph that the gateway serves, and how it is replaced by another one while requests go on. */
export interface Supergraphs {
  /** The Apollo gateway, which loads the supergraph, tells Apollo Server of it and executes by our programs. */
  readonly gateway: ApolloGateway;
  current(): Supergraph;
  /** Returns the supergraph whose API schema this is: a request keeps the one that it was validated against. */
  of(apiSchema: GraphQLSchema): Supergraph;
  /**
   * Serves another supergraph from now on; fails and keeps the one there is where it cannot be loaded or `accept` fails.
   * Operations in use are compiled for it before, so that no request waits for planning.
   */
  replace(sdl: string, accept?: (next: Supergraph) => Promise<void>): Promise<void>;
}

/** Runs an operation that Apollo Server has validated, and returns its result. */
export type Execute = (ctx: GatewayContext, variables: Readonly<Record<string, unknown>>) => Promise<object>;

/** Operations that are compiled again with a new supergraph before it takes over. */
const WARMED = 500;

/** Loads the first supergraph. */
export async function openSupergraphs(sdl: string, execute: Execute): Promise<Supergraphs> {
  let current = await newSupergraph(sdl);
  let next = current;
  let update: (text: string) => void = notLoaded;
  let replacing = Promise.resolve();
  const bySchema = new WeakMap([[current.apiSchema, current]]);
  const gateway = newApolloGateway({
    initialize: async (serve) => {
      update = serve;
      return sdl;
    },
    apiSchemaOf: () => next.apiSchema,
    execute: ({ context, request }) => execute((context as ApolloContext).gateway, request.variables ?? {}),
  });
  gateway.onSchemaLoadOrUpdate(({ apiSchema }) => {
    current = bySchema.get(apiSchema) ?? current;
  });
  const replace: Supergraphs['replace'] = async (text, accept) => {
    const replacement = await newSupergraph(text);
    await accept?.(replacement);
    await warm(replacement, current);
    next = replacement;
    bySchema.set(next.apiSchema, next);
    try {
      update(text);
    } finally {
      next = current;
    }
  };
  return {
    gateway,
    current: () => current,
    of: (apiSchema) => bySchema.get(apiSchema) ?? current,
    replace: (text, accept) => {
      // One after the other: the last one asked for is the one that stays.
      const replaced = replacing.then(() => replace(text, accept));
      replacing = replaced.catch(() => undefined);
      return replaced;
    },
  };
}

/** Compiles an operation for a supergraph and remembers it for good; fails where it does not fit. No limit bounds it. */
export async function pinOperation(on: Supergraph, text: string, operationName: string | null): Promise<void> {
  const operation = await prepared(on, parse(text), operationName);
  on.known.pin(text, operationName, Object.assign(operation, { exceeded: [] }));
}

/**
 * Compiles an operation for a supergraph and remembers it as one that was just used. Resolves to false where it was
 * remembered before, or does not fit: then whoever sends it hears why.
 */
export async function knowOperation(on: Supergraph, text: string, operationName: string | null): Promise<boolean> {
  if (on.known.has(text, operationName) || schemaFault(on.apiSchema, text) !== null) return false;
  const operation = await prepared(on, parse(text), operationName).catch(() => null);
  if (operation !== null) on.known.set(text, operationName, operation);
  return operation !== null;
}

async function newSupergraph(sdl: string): Promise<Supergraph> {
  const execution = await newExecution(sdl);
  return {
    sdl,
    execution,
    apiSchema: execution.apiSchema,
    costs: readCostSchema(sdl),
    permissions: supergraphPermissionsOf(sdl),
    actions: new Map(
      auditActions(sdl)
        .filter(({ action }) => action !== '')
        .map(({ mutation, action }) => [mutation, action]),
    ),
    known: newKnownOperations(),
  };
}

async function warm(next: Supergraph, before: Supergraph): Promise<void> {
  for (const [text, operationName] of before.known.latest(WARMED).toReversed()) {
    await knowOperation(next, text, operationName);
  }
}

function prepared(on: Supergraph, document: DocumentNode, operationName: string | null) {
  return prepareOperation(on, document, operationIn(document, operationName));
}

function notLoaded(): never {
  throw new Error('the first supergraph is loaded before another one takes its place');
}
