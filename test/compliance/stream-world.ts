import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';
import { systemContext } from '#kit/credential.ts';
import { openDatabases } from '#kit/database.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { StreamForm, StreamKind } from '#schema/audit-stream.ts';
import { readConfig } from '#schema/config.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { subgraphs } from '#subgraphs';
import { createStreamTurn, type StreamTurn } from '../../compliance/streams/turn.ts';
import { StreamStart, type CreateAuditStreamInput } from '../../subgraphs/audit/stream-inputs.ts';
import type { AuditStream } from '../../subgraphs/audit/stream-model.ts';
import { createStream, listStreams } from '../../subgraphs/audit/streams.ts';
import { beginLog, type WrittenLog } from '../support/audit-log.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';

/** Tenants with logs, and a worker that sends their streams. */
export interface StreamWorld {
  readonly stores: TestStores;
  /** Opened as the application. */
  readonly platform: Platform;
  /** Opened as the worker. */
  readonly worker: Platform;
  /** Lines that the worker logged. */
  readonly logged: string[];
  /** By the worker's clock. */
  now(): Date;
  /** Moves the clock on. */
  pass(ms: number): void;
  addTenant(slug: string): Promise<{ ctx: RequestContext; log: WrittenLog }>;
  /** Sets a stream up, by default a webhook that begins with the first entry. */
  addStream(
    ctx: RequestContext,
    input: Partial<CreateAuditStreamInput>,
  ): Promise<AuditStream & { secret: string | null }>;
  find(ctx: RequestContext, id: string): Promise<AuditStream>;
  /** Another worker, as after a restart. */
  newTurn(): StreamTurn;
  /** Sends all that can be sent now. */
  send(): Promise<void>;
  peek<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** Opens it; everything is closed when the test file ends. */
export async function openStreamWorld(): Promise<StreamWorld> {
  const stores = await makeStores();
  const entities = subgraphs.flatMap((subgraph) => subgraph.entities);
  const app = await stores.open();
  const settings = stores.settingsFor('tenon_worker', 'file:///nowhere');
  const databases = await openDatabases({
    ...settings,
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities,
    poolSize: 4,
  });
  afterAll(() => Promise.all([app.close(), databases.close()]));
  let now = new Date();
  const clock = () => now;
  const config = readConfig({ PORT: '0', TENON_DEPLOYMENT: 'tenon.test' });
  const platform: Platform = { config, databases: app, clock, publicUrl: 'http://tenon.test' };
  const worker: Platform = { ...platform, databases };
  const logged: string[] = [];
  const log = (_level: string, message: string) => void logged.push(message);
  const newTurn = () => createStreamTurn({ platform: worker, cells: ['eu-1'], log, pauseMs: 0 });
  const turn = newTurn();
  const find: StreamWorld['find'] = async (ctx, id) => {
    const { edges } = await listStreams(ctx, { first: 100 });
    const found = edges.find(({ node }) => node.id === id);
    if (found === undefined) throw new Error('no such stream');
    return found.node;
  };
  return {
    stores,
    platform,
    worker,
    logged,
    newTurn,
    find,
    now: clock,
    pass: (ms) => void (now = new Date(now.getTime() + ms)),
    addTenant: async (slug) => {
      const tenant = mintId('tnt');
      await makeTenant(stores, tenant, slug);
      const ctx = requestContext(
        platform,
        await systemContext(app, tenant, { name: 'test', requestId: mintId('req') }),
      );
      return { ctx, log: beginLog({ url: stores.url('eu-1 audit', 'tenon_worker'), tenant }) };
    },
    addStream: async (ctx, input) => {
      const { stream, secret } = await createStream(ctx, {
        name: `stream ${mintId('req')}`,
        kind: StreamKind.WEBHOOK,
        form: StreamForm.NATIVE,
        endpoint: 'http://127.0.0.1:9/',
        proofs: true,
        start: StreamStart.BEGINNING,
        ...input,
      });
      return Object.assign(stream, { secret });
    },
    send: async () => {
      while ((await turn.turn()) !== 'idle') await turn.settle();
    },
    peek: (text, values = []) =>
      withClient(stores.url('eu-1'), async (client) => {
        await client.query('set search_path = app');
        return (await client.query(text, [...values])).rows;
      }),
  };
}

async function makeTenant(stores: TestStores, tenant: Id<'tnt'>, slug: string): Promise<void> {
  const uuid = uuidOf('tnt', tenant);
  await withClient(stores.url('directory'), (client) =>
    client.query(
      `insert into app.tenants (id, slug, region, cell, tier, state) values ($1, $2, 'eu', 'eu-1', 'GROWTH', 'active')`,
      [uuid, slug],
    ),
  );
  await withClient(stores.url('eu-1'), (client) =>
    client.query(
      `insert into app.tenants (tenant_id, slug, name, tier, region, cell, state) values ($1, $2, $2, 'GROWTH', 'eu', 'eu-1', 'active')`,
      [uuid, slug],
    ),
  );
}

/** What a receiver got. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A real receiver on this machine. */
export interface HttpReceiver {
  readonly url: string;
  readonly requests: ReceivedRequest[];
  /** Entries of native webhook batches, as `seq`, in the order in which they came. */
  seqs(): number[];
}

/** Starts a receiver; by default it answers 200 to everything. It is closed when the test file ends. */
export async function httpReceiver(
  answer: (req: ReceivedRequest, res: ServerResponse, count: number) => void = (_req, res) => void res.end(),
): Promise<HttpReceiver> {
  const requests: ReceivedRequest[] = [];
  const server = createServer((req, res) => {
    void (async () => {
      const request = await read(req);
      requests.push(request);
      answer(request, res, requests.length);
    })();
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    requests,
    seqs: () =>
      requests.flatMap(({ body }) =>
        (JSON.parse(body.toString()) as { entry: { seq: number } }[]).map(({ entry }) => entry.seq),
      ),
  };
}

async function read(req: IncomingMessage): Promise<ReceivedRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return { method: req.method ?? '', path: req.url ?? '', headers: req.headers, body: Buffer.concat(chunks) };
}
