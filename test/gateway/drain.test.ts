import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { post } from '../support/graphql-http.ts';
import { openHouse, type House } from '../support/house.ts';
import { withClient } from '../support/postgres.ts';
import { untilRunning } from '../support/statements.ts';

const SLOW = { query: '{ projects(first: 1) { edges { node { name } } } }' };

/** Opens a connection and sends nothing yet. */
function openConnection({ url }: House): Promise<Socket> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => resolve(socket)).once('error', reject);
  });
}

function ended(socket: Socket): string {
  socket.destroy();
  return 'connected';
}

/** Sends a request and returns all that comes before the other side ends the connection. */
function lastAnswer(socket: Socket, lines: readonly string[], body = ''): Promise<string> {
  let text = '';
  return new Promise((resolve, reject) => {
    socket
      .on('data', (chunk: Buffer) => {
        text += String(chunk);
      })
      .once('end', () => resolve(text))
      .once('error', reject);
    socket.write(`${[...lines, 'host: tenon.test', '', ''].join('\r\n')}${body}`);
  });
}

function graphqlRequest(token: string, body: string): readonly string[] {
  const length = `content-length: ${Buffer.byteLength(body)}`;
  return ['POST /graphql HTTP/1.1', 'content-type: application/json', `authorization: Bearer ${token}`, length];
}

/** Runs `work` while a request of acme waits for the database, which answers when `work` lets it. */
async function whileOneWaits(
  house: House,
  work: (waiting: ReturnType<typeof post>, release: () => Promise<unknown>) => Promise<void>,
): Promise<void> {
  await withClient(house.stores.url('eu-1'), async (other) => {
    await other.query('begin');
    await other.query('lock table app.projects in access exclusive mode');
    const waiting = post(house, house.acme.admin, { body: SLOW });
    await untilRunning(house.stores, 'projects');
    await work(waiting, () => other.query('rollback'));
  });
}

describe.each(['local', 'remote'] as const)('a gateway with %s subgraphs that is closed', (mode) => {
  it('turns readiness off, answers what it has taken, ends every connection and takes no new one', async () => {
    const house = await openHouse({ mode });
    const [asksReadiness, asksGraphql] = [await openConnection(house), await openConnection(house)];
    await whileOneWaits(house, async (waiting, release) => {
      const ready = lastAnswer(asksReadiness, ['GET /readyz HTTP/1.1']);
      const closing = house.gateway.close();
      expect(await ready).toMatch(/^HTTP\/1\.1 503 [\s\S]*"away":\["draining"\]/);
      await expect(openConnection(house)).rejects.toThrow('ECONNREFUSED');
      // A request on a connection that was there already is answered, and is its last.
      const body = JSON.stringify({ query: '{ tenant { slug } }' });
      const late = await lastAnswer(asksGraphql, graphqlRequest(house.acme.member, body), body);
      expect(late).toMatch(/^HTTP\/1\.1 200 [\s\S]*\r\nconnection: close\r\n[\s\S]*"slug":"acme"/i);
      await release();
      const answer = await waiting;
      expect([answer.status, answer.body.data]).toEqual([200, { projects: { edges: [] } }]);
      expect(answer.headers.get('connection')).toBe('close');
      await closing;
    });
  });
});

describe('a gateway with time to drain', () => {
  it('says at once that it is not ready, serves on until the time is over, and then closes', async () => {
    let over = () => undefined as void;
    const waited: number[] = [];
    const pause = (timeMs: number) => {
      waited.push(timeMs);
      return new Promise<void>((resolve) => (over = resolve));
    };
    const house = await openHouse({ env: { TENON_DRAIN_MS: '7000' }, pause });
    const closing = house.gateway.close();
    const [ready, first, again] = [
      await house.fetch(null, '/readyz'),
      await post(house, house.acme.member, { body: { query: '{ tenant { slug } }' } }),
      await post(house, house.acme.member, { body: { query: '{ tenant { slug } }' } }),
    ];
    expect([ready.status, await ready.json()]).toEqual([503, { ready: false, away: ['draining'] }]);
    for (const { status, body, headers } of [first, again]) {
      expect([status, body.data]).toEqual([200, { tenant: { slug: 'acme' } }]);
      // Clients and balancers that keep connections are to open their next one elsewhere.
      expect(headers.get('connection')).toBe('close');
    }
    expect(waited).toEqual([7_000]);
    await whileOneWaits(house, async (waiting, release) => {
      over();
      await expect.poll(() => openConnection(house).then(ended, String)).toContain('ECONNREFUSED');
      await release();
      expect((await waiting).status).toBe(200);
    });
    await closing;
  });
});

describe('a gateway', () => {
  it('that is closed finishes the REST requests it has taken too', async () => {
    const house = await openHouse();
    await withClient(house.stores.url('eu-1'), async (other) => {
      await other.query('begin');
      await other.query('lock table app.users in access exclusive mode');
      const waiting = house.fetch(house.acme.scim, '/scim/v2/Users');
      await untilRunning(house.stores, 'users');
      const closing = house.gateway.close();
      await expect(openConnection(house)).rejects.toThrow('ECONNREFUSED');
      await other.query('rollback');
      const answer = await waiting;
      expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close']);
      expect(await answer.json()).toMatchObject({ totalResults: 3 });
      await closing;
    });
  });

  it('is closed once, however often that is asked for', async () => {
    const house = await openHouse();
    expect((await post(house, house.acme.admin, { body: SLOW })).status).toBe(200);
    const closing = house.gateway.close();
    expect(house.gateway.close()).toBe(closing);
    await closing;
  });
});
