import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { execute, parse } from 'graphql';
import { serveBench } from '../server-process.ts';
import { SHOP, type ShopSubgraph } from './subgraphs.ts';

// All subgraphs of the shop behind one port, each under its name. An answer is computed once and remembered by the bytes
// of its request, so that the subgraphs cost next to nothing beside the gateway; `/calls` tells how many were made.

const answers = new Map<string, Promise<Buffer>>();
let calls = 0;

const server = createServer((req, res) => {
  if (req.url === '/calls') return res.end(String(calls));
  if (req.url === '/v1/traces') return void req.resume().on('end', () => res.end('{}'));
  const chunks: Buffer[] = [];
  req.on('data', (chunk: Buffer) => chunks.push(chunk));
  req.on('end', () => {
    calls += 1;
    void send(res, answerTo(req.url ?? '', Buffer.concat(chunks).toString()));
  });
  return res;
});
server.keepAliveTimeout = 65_000;
server.listen(0, '127.0.0.1', () => serveBench(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));

async function send(res: ServerResponse, answering: Promise<Buffer>): Promise<void> {
  const answer = await answering;
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length });
  res.end(answer);
}

function answerTo(path: string, body: string): Promise<Buffer> {
  const key = path + body;
  const known = answers.get(key);
  if (known !== undefined) return known;
  const name = path.split('/')[1];
  const subgraph = SHOP.find((one) => one.name === name);
  if (subgraph === undefined) throw new Error(`no such subgraph: ${path}`);
  const answer = computed(subgraph, body);
  answers.set(key, answer);
  return answer;
}

async function computed({ schema }: ShopSubgraph, body: string): Promise<Buffer> {
  const { query, variables } = JSON.parse(body) as { query: string; variables?: Record<string, unknown> };
  const result = await execute({ schema, document: parse(query), variableValues: variables ?? {} });
  return Buffer.from(JSON.stringify(result));
}
