import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLocalJWKSet, jwtVerify, type JWTPayload, type JSONWebKeySet } from 'jose';
import { afterAll } from 'vitest';
import { openDatabases } from '#kit/database.ts';
import type { Platform } from '#kit/request-context.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';
import { CONTEXT_KEYS } from '../../support/databases.ts';
import { identity } from '../../../subgraphs/identity/index.ts';
import { startDeliveries, type DeliveryLoop } from '../../../subgraphs/identity/security-events/delivery-loop.ts';
import { ask, type IdentityPlatform, type TestTenant } from './identity-platform.ts';

/** A request that a receiver got. */
export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The token inside, whatever way it came. */
  readonly token: string;
}

/** How a receiver answers; `hang` never does. */
export type ReceiverAnswer = { readonly status: number; readonly body?: string } | 'hang';

/** A real receiver over HTTP. */
export interface TestReceiver {
  readonly url: string;
  /** All that came, in order. */
  readonly received: Received[];
  /** Decides how the next requests are answered; by default as RFC 8935 says. */
  answer: (received: Received, count: number) => ReceiverAnswer | Promise<ReceiverAnswer>;
  /** Resolves with all that came once there are so many. */
  waitFor(count: number): Promise<Received[]>;
}

/** Opens a receiver; it is closed when the test file ends. */
export async function openReceiver(): Promise<TestReceiver> {
  const waiters: { count: number; resolve: () => void }[] = [];
  const receiver: TestReceiver = {
    url: '',
    received: [],
    answer: () => ({ status: 202 }),
    waitFor: async (count) => {
      if (receiver.received.length < count) await new Promise<void>((resolve) => waiters.push({ count, resolve }));
      return receiver.received;
    },
  };
  const respond = async (received: Received, res: ServerResponse) => {
    const answer = await receiver.answer(received, receiver.received.length);
    if (answer !== 'hang') res.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body ?? '');
    for (const { resolve } of waiters.filter(({ count }) => receiver.received.length >= count)) resolve();
  };
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      const isForm = req.headers['content-type'] === 'application/x-www-form-urlencoded';
      const token = isForm ? (new URLSearchParams(body).get('logout_token') ?? '') : body;
      const received = { headers: req.headers, body, token };
      receiver.received.push(received);
      void respond(received, res);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return Object.assign(receiver, { url: `http://127.0.0.1:${port}/events` });
}

/** Opens the stores as the worker does and starts sending; stopped when the test file ends. */
export async function startWorkerOf(house: IdentityPlatform, change: Partial<Platform> = {}): Promise<DeliveryLoop> {
  const databases = await openDatabases({
    ...house.stores.settingsFor('tenon_worker', 'file:///nowhere'),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: [...identity.entities],
    poolSize: 8,
  });
  const loop = startDeliveries({ ...house.platform, databases, ...change });
  afterAll(async () => {
    await loop.stop();
    await databases.close();
  });
  return loop;
}

/** Registers a receiver and returns its id. */
export async function register(
  tenant: TestTenant,
  {
    kind,
    ...more
  }: { kind: 'BACKCHANNEL_LOGOUT' | 'CAEP' | 'SCIM_EVENTS'; endpoint: string } & Record<string, unknown>,
): Promise<string> {
  const input = { kind, name: `receiver ${Math.random()}`, audience: 'app-1', ...more };
  const { data, errors } = await ask(
    tenant.request(['identity:write', 'users:read']),
    `mutation ($input: CreateSecurityEventReceiverInput!) { createSecurityEventReceiver(input: $input) { receiver { id } } }`,
    { input },
  );
  if (errors !== undefined) throw new Error(JSON.stringify(errors));
  return (data as { createSecurityEventReceiver: { receiver: { id: string } } }).createSecurityEventReceiver.receiver
    .id;
}

/** Verifies tokens with the keys that the platform publishes, and returns their claims. */
export async function verifierOf(
  house: IdentityPlatform,
): Promise<(received: Received, type: 'logout+jwt' | 'secevent+jwt') => Promise<JWTPayload>> {
  const response = await house.fetch(null, '/.well-known/jwks.json');
  const keys = createLocalJWKSet((await response.json()) as JSONWebKeySet);
  return async ({ token }, type) => {
    const { payload } = await jwtVerify(token, keys, {
      issuer: house.platform.publicUrl,
      audience: 'app-1',
      typ: type,
      algorithms: ['ES256'],
      currentDate: house.platform.clock(),
    });
    return payload;
  };
}
