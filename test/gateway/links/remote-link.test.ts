import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { CONTEXT_HEADER } from '#kit/request-context.ts';
import { ERRORS, type ErrorCode } from '#schema/errors.ts';
import { openContext } from '#schema/tenant-context.ts';
import type { Exchange } from '../../../gateway/links/exchange.ts';
import { plainLink, remoteTransport } from '../../../gateway/links/remote-link.ts';
import { CONTEXT_KEYS } from '../../support/databases.ts';
import { callOf, requestOf, serve, TENANT } from './a-call.ts';

const QUERY = requestOf('query Names($ids: [ID!]!) { users(ids: $ids) { name } }', { ids: ['1', 'ä"\n€'] });
const BOUNDS = { timeoutMs: 5_000, signal: undefined };
let logged: string[];

beforeEach(() => {
  logged = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((line) => logged.push(String(line)) > 0);
});

afterEach(() => {
  vi.restoreAllMocks();
});

function transportTo(url: string) {
  const transport = remoteTransport({ subgraph: 'people', url });
  onTestFinished(() => transport.close());
  return transport;
}

const codeOf = ({ result }: Exchange) => result.errors?.[0]?.extensions?.['code'];
const publicError = (code: ErrorCode) => ({ errors: [{ message: ERRORS[code].message, extensions: { code } }] });

describe('a call over HTTP', () => {
  it('sends the operation, its variables and the sealed context of the tenant, and reads the answer', async () => {
    let seen: { headers: Record<string, unknown>; body: string } | undefined;
    const url = await serve((req, res, body) => {
      seen = { headers: req.headers, body };
      res.writeHead(200, { 'content-type': 'application/json; charset=utf-8' });
      res.end('{"data":{"users":[{"name":"Ädä"}]}}');
    });
    const exchange = await transportTo(url).exchange(QUERY, callOf(), BOUNDS);
    expect(exchange).toEqual({ result: { data: { users: [{ name: 'Ädä' }] } }, fault: null });
    const { text: query, name: operationName } = QUERY.operation;
    expect(JSON.parse(seen?.body ?? '')).toEqual({ query, variables: QUERY.variables, operationName });
    expect(seen?.headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(seen?.body ?? '')),
      'x-request-id': TENANT.requestId,
    });
    const envelope = String(seen?.headers[CONTEXT_HEADER]);
    expect(openContext(envelope, CONTEXT_KEYS, Date.now())).toEqual({ ...TENANT, requestId: '' });
  });

  it('of a supergraph of others carries no tenant', async () => {
    let headers: object = {};
    const url = await serve((req, res) => {
      headers = req.headers;
      res.writeHead(200, { 'content-type': 'application/graphql-response+json' }).end('{"data":null}');
    });
    const link = plainLink({ subgraph: 'others', url });
    onTestFinished(() => link.close());
    expect(await link.send(requestOf('{ a }'), { requestId: 'req_1', signal: undefined })).toEqual({ data: null });
    expect(headers).not.toHaveProperty(CONTEXT_HEADER);
    expect(headers).toHaveProperty('x-request-id', 'req_1');
  });

  it('leaves its connection open for the next', async () => {
    const sockets = new Set<Socket>();
    const url = await serve((req, res) => {
      sockets.add(req.socket);
      res.writeHead(200, { 'content-type': 'application/json' }).end('{"data":{}}');
    });
    const transport = transportTo(url);
    for (let count = 0; count < 20; count += 1) await transport.exchange(QUERY, callOf(), BOUNDS);
    // One is still busy with the end of an answer when the next call comes.
    expect(sockets.size).toBeLessThanOrEqual(2);
  });

  it.each([200, 400, 422])('passes GraphQL errors of status %i on, as no fault of the subgraph', async (status) => {
    const body = { data: null, errors: [{ message: 'no', extensions: { code: 'BAD_USER_INPUT' } }] };
    const url = await serve((_req, res) =>
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
    );
    expect(await transportTo(url).exchange(QUERY, callOf(), BOUNDS)).toEqual({ result: body, fault: null });
  });

  it.each([
    [500, 'wrong'],
    [503, 'away'],
  ])('passes GraphQL errors of status %i on, and notes the fault', async (status, fault) => {
    const body = { errors: [{ message: 'no' }] };
    const url = await serve((_req, res) =>
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
    );
    expect(await transportTo(url).exchange(QUERY, callOf(), BOUNDS)).toEqual({ result: body, fault });
  });
});

