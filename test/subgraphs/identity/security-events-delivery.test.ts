import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { uuidOf, type Id } from '#schema/ids.ts';
import type { DeliveryLoop } from '../../../subgraphs/identity/security-events/delivery-loop.ts';
import {
  openReceiver,
  register,
  startWorkerOf,
  verifierOf,
  type Received,
  type TestReceiver,
} from './event-receiver-server.ts';
import { addUser, ask, codeOf, openIdentity, patch, type IdentityPlatform } from './identity-platform.ts';

/** The keys of `CONTEXT_KEYS`, as a process reads them. */
const KEYS = JSON.stringify({
  signing: 'k2',
  keys: [
    { kid: 'k2', secret: '22'.repeat(32) },
    { kid: 'k1', secret: '11'.repeat(32) },
  ],
});
const HOUR_MS = 3_600_000;
let house: IdentityPlatform;
let verify: Awaited<ReturnType<typeof verifierOf>>;
/** How far the sender's clock is ahead. */
let aheadMs = 0;
const loops: DeliveryLoop[] = [];

beforeAll(async () => {
  house = await openIdentity();
  verify = await verifierOf(house);
});

beforeEach(() => {
  aheadMs = 0;
});

afterEach(async () => {
  await Promise.all(loops.splice(0).map((loop) => loop.stop()));
  await house.peek('eu-1', 'delete from security_event_receivers');
});

async function startWorker(): Promise<void> {
  loops.push(await startWorkerOf(house, { clock: () => new Date(Date.now() + aheadMs) }));
}

interface DeliveryRow {
  readonly id: string;
  readonly state: string;
  readonly attempts: number;
  readonly last_status: number | null;
  readonly last_error: string | null;
}

/** Resolves when the deliveries of a receiver are as wanted. */
async function until(receiver: string, isSo: (rows: DeliveryRow[]) => boolean): Promise<DeliveryRow[]> {
  const text =
    'select id, state, attempts, last_status, last_error from security_event_deliveries where receiver_id = $1 order by position';
  return expect
    .poll(() => house.peek<DeliveryRow>('eu-1', text, [uuidOf('rcv', receiver as Id<'rcv'>)]), { timeout: 15_000 })
    .toSatisfy(isSo)
    .then(() => house.peek<DeliveryRow>('eu-1', text, [uuidOf('rcv', receiver as Id<'rcv'>)]));
}

const rename = (user: string, displayName: string) =>
  house.acme.scim('PATCH', `/Users/${user}`, patch({ op: 'replace', path: 'displayName', value: displayName }));
const PATCHED = ['urn:ietf:params:scim:event:prov:patch:notice'];

async function jtiOf(received: Received): Promise<string> {
  return (await verify(received, 'secevent+jwt')).jti ?? '';
}

async function openWith(answer: TestReceiver['answer']): Promise<{ receiver: TestReceiver; id: string }> {
  const receiver = await openReceiver();
  receiver.answer = answer;
  return { receiver, id: await register(house.acme, { kind: 'SCIM_EVENTS', endpoint: receiver.url, events: PATCHED }) };
}

