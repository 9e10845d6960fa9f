import { connect } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { metricOf, post } from '../support/graphql-http.ts';
import { openHouse } from '../support/house.ts';
import { openOperator } from '../support/operator.ts';
import { withClient } from '../support/postgres.ts';
import { untilRunning } from '../support/statements.ts';

const WAITING = 30;
const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].map((alias) => `${alias}: name`).join(' ');
const query = `{ projects(first: 100) { edges { node { ${names} } } } }`;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options?: { readonly type: 'minor' }) => void;

const house = await openHouse();
const operate = await openOperator(house);

/** Sends the query over a connection of its own and counts the bytes of the answer, of which the client keeps none. */
function send(token: string): Promise<number> {
  const body = JSON.stringify({ query });
  const { hostname, port } = new URL(house.url);
  return new Promise((resolve, reject) => {
    let bytes = 0;
    const callback = (length: number) => (bytes += length) > 0;
    const socket = connect({ host: hostname, port: Number(port), onread: { buffer: Buffer.alloc(65_536), callback } });
    socket.once('close', () => resolve(bytes)).once('error', reject);
    socket.write(
      `POST /graphql HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${token}\r\nconnection: close\r\n` +
        `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
  });
}

it('keeps nothing of the answers to requests that waited for their turn until old objects are collected', async () => {
  const { id: tenantId, member } = house.acme;
  const ask = () => post(house, member, { body: { query } });
  const much = { capacity: 1_000_000, restorePerSecond: 10_000 };
  const subject = { requests: much, points: { query: much, mutation: much } };
  await operate('SetTenantLimits', { tenantId, concurrency: 1, tenant: subject, user: subject });
  const create = 'mutation ($name: String!) { createProject(input: { name: $name }) { project { id } } }';
  for (let count = 0; count < 100; count++)
    await post(house, member, { body: { query: create, variables: { name: `${count} ${'x'.repeat(190)}` } } });
  await ask();
  await ask();
  const answered = await withClient(house.stores.url('eu-1'), async (other) => {
    await other.query('begin');
    await other.query('lock table app.projects in access exclusive mode');
    const first = ask();
    await untilRunning(house.stores, 'projects');
    const waiting = Array.from({ length: WAITING }, () => send(member));
    await expect.poll(() => metricOf(house, 'tenon_queue_length')).toBe(WAITING);
    // Whatever lives through a whole collection is old.
    collect();
    await other.query('rollback');
    await first;
    return Promise.all(waiting);
  });
  const length = Math.min(...answered);
  expect(length).toBeGreaterThan(200_000);
  collect({ type: 'minor' });
  collect({ type: 'minor' });
  const kept = process.memoryUsage().heapUsed;
  collect();
  // Rows and whatever else their requests had are some half of an answer.
  const garbageEach = (kept - process.memoryUsage().heapUsed) / WAITING;
  expect(garbageEach / length).toBeLessThan(1);
});
