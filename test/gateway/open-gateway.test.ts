import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApolloServer } from '@apollo/server';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { composeServices } from '@theguild/federation-composition';
import { graphql, parse } from 'graphql';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Stop } from '#kit/process.ts';
import { ConfigError } from '#schema/config.ts';
import type { PlainCall } from '../../gateway/links/remote-link.ts';
import { newOpenHttp } from '../../gateway/open-http.ts';
import { runOpenGateway } from '../../gateway/open-gateway.ts';

const LINK = `extend schema
  @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@composeDirective"])
  @link(url: "https://specs.tenon.test/trace/v1.0", import: ["@trace"])
  @composeDirective(name: "@trace")
directive @trace(as: String! = "all") on FIELD`;
const CATS = parse(`${LINK}
  type Query { cat(id: ID!): Cat broken: String }
  type Cat @key(fields: "id") { id: ID! name: String! }`);
const FOOD = parse(`${LINK} type Cat @key(fields: "id") { id: ID! eats: [String!]! } type Query { shops: Int! }`);

let folder: string;
let subgraphs: Server;
let output: string;
let stops: Stop[];

beforeEach(async () => {
  [output, stops] = ['', []];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => (output += String(text)) !== '');
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => (output += String(text)) !== '');
  folder = await mkdtemp(join(tmpdir(), 'open-gateway-'));
  subgraphs = await serveSubgraphs();
});

afterEach(async () => {
  vi.restoreAllMocks();
  for (const stop of stops) await stop();
  subgraphs.closeAllConnections();
  subgraphs.close();
  await rm(folder, { recursive: true });
});

async function serveSubgraphs(): Promise<Server> {
  const schemas: Readonly<Record<string, ReturnType<typeof buildSubgraphSchema>>> = {
    '/cats': buildSubgraphSchema({
      typeDefs: CATS,
      resolvers: {
        Query: {
          cat: (_root: unknown, { id }: { id: string }) => ({ id, name: `cat "${id}"` }),
          broken: () => Promise.reject(new Error('out of cats')),
        },
      },
    }),
    '/food': buildSubgraphSchema({
      typeDefs: FOOD,
      resolvers: {
        Cat: { __resolveReference: (cat: object) => ({ ...cat, eats: ['fish'] }) },
        Query: { shops: () => 2 },
      },
    }),
  };
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const schema = schemas[req.url ?? ''];
      const { query, variables } = JSON.parse(Buffer.concat(chunks).toString());
      if (schema === undefined) return res.writeHead(404).end();
      return graphql({ schema, source: query, variableValues: variables }).then((result) =>
        res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(result)),
      );
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Writes the composed supergraph; without an address its subgraphs cannot be called. */
async function supergraphFile(base = `http://127.0.0.1:${(subgraphs.address() as AddressInfo).port}`): Promise<string> {
  const services = [
    { name: 'cats', typeDefs: CATS, url: base && `${base}/cats` },
    { name: 'food', typeDefs: FOOD, url: base && `${base}/food` },
  ];
  const { supergraphSdl = '' } = { supergraphSdl: undefined, ...composeServices(services) };
  const file = join(folder, 'supergraph.graphql');
  await writeFile(file, supergraphSdl);
  return file;
}

async function open(): Promise<string> {
  stops.push(await runOpenGateway(['--open', '--supergraph', await supergraphFile(), '--port', '0']));
  return /at (http:\S+)\/graphql/.exec(output)?.[1] ?? '';
}

async function ask(url: string, query: string, variables: object = {}) {
  const body = JSON.stringify({ query, variables });
  const answer = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  return { status: answer.status, body: await answer.json() };
}

