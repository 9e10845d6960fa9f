import type { Abortable } from '#kit/request-ending.ts';
import type { ApolloGateway } from '@apollo/gateway';
import { GraphQLError } from 'graphql';
import { LRUCache } from 'lru-cache';
import { newApolloGateway, type NamedSubgraph } from './apollo-gateway.ts';
import { newExecution, type Execution, type Program, type ProgramResult } from './execution/execution.ts';
import type { SubgraphLink } from './execution/subgraph-link.ts';

/** What a run knows of the request that it answers. */
export interface RunContext<Call> {
  readonly call: Call;
  readonly signal: Abortable | undefined;
}

/** How a gateway that runs compiled programs is put together. */
export interface ProgramGatewayOptions<Context, Call> {
  readonly supergraphSdl: string;
  /** Returns the way to a subgraph; asked once for each. */
  readonly linkOf: (subgraph: NamedSubgraph) => SubgraphLink<Call>;
  readonly runOf: (context: Context) => RunContext<Call>;
}

/** Programs kept, the least used given up first. */
const MOST_PROGRAMS = 1_000;

/**
 * Returns an Apollo gateway over one supergraph that plans, runs and merges with this project's execution: each operation
 * is compiled once. Answers are texts already; a server that has `stringifyAnswer` as its `stringifyResult` sends them
 * as they are, any other one reads and writes them once more.
 */
export function newProgramGateway<Context extends object, Call>({
  supergraphSdl,
  linkOf,
  runOf,
}: ProgramGatewayOptions<Context, Call>): ApolloGateway {
  const links = new Map<string, SubgraphLink<Call>>();
  const programs = new LRUCache<string, Promise<Program>>({ max: MOST_PROGRAMS });
  let execution: Execution | undefined;
  const loaded = () => execution ?? neverLoaded();
  return newApolloGateway({
    initialize: async () => {
      execution = await newExecution(supergraphSdl);
      return supergraphSdl;
    },
    onSubgraph: (subgraph) => void links.set(subgraph.name, linkOf(subgraph)),
    apiSchemaOf: () => loaded().apiSchema,
    execute: async (ctx) => {
      const program = await programOf({ execution: loaded(), programs }, ctx);
      const { call, signal } = runOf(ctx.context as Context);
      return resultOf(await program.run({ variables: ctx.request.variables ?? {}, links, call, signal }));
    },
  });
}

/** Returns the JSON text of a result; the data of a program goes in as the text that it is. */
export function stringifyAnswer(result: object): string {
  const members = Object.entries(result).flatMap(([name, value]: [string, unknown]) => {
    if (value === undefined) return [];
    return [`${JSON.stringify(name)}:${answerText(value) ?? JSON.stringify(value)}`];
  });
  return `{${members.join(',')}}`;
}

interface Compiled {
  readonly execution: Execution;
  readonly programs: LRUCache<string, Promise<Program>>;
}

type Executor = ApolloGateway['executor'];

function neverLoaded(): never {
  throw new Error('a server asks after the supergraph is loaded');
}

function programOf({ execution, programs }: Compiled, ctx: Parameters<Executor>[0]): Promise<Program> {
  const { document, operationName, queryHash } = ctx;
  const key = `${queryHash} ${operationName ?? ''}`;
  const known = programs.get(key);
  if (known !== undefined) return known;
  const program = execution.compile({ document, operationName });
  programs.set(key, program);
  program.catch(() => programs.delete(key));
  return program;
}

function resultOf({ json, errors }: ProgramResult): Awaited<ReturnType<Executor>> {
  // The server takes nothing but instances of the class for errors.
  const failures = errors.map(
    ({ message, path, extensions }) =>
      new GraphQLError(message, { path: path ?? null, extensions: extensions ?? null }),
  );
  return { ...(json === null ? {} : { data: answerOf(json) }), ...(failures.length === 0 ? {} : { errors: failures }) };
}

/** The texts of answers by the objects that stand for them on their way through the server. */
const texts = new WeakMap<object, string>();

/** Whoever serialises or reads the object by the usual means gets the same answer, only more slowly. */
function answerOf(json: string): Record<string, unknown> | null {
  if (json === 'null') return null;
  const answer = { toJSON: (): unknown => JSON.parse(json) };
  texts.set(answer, json);
  return answer;
}

function answerText(value: unknown): string | undefined {
  return typeof value === 'object' && value !== null ? texts.get(value) : undefined;
}