describe('a token that is not taken at once', () => {
  it('is sent again with the same jti, and what came later about the same person waits behind it', async () => {
    const user = await addUser(house.acme, 'ann@acme.example');
    const { receiver, id } = await openWith((_, count) => ({ status: count <= 2 ? 503 : 202 }));
    await rename(user, 'one');
    await rename(user, 'two');
    await startWorker();
    await until(id, ([first]) => first?.last_status === 503 && first.attempts === 1);
    aheadMs = 4_000;
    await until(id, ([first]) => first?.attempts === 2 && first.last_status === 503);
    aheadMs = 60_000;
    const rows = await until(id, (all) => all.every(({ state }) => state === 'delivered'));
    const jtis = await Promise.all(receiver.received.map(jtiOf));
    expect(jtis.map((jti) => rows.findIndex((row) => uuidOf('dlv', jti) === row.id))).toEqual([0, 0, 0, 1]);
    expect(rows.map(({ attempts }) => attempts)).toEqual([3, 1]);
  });

  it('is given up after 24 hours, and goes out once more when an administrator replays it', async () => {
    const user = await addUser(house.acme, 'bob@acme.example');
    const { receiver, id } = await openWith(() => ({ status: 500 }));
    await rename(user, 'one');
    await startWorker();
    await until(id, ([first]) => first?.attempts === 1 && first.last_status === 500);
    aheadMs = 25 * HOUR_MS;
    const [dead] = await until(id, ([first]) => first?.state === 'dead');
    expect(dead).toMatchObject({ last_status: 500, last_error: 'answered 500' });
    receiver.answer = () => ({ status: 202 });
    const deliveryId = await jtiOf(receiver.received[0]!);
    const replay = () =>
      ask(
        house.acme.request(['identity:write']),
        'mutation ($id: ID!) { replaySecurityEventDelivery(input: {deliveryId: $id}) { delivery { state } } }',
        { id: deliveryId },
      );
    house.setNow(new Date(Date.now() + aheadMs));
    expect((await replay()).data).toEqual({ replaySecurityEventDelivery: { delivery: { state: 'PENDING' } } });
    await until(id, ([first]) => first?.state === 'delivered');
    house.setNow(new Date());
    expect(await jtiOf(receiver.received.at(-1)!)).toBe(deliveryId);
    expect(codeOf(await replay())).toBe('CONFLICT');
    const events = await house.acme.events();
    expect(events.at(-1)).toMatchObject({
      action: 'security_event_delivery.replay',
      context: { delivery: deliveryId },
    });
  });

  it('is given up after three refusals, so that the next about the same person is not held up', async () => {
    const user = await addUser(house.acme, 'cat@acme.example');
    let refused = '';
    const { receiver, id } = await openWith((received) => {
      refused ||= received.token.split('.')[1] ?? '';
      const { jti } = JSON.parse(Buffer.from(received.token.split('.')[1] ?? '', 'base64url').toString()) as {
        jti: string;
      };
      const first = JSON.parse(Buffer.from(refused, 'base64url').toString()) as { jti: string };
      return jti === first.jti
        ? { status: 400, body: '{"err":"invalid_request","description":"cat@acme.example is not ours"}' }
        : { status: 202 };
    });
    await rename(user, 'one');
    await rename(user, 'two');
    await startWorker();
    await until(id, ([first]) => first?.attempts === 1 && first.last_status === 400);
    aheadMs = 10_000;
    await until(id, ([first]) => first?.attempts === 2 && first.last_status === 400);
    aheadMs = 60_000;
    const rows = await until(id, (all) => all[1]?.state === 'delivered');
    expect(rows[0]).toMatchObject({ state: 'dead', attempts: 3, last_status: 400, last_error: 'invalid_request' });
    expect(receiver.received).toHaveLength(4);
  });
});

it(
  'a receiver that never answers holds up no other, and is asked with one token at a time',
  { timeout: 30_000 },
  async () => {
    const users = await Promise.all(Array.from({ length: 12 }, (_, n) => addUser(house.acme, `p${n}@acme.example`)));
    const dead = await openWith(() => 'hang');
    const live = await openWith(() => ({ status: 202 }));
    for (const user of users) await rename(user, 'one');
    await startWorker();
    await live.receiver.waitFor(12);
    expect(dead.receiver.received.length).toBeLessThanOrEqual(8);
    await until(dead.id, (rows) => rows.filter(({ last_error: error }) => error === 'no answer in time').length === 8);
    const before = dead.receiver.received.length;
    aheadMs = 2 * HOUR_MS;
    await dead.receiver.waitFor(before + 1);
    for (const user of users) await rename(user, 'two');
    await live.receiver.waitFor(24);
    expect(dead.receiver.received).toHaveLength(before + 1);
  },
);