describe('an open gateway', () => {
  it('answers for any supergraph, from the subgraphs at the addresses in it', async () => {
    const url = await open();
    expect((await fetch(`${url}/health`)).status).toBe(200);
    const { status, body } = await ask(url, 'query ($id: ID!) { cat(id: $id) { name eats } shops }', { id: '7' });
    expect({ status, body }).toEqual({
      status: 200,
      body: { data: { cat: { name: 'cat "7"', eats: ['fish'] }, shops: 2 } },
    });
  });

  it('takes an operation by GET that no header vouches for, and tells its schema', async () => {
    const url = await open();
    const answer = await fetch(`${url}/graphql?query=${encodeURIComponent('{ shops __type(name: "Cat") { kind } }')}`);
    expect(await answer.json()).toEqual({ data: { shops: 2, __type: { kind: 'OBJECT' } } });
  });

  it('knows the directives that subgraphs compose for operations', async () => {
    const { body } = await ask(await open(), '{ shops @trace }');
    expect(body).toEqual({ data: { shops: 2 } });
  });

  it('passes on what a subgraph says of its failure', async () => {
    const { status, body } = await ask(await open(), '{ broken shops }');
    expect(status).toBe(200);
    expect(body.data).toEqual({ broken: null, shops: 2 });
    expect(body.errors).toMatchObject([{ message: 'out of cats', path: ['broken'] }]);
  });

  it('refuses variables that do not fit, without data', async () => {
    const { status, body } = await ask(await open(), 'query ($id: ID!) { cat(id: $id) { name } }', { id: {} });
    expect(status).toBe(400);
    expect(body).not.toHaveProperty('data');
    expect(body.errors).toHaveLength(1);
  });

  it('serves nobody before the supergraph is loaded, nor after it was stopped', async () => {
    const { http, markReady } = newOpenHttp(new ApolloServer<PlainCall>({ typeDefs: 'type Query { a: Int }' }));
    expect((await http.inject('/health')).statusCode).toBe(503);
    expect((await http.inject('/graphql?query={a}')).statusCode).toBe(503);
    markReady();
    expect((await http.inject('/health')).statusCode).toBe(200);
    await http.close();

    const url = await open();
    await stops.pop()?.();
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });
});

describe('the command line of an open gateway', () => {
  const run = (...args: string[]) => {
    vi.spyOn(process, 'exit').mockImplementation((code) => {
      throw new Error(`exit ${String(code)}`);
    });
    return runOpenGateway(args);
  };

  it.each([
    [['--open'], /^--supergraph is missing/],
    [['--supergraph', 'a'], /^--open is missing/],
    [['--open', '--supergraph', 'a', '--port', '65536'], /^--port 65536 is no port/],
    [['--open', '--supergraph', 'a', '--port', '1e3'], /^--port 1e3 is no port/],
    [['--open', '--colour', 'red'], /^Unknown option '--colour'/],
    [['--open', 'supergraph.graphql'], /^Unexpected argument/],
  ])('%j ends the process with one line and exit code 2', async (args, line) => {
    await expect(run(...args)).rejects.toThrow('exit 2');
    expect(output).toMatch(line);
    expect(output.trim().split('\n')).toHaveLength(1);
  });

  it('--help shows every option and is no failure', async () => {
    await expect(run('--help')).rejects.toThrow('exit 0');
    for (const option of ['--open', '--supergraph', '--port', '--host']) expect(output).toContain(option);
  });

  it('says in one sentence why a supergraph cannot be served', async () => {
    const missing = join(folder, 'missing.graphql');
    await expect(run('--open', '--port', '0', '--supergraph', missing)).rejects.toThrow(ConfigError);
    const broken = join(folder, 'broken.graphql');
    await writeFile(broken, 'type Query {');
    await expect(run('--open', '--port', '0', '--supergraph', broken)).rejects.toThrow(/^.*broken\.graphql cannot be/);
    const unreachable = await supergraphFile('');
    await expect(run('--open', '--port', '0', '--supergraph', unreachable)).rejects.toThrow(
      'the supergraph has no http address for the subgraph cats',
    );
  });
});
