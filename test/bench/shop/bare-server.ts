import { ApolloGateway } from '@apollo/gateway';
import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
import { serveBench } from '../server-process.ts';
import { shopSupergraph } from './subgraphs.ts';

// Apollo Server and Apollo Gateway as their documentation sets them up: no tenants, no budgets, no limits, no telemetry.

const addresses = JSON.parse(process.env['SHOP_ADDRESSES'] ?? '{}') as Record<string, string>;
const server = new ApolloServer({ gateway: new ApolloGateway({ supergraphSdl: shopSupergraph(addresses) }) });
const { url } = await startStandaloneServer(server, { listen: { port: 0, host: '127.0.0.1' } });
serveBench(url.replace(/\/$/, ''));