it('two processes share what there is, each token going out once', async () => {
  const users = await Promise.all(Array.from({ length: 10 }, (_, n) => addUser(house.acme, `q${n}@acme.example`)));
  const { receiver, id } = await openWith(() => ({ status: 202 }));
  await startWorker();
  await startWorker();
  for (const name of ['one', 'two', 'three', 'four']) await Promise.all(users.map((user) => rename(user, name)));
  const rows = await until(id, (all) => all.length === 40 && all.every(({ state }) => state === 'delivered'));
  const jtis = await Promise.all(receiver.received.map(jtiOf));
  expect(new Set(jtis.map((jti) => uuidOf('dlv', jti)))).toEqual(new Set(rows.map((row) => row.id)));
  expect(jtis).toHaveLength(40);
  const order = new Map(rows.map((row, index) => [row.id, index]));
  const claims = await Promise.all(receiver.received.map((each) => verify(each, 'secevent+jwt')));
  for (const user of users) {
    const hers = claims.filter((each) => (each['sub_id'] as { uri: string }).uri === `/Users/${user}`);
    const places = hers.map(({ jti }) => order.get(uuidOf('dlv', jti ?? '')) ?? -1);
    expect(places).toEqual(places.toSorted((one, other) => one - other));
    expect(places).toHaveLength(4);
  }
});

it(
  'what a killed process had sent and not written down goes out again with the same jti',
  { timeout: 40_000 },
  async () => {
    const user = await addUser(house.acme, 'kim@acme.example');
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const { receiver, id } = await openWith(async (_, count) => {
      if (count === 1) await held;
      return { status: 202 };
    });
    const arrived = new Promise<void>((resolve) => {
      const { answer } = receiver;
      receiver.answer = (received, count) => {
        resolve();
        return answer(received, count);
      };
    });
    await rename(user, 'one');
    const child: ChildProcess = fork(
      fileURLToPath(new URL('event-worker-process.ts', import.meta.url)),
      [JSON.stringify({ ...house.stores.settingsFor('tenon_worker', 'file:///nowhere'), keys: KEYS })],
      { execArgv: ['--import', 'tsx'] },
    );
    await arrived;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    release();
    await startWorker();
    await until(id, ([first]) => first?.state === 'pending' && first.attempts === 1);
    aheadMs = 31_000;
    const [row] = await until(id, ([first]) => first?.state === 'delivered');
    const jtis = await Promise.all(receiver.received.map(jtiOf));
    expect(jtis).toHaveLength(2);
    expect(new Set(jtis).size).toBe(1);
    expect(row).toMatchObject({ attempts: 2, id: uuidOf('dlv', jtis[0] ?? '') });
  },
);

it('the time from a change to the word of the receiver is shown to the administrator', async () => {
  const user = await addUser(house.acme, 'lea@acme.example');
  const { id } = await openWith(() => ({ status: 202 }));
  await startWorker();
  await rename(user, 'one');
  await until(id, ([first]) => first?.state === 'delivered');
  const { data } = await ask(
    house.acme.request(['identity:read']),
    `query ($id: ID!) { securityEventReceiver(id: $id) { failures lastDeliveredAt
      deliveries(first: 5, state: DELIVERED) { edges { node { subjectId events state attempts latencyMs lastStatus } } } } }`,
    { id },
  );
  const { deliveries } = (
    data as { securityEventReceiver: { deliveries: { edges: { node: Record<string, unknown> }[] } } }
  ).securityEventReceiver;
  expect(deliveries.edges.map(({ node }) => node)).toEqual([
    {
      subjectId: user,
      events: PATCHED,
      state: 'DELIVERED',
      attempts: 1,
      latencyMs: expect.any(Number),
      lastStatus: 202,
    },
  ]);
  expect(deliveries.edges[0]?.node['latencyMs']).toBeLessThan(5_000);
});
