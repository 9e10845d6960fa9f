import { ApolloGateway } from '@apollo/gateway';
import type { GraphQLSchema } from 'graphql';

/** A subgraph as the supergraph names it. */
export interface NamedSubgraph {
  readonly name: string;
  /** The address that was written into the supergraph; the platform has its own. */
  readonly url: string | undefined;
}

/** What an Apollo gateway serves, and what runs operations in place of its own planner and executor. */
export interface ApolloGatewayOptions {
  /** Resolves to the first supergraph; `update` puts another one in its place, and throws where it cannot be loaded. */
  readonly initialize: (update: (supergraphSdl: string) => void) => Promise<string>;
  /** Told of each subgraph of a supergraph while it is being loaded; what it throws refuses the supergraph. */
  readonly onSubgraph?: (subgraph: NamedSubgraph) => void;
  /** Returns the schema that operations are compiled for over the supergraph that has just been loaded. */
  readonly apiSchemaOf: (supergraphSdl: string) => GraphQLSchema;
  readonly execute: ApolloGateway['executor'];
}

/**
 * Returns an Apollo gateway that loads and reloads supergraphs as ever, while this project's execution runs operations.
 * The server over it validates against the schema that they are compiled for, not against a second one of the gateway's.
 */
export function newApolloGateway({
  initialize,
  onSubgraph,
  apiSchemaOf,
  execute,
}: ApolloGatewayOptions): ApolloGateway {
  // From 2.14 on the gateway reports metrics to its vendor unless told otherwise before it is made.
  process.env['APOLLO_TELEMETRY_DISABLED'] = '1';
  const gateway = new ApolloGateway({
    supergraphSdl: async ({ update }) => ({ supergraphSdl: await initialize(update) }),
    // Programs have links of their own.
    buildService: ({ name, url }) => {
      onSubgraph?.({ name, url });
      return { process: unused };
    },
    __exposeQueryPlanExperimental: false,
  });
  gateway.executor = execute;
  const listen = gateway.onSchemaLoadOrUpdate.bind(gateway);
  gateway.onSchemaLoadOrUpdate = (listener) =>
    listen(({ coreSupergraphSdl }) => listener({ apiSchema: apiSchemaOf(coreSupergraphSdl), coreSupergraphSdl }));
  return gateway;
}

function unused(): never {
  throw new Error('subgraphs are called by compiled programs alone');
}