describe('an answer that is none', () => {
  const SECRET = 'stack of the subgraph';
  it.each([
    ['a page', 200, { 'content-type': 'text/html' }, `<p>${SECRET}</p>`, 'wrong'],
    ['no JSON', 200, { 'content-type': 'application/json' }, `{"data": ${SECRET}`, 'wrong'],
    ['nothing', 200, { 'content-type': 'application/json' }, '', 'wrong'],
    ['a list', 200, { 'content-type': 'application/json' }, '[]', 'wrong'],
    ['neither data nor errors', 200, { 'content-type': 'application/json' }, `{"x":"${SECRET}"}`, 'wrong'],
    ['data that is no object', 200, { 'content-type': 'application/json' }, '{"data":[1]}', 'wrong'],
    ['errors that are no list', 200, { 'content-type': 'application/json' }, '{"errors":{"length":1}}', 'wrong'],
    ['an error that is no object', 200, { 'content-type': 'application/json' }, '{"errors":[null]}', 'wrong'],
    ['problem details', 401, { 'content-type': 'application/problem+json' }, `{"title":"${SECRET}"}`, 'wrong'],
    ['a bare 500', 500, { 'content-type': 'text/plain' }, SECRET, 'wrong'],
    ['a bare 502', 502, { 'content-type': 'text/plain' }, SECRET, 'away'],
    ['a bare 503', 503, {}, SECRET, 'away'],
    ['a bare 504', 504, {}, SECRET, 'away'],
  ])('is a fault: %s', async (_name, status, headers, body, fault) => {
    const url = await serve((_req, res) => res.writeHead(status, headers).end(body));
    const exchange = await transportTo(url).exchange(QUERY, callOf(), BOUNDS);
    expect(exchange).toEqual({ result: publicError('SERVICE_UNAVAILABLE'), fault });
    expect(JSON.parse(logged[0] ?? '{}')).toMatchObject({ requestId: TENANT.requestId, subgraph: 'people', fault });
    expect(logged.join('')).not.toContain(SECRET);
  });

  it('is a redirect, which is not followed', async () => {
    let asked = 0;
    const url = await serve((_req, res) => {
      asked += 1;
      res.writeHead(307, { location: '/graphql', 'content-type': 'application/json' }).end('{"data":{}}');
    });
    expect((await transportTo(url).exchange(QUERY, callOf(), BOUNDS)).fault).toBe('wrong');
    expect(asked).toBe(1);
  });

  it('is one that breaks off', async () => {
    const url = await serve((_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      res.write('{"data":', () => res.destroy());
    });
    expect((await transportTo(url).exchange(QUERY, callOf(), BOUNDS)).fault).toBe('away');
  });

  it('is one that is larger than 10 MiB, which is not read to its end', async () => {
    let gone: Promise<unknown> | undefined;
    const url = await serve((_req, res) => {
      gone = once(res, 'close');
      res.writeHead(200, { 'content-type': 'application/json' });
      const part = Buffer.alloc(1024 * 1024, ' ');
      const more = () => void res.write(part, (error) => (error ? undefined : more()));
      more();
    });
    const exchange = await transportTo(url).exchange(QUERY, callOf(), BOUNDS);
    expect([exchange.fault, codeOf(exchange)]).toEqual(['refused', 'SERVICE_UNAVAILABLE']);
    await gone;
  });

  it('is nobody at the address', async () => {
    const exchange = await transportTo('http://127.0.0.1:9/graphql').exchange(QUERY, callOf(), BOUNDS);
    expect(exchange).toEqual({ result: publicError('SERVICE_UNAVAILABLE'), fault: 'away' });
  });
});

describe('a call that is given up', () => {
  it('after its time is GATEWAY_TIMEOUT, and the subgraph sees its caller go', async () => {
    let gone: Promise<unknown> | undefined;
    const url = await serve((_req, res) => {
      gone = once(res, 'close');
    });
    const exchange = await transportTo(url).exchange(QUERY, callOf(), { timeoutMs: 50, signal: undefined });
    expect(exchange).toEqual({ result: publicError('GATEWAY_TIMEOUT'), fault: 'slow' });
    await gone;
  });

  it('after its time in the middle of the answer is so too', async () => {
    const url = await serve((_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' }).write('{"data":');
    });
    expect((await transportTo(url).exchange(QUERY, callOf(), { timeoutMs: 50, signal: undefined })).fault).toBe('slow');
  });

  it('by its caller ends at once, on both sides', async () => {
    const caller = new AbortController();
    let gone: Promise<unknown> | undefined;
    const url = await serve((_req, res) => {
      gone = once(res, 'close');
      caller.abort();
    });
    const exchange = await transportTo(url).exchange(QUERY, callOf(), { timeoutMs: 5_000, signal: caller.signal });
    expect(exchange).toEqual({ result: publicError('GATEWAY_TIMEOUT'), fault: 'given up' });
    await gone;
    expect(logged).toEqual([]);
  });

  it('before it began is not sent', async () => {
    let asked = 0;
    const url = await serve((_req, res) => {
      asked += 1;
      res.writeHead(200, { 'content-type': 'application/json' }).end('{"data":{}}');
    });
    const transport = transportTo(url);
    const given = await transport.exchange(QUERY, callOf(), { timeoutMs: 5_000, signal: AbortSignal.abort() });
    expect(given.fault).toBe('given up');
    await transport.exchange(QUERY, callOf(), BOUNDS);
    expect(asked).toBe(1);
  });
});

describe('a subgraph that does not answer', () => {
  it('is waited for by a bounded number of calls; when they are given up, those after them pass', async () => {
    let quiet = true;
    let asked = 0;
    let connections = 0;
    const answer = (_req: unknown, res: ServerResponse) => {
      asked += 1;
      if (!quiet) res.writeHead(200, { 'content-type': 'application/json' }).end('{"data":{}}');
    };
    const url = await serve(answer, () => (connections += 1));
    const transport = transportTo(url);
    const caller = new AbortController();
    const waiting = Array.from({ length: 576 }, () =>
      transport.exchange(QUERY, callOf(), { timeoutMs: 20_000, signal: caller.signal }),
    );
    await vi.waitFor(() => expect(asked).toBe(64));
    const refused = await transport.exchange(QUERY, callOf(), BOUNDS);
    expect([refused.fault, codeOf(refused)]).toEqual(['refused', 'SERVICE_UNAVAILABLE']);
    quiet = false;
    caller.abort();
    expect(new Set((await Promise.all(waiting)).map(({ fault }) => fault))).toEqual(new Set(['given up']));
    await vi.waitFor(async () => expect((await transport.exchange(QUERY, callOf(), BOUNDS)).fault).toBe(null));
    // Calls that were given up while they waited cost neither a request nor a connection.
    expect(asked).toBeLessThan(64 + 20);
    expect(connections).toBeLessThanOrEqual(2 * 64);
  });
});
