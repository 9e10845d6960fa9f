import { ApolloGateway, type GraphQLDataSource } from '@apollo/gateway';
import type { GatewayContext } from './gateway-context.ts';

/** Returns the link to the subgraph of a name. */
export type LinkOf = (name: string) => GraphQLDataSource<GatewayContext>;

/** Returns the Apollo gateway over a supergraph; it calls subgraphs through our own links and nobody else at all. */
export function newGateway(supergraphSdl: string, linkOf: LinkOf): ApolloGateway {
  // From 2.14 on the gateway reports metrics to its vendor unless told otherwise before it is made.
  process.env['APOLLO_TELEMETRY_DISABLED'] = '1';
  return new ApolloGateway({
    supergraphSdl,
    buildService: ({ name }) => linkOf(name) as GraphQLDataSource,
    queryPlannerConfig: { exposeDocumentNodeInFetchNode: true },
    __exposeQueryPlanExperimental: false,
  });
}
