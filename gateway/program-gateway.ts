import type { Abortable } from '#kit/request-ending.ts';
import { ApolloGateway, type GraphQLDataSource } from '@apollo/gateway';
import { GraphQLError } from 'graphql';
import { LRUCache } from 'lru-cache';
import { newExecution, type Execution, type Program, type ProgramResult } from './execution/execution.ts';
import type { SubgraphLink } from './execution/subgraph-link.ts';

/** A subgraph as the supergraph names it. */
export interface NamedSubgraph {
  readonly name: string;
  /** The address that was written into the supergraph; the platform has its own. */
  readonly url: string | undefined;
}

/** What a run knows of the request that it answers. */
export interface RunContext<Call> {
  readonly call: Call;
  readonly signal: Abortable | undefined;
}

/** How a gateway that runs compiled programs is put together. */
export interface ProgramGatewayOptions<Context, Call> {
  readonly supergraphSdl: string;
  /** Returns the way to a subgraph; asked once for each subgraph of every supergraph that is loaded. */
  readonly linkOf: (subgraph: NamedSubgraph) => SubgraphLink<Call>;
  readonly runOf: (context: Context) => RunContext<Call>;
}

/** Programs kept of one supergraph, the least used given up first. */
const MOST_PROGRAMS = 1_000;

/**
 * Returns an Apollo gateway that loads and reloads supergraphs as ever, but plans, runs and merges with this project's
 * execution: each operation is compiled once. Answers are texts already; a server that has `stringifyAnswer` as its
 * `stringifyResult` sends them as they are, any other one reads and writes them once more.
 */
export function newProgramGateway<Context extends object, Call>(
  options: ProgramGatewayOptions<Context, Call>,
): ApolloGateway {
  // From 2.14 on the gateway reports metrics to its vendor unless told otherwise before it is made.
  process.env['APOLLO_TELEMETRY_DISABLED'] = '1';
  const links = new Map<string, SubgraphLink<Call>>();
  const gateway = new ApolloGateway({
    supergraphSdl: options.supergraphSdl,
    buildService: ({ name, url }) => {
      links.set(name, options.linkOf({ name, url }));
      return UNUSED;
    },
  });
  let loaded: LoadedSupergraph | undefined;
  const listen = gateway.onSchemaLoadOrUpdate.bind(gateway);
  listen(({ coreSupergraphSdl }) => {
    loaded = loadSupergraph(coreSupergraphSdl);
  });
  // The server validates against the schema that programs are compiled for, from the moment that they can be.
  gateway.onSchemaLoadOrUpdate = (listener) =>
    listen(({ coreSupergraphSdl }) => {
      loaded?.execution.then(({ apiSchema }) => listener({ apiSchema, coreSupergraphSdl })).catch(() => undefined);
    });
  const load = gateway.load.bind(gateway);
  gateway.load = async (how) => {
    const ready = await load(how);
    await loaded?.execution;
    return ready;
  };
  gateway.executor = async (ctx) => {
    if (loaded === undefined) throw new Error('a server asks after the supergraph is loaded');
    const program = await programOf(loaded, ctx);
    const { call, signal } = options.runOf(ctx.context as Context);
    return resultOf(await program.run({ variables: ctx.request.variables ?? {}, links, call, signal }));
  };
  return gateway;
}

/** Returns the JSON text of a result; the data of a program goes in as the text that it is. */
export function stringifyAnswer(result: object): string {
  const members = Object.entries(result).flatMap(([name, value]: [string, unknown]) => {
    if (value === undefined) return [];
    return [`${JSON.stringify(name)}:${answerText(value) ?? JSON.stringify(value)}`];
  });
  return `{${members.join(',')}}`;
}

interface LoadedSupergraph {
  readonly execution: Promise<Execution>;
  readonly programs: LRUCache<string, Promise<Program>>;
}

type Executor = ApolloGateway['executor'];

/** Never called: what a subgraph is asked goes over the links. */
const UNUSED: GraphQLDataSource = { process: () => Promise.reject(new Error('subgraphs are reached over links')) };

function loadSupergraph(supergraphSdl: string): LoadedSupergraph {
  const execution = newExecution(supergraphSdl);
  // Whoever runs a program hears of it; nobody may be there yet.
  execution.catch(() => undefined);
  return { execution, programs: new LRUCache({ max: MOST_PROGRAMS }) };
}

function programOf({ execution, programs }: LoadedSupergraph, ctx: Parameters<Executor>[0]): Promise<Program> {
  const { document, operationName, queryHash } = ctx;
  const key = `${queryHash} ${operationName ?? ''}`;
  const known = programs.get(key);
  if (known !== undefined) return known;
  const program = execution.then((compiler) => compiler.compile({ document, operationName }));
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
