import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readArguments, type Command } from '#kit/command.ts';
import { operationCommands } from '../../compliance/commands-operations.ts';
import { tenon } from './run-tenon.ts';
import { makeFolder } from './verify-fixture.ts';

/** A platform that answers with what a test sets, and keeps what it was sent. */
let answer: { body: string; status?: number } = { body: '{}' };
const sent: { authorization: string | undefined; url: string | undefined; body: Record<string, unknown> }[] = [];
const server = createServer((req, res) => {
  const chunks: Buffer[] = [];
  req.on('data', (chunk: Buffer) => chunks.push(chunk));
  req.on('end', () => {
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
    sent.push({ authorization: req.headers.authorization, url: req.url, body });
    res.writeHead(answer.status ?? 200, { location: '/elsewhere' }).end(answer.body);
  });
});
let url = '';
beforeAll(async () => {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());

const run = (name: string, argv: readonly string[]) => {
  const command = operationCommands.find((one) => one.name === name) as Command;
  const platform = () => Promise.reject(new Error('no stores here'));
  return command.run({ json: true, write: () => undefined, platform }, readArguments(command, argv));
};
const list = (key: string) => run('operations list', ['--url', url, '--key', key]);

describe('a command about operations', () => {
  it('sends an API key the id of its operation alone, and a session the text', async () => {
    answer = { body: '{"data":{"registeredOperations":{"edges":[],"pageInfo":{"hasNextPage":false}}}}' };
    sent.length = 0;
    await list('tnk_key');
    await list('tnu_session');
    expect(sent[0]).toMatchObject({ url: '/graphql', authorization: 'Bearer tnk_key' });
    expect(sent.map(({ body }) => Object.keys(body))).toEqual([
      ['documentId', 'variables'],
      ['query', 'variables'],
    ]);
    expect(sent[0]?.body['documentId']).toMatch(/^[0-9a-f]{64}$/);
  });

  it('reads its key from a file', async () => {
    const file = join(makeFolder(), 'key');
    writeFileSync(file, 'tnk_filed\n');
    sent.length = 0;
    await list(`@${file}`);
    expect(sent[0]?.authorization).toBe('Bearer tnk_filed');
  });

  it('takes its key nowhere else', async () => {
    answer = { body: '{}', status: 307 };
    sent.length = 0;
    await expect(list('tnk_key')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    expect(sent).toHaveLength(1);
  });

  it.each([
    ['a refusal', '{"errors":[{"message":"no","extensions":{"code":"FORBIDDEN"}}]}', 'FORBIDDEN'],
    ['a code of its own', '{"errors":[{"message":"no","extensions":{"code":"toString"}}]}', 'INTERNAL_SERVER_ERROR'],
    ['no GraphQL', '[]', 'SERVICE_UNAVAILABLE'],
    ['no JSON', '<html>', 'SERVICE_UNAVAILABLE'],
  ])('passes on %s', async (_, body, code) => {
    answer = { body };
    await expect(list('tnk_key')).rejects.toMatchObject({ code });
  });

  it.each([
    [['operations list', '--url', 'ftp://a', '--key', 'k'], /--url takes/],
    [['operations list', '--url', 'http://a', '--key', 'a b'], /--key takes/],
    [['operations list', '--url', 'http://a', '--key', 'k', '--state', 'OLD'], /--state takes/],
    [['operations approve', '--url', 'http://a', '--key', 'k'], /--id or --manifest/],
    [['operations revoke', '--url', 'http://a', '--key', 'k', '--id', 'opr_1', '--at', 'soon'], /--at takes/],
    [['operations register', '--url', 'http://a', '--key', 'k', '--client', 'c', '--manifest', '/none'], /ENOENT/],
    [['operations check', '--supergraph', '/none'], /ENOENT/],
  ])('%s says what it takes', async ([name = '', ...argv], reason) => {
    await expect(run(name, argv)).rejects.toThrow(reason);
  });
});

describe('the program', { timeout: 120_000 }, () => {
  it('ends with 2 where it cannot say, and shows how each is used', async () => {
    const file = join(makeFolder(), 'supergraph.graphql');
    writeFileSync(file, 'type Query { a: Int');
    const [group, help, bad, closed] = await Promise.all([
      tenon(['operations', '--help']),
      tenon(['operations', 'approve', '--help']),
      tenon(['operations', 'check', '--supergraph', file]),
      tenon(['operations', 'list', '--url', 'http://127.0.0.1:9', '--key', 'k', '--json']),
    ]);
    expect(group.out.match(/^ {2}operations \w+/gm)).toHaveLength(5);
    expect(help.out).toMatch(/^usage: tenon operations approve/);
    expect([bad.code, bad.err]).toEqual([2, expect.stringContaining('holds no supergraph')]);
    expect(closed.code).toBe(2);
    expect(JSON.parse(closed.out)).toMatchObject({ error: { code: 'SERVICE_UNAVAILABLE' } });
  });
});
