import { readFileSync } from 'node:fs';
import { ApolloGateway, LocalGraphQLDataSource, type GraphQLDataSource } from '@apollo/gateway';
import { ApolloServer, HeaderMap } from '@apollo/server';
import Fastify from 'fastify';
import { execute } from 'graphql';
import { DataSource } from 'typeorm';
import { storeSettings } from '#kit/embedded-stores.ts';
import type { Subgraph } from '#kit/define-subgraph.ts';
import { readConfig } from '#schema/config.ts';
import { uuidOf } from '#schema/ids.ts';
import { FLOOR_ENTITIES, floorSubgraphs, type FloorContext } from './floor-subgraphs.ts';
import { serveBench } from './server-process.ts';
import { PLAIN_SCHEMA } from './tenants.ts';

// The same graph on the same libraries with nothing of the platform in between: who asks is believed, nothing is
// limited, counted, masked or signed. FLOOR_LINK says how the gateway reaches the subgraphs of its own process.

const config = readConfig();
const [cell] = storeSettings(config)('tenon_app').cells;
const source = await new DataSource({
  type: 'postgres',
  url: cell?.database ?? '',
  schema: PLAIN_SCHEMA,
  entities: FLOOR_ENTITIES,
  installExtensions: false,
  extra: { max: 16 },
}).initialize();
const NO_SUBGRAPH: GraphQLDataSource = { process: () => Promise.reject(new Error('not part of the bench')) };
const isDirect = process.env['FLOOR_LINK'] === 'direct';
const bySubgraph = new Map(floorSubgraphs().map((subgraph) => [subgraph.name, linkTo(subgraph)]));
const gateway = new ApolloGateway({
  supergraphSdl: readFileSync(new URL('../../schema/graphql/supergraph.graphql', import.meta.url), 'utf8'),
  buildService: ({ name }) => bySubgraph.get(name) ?? NO_SUBGRAPH,
  queryPlannerConfig: { exposeDocumentNodeInFetchNode: isDirect },
});
const apollo = new ApolloServer<FloorContext>({ gateway, stopOnTerminationSignals: false });
await apollo.start();

const server = Fastify();
server.post('/graphql', async (req, reply) => {
  const headers = new HeaderMap();
  for (const [name, value] of Object.entries(req.headers)) headers.set(name, String(value));
  const tenant = uuidOf('tnt', String(req.headers['x-tenant']));
  const response = await apollo.executeHTTPGraphQLRequest({
    httpGraphQLRequest: { method: 'POST', headers, search: '', body: req.body },
    context: async () => ({ tenant, manager: source.manager, loaders: new Map() }),
  });
  for (const [name, value] of response.headers) reply.header(name, value);
  reply.status(response.status ?? 200);
  return response.body.kind === 'complete' ? response.body.string : '';
});
serveBench(await server.listen({ port: 0, host: '127.0.0.1' }));

/** `direct` runs the planned document as it is; Apollo's own data source prints, parses and validates it each time. */
function linkTo({ schema }: Subgraph): GraphQLDataSource {
  if (!isDirect) return new LocalGraphQLDataSource(schema) as GraphQLDataSource;
  return {
    process: async (options) => {
      const document = 'document' in options ? options.document : undefined;
      if (document === undefined) throw new Error('the plan carries the parsed document');
      return (await execute({
        schema,
        document,
        variableValues: options.request.variables,
        contextValue: options.context,
      })) as never;
    },
  };
}
