import { buildSubgraphSchema } from '@apollo/subgraph';
import { composeServices } from '@theguild/federation-composition';
import {
  execute,
  NoUnusedVariablesRule,
  parse,
  specifiedRules,
  validate,
  type DocumentNode,
  type GraphQLSchema,
} from 'graphql';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';
import { newExecution, type Execution } from '../../../gateway/execution/execution.ts';
import type { Planner } from '../../../gateway/execution/planner.ts';
import type { ProgramResult } from '../../../gateway/execution/program.ts';
import type { SubgraphLink, SubgraphRequest } from '../../../gateway/execution/subgraph-link.ts';

/** A subgraph of a test: SDL without the federation link, and resolvers. */
export interface TestSubgraph {
  readonly sdl: string;
  readonly resolvers?: Readonly<Record<string, unknown>>;
}

/** A call that a subgraph received. */
export interface SeenCall {
  readonly subgraph: string;
  readonly text: string;
  readonly variables: Readonly<Record<string, unknown>> | undefined;
}

/** Several subgraphs composed, each answering in this process. */
export interface FederatedGraph {
  readonly execution: Execution;
  readonly calls: SeenCall[];
  readonly supergraphSdl: string;
  readonly links: Map<string, SubgraphLink<unknown>>;
  ask(text: string, variables?: Readonly<Record<string, unknown>>): Promise<Answer>;
}

/** An answer as a caller reads it. */
export interface Answer {
  readonly data: unknown;
  readonly errors: ProgramResult['errors'];
  readonly json: string | null;
}

const LINK = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@requires",
  "@external", "@provides", "@shareable", "@interfaceObject", "@inaccessible", "@override", "@tag"])\n`;

/** Composes subgraphs and opens an execution over them; each call is seen. */
export async function federate(
  subgraphs: Readonly<Record<string, TestSubgraph>>,
  newPlanner?: (supergraphSdl: string) => Promise<Planner>,
): Promise<FederatedGraph> {
  const supergraphSdl = composed(subgraphs);
  const execution = await newExecution(supergraphSdl, await newPlanner?.(supergraphSdl));
  const calls: SeenCall[] = [];
  const links = new Map(
    Object.entries(subgraphs).map(([name, subgraph]) => [name, inProcess(name, schemaOf(subgraph), calls)]),
  );
  return {
    execution,
    calls,
    supergraphSdl,
    links,
    ask: async (text, variables = {}) => {
      const document = parse(text);
      const faults = faultsOf(execution.apiSchema, document);
      if (faults.length > 0) throw new Error(faults.join('\n'));
      const program = await execution.compile({ document });
      const { json, errors } = await program.run({ variables, links, call: null });
      return { data: json === null ? undefined : JSON.parse(json), errors, json };
    },
  };
}

/** Returns what is wrong with a document; unused variables are not, as generated ones declare them all. */
export function faultsOf(schema: GraphQLSchema, document: DocumentNode): string[] {
  const rules = specifiedRules.filter((rule) => rule !== NoUnusedVariablesRule);
  return validate(schema, document, rules).map(({ message }) => message);
}

function composed(subgraphs: Readonly<Record<string, TestSubgraph>>): string {
  const result = composeServices(
    Object.entries(subgraphs).map(([name, { sdl }]) => ({ name, typeDefs: parse(LINK + sdl), url: `http://${name}` })),
  );
  if (result.supergraphSdl === undefined) throw new Error(result.errors?.map(({ message }) => message).join('\n'));
  return result.supergraphSdl;
}

function schemaOf({ sdl, resolvers = {} }: TestSubgraph): GraphQLSchema {
  const modules = [{ typeDefs: parse(LINK + sdl), resolvers }];
  return buildSubgraphSchema(modules as Parameters<typeof buildSubgraphSchema>[0]);
}

function inProcess(name: string, schema: GraphQLSchema, calls: SeenCall[]): SubgraphLink<unknown> {
  return {
    send: async (request: SubgraphRequest) => {
      calls.push({ subgraph: name, text: request.operation.text, variables: request.variables });
      const result = await execute({
        schema,
        document: request.operation.document(),
        // The JSON form is what a remote subgraph would read.
        variableValues: request.variablesJson === undefined ? {} : JSON.parse(request.variablesJson),
      });
      return JSON.parse(JSON.stringify(result)) as SubgraphResult;
    },
  };
}
