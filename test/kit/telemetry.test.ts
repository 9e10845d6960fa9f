import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Databases } from '#kit/database.ts';
import { withoutLiterals } from '#kit/public-span.ts';
import { readConfig } from '#schema/config.ts';
import { makeDemoTenants, type DemoTenant } from '#subgraphs';
import { makeStores } from '../support/databases.ts';
import {
  deploymentSettings,
  startCollector,
  startTracedGateway,
  startTracedProgram,
  type ExportedSpan,
} from '../support/traces.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const HTTP = '@opentelemetry/instrumentation-http';
const TENON = 'tenon';
const GRAPHQL = '@opentelemetry/instrumentation-graphql';
const PG = '@opentelemetry/instrumentation-pg';
/** Fields of three subgraphs: tenants, product and billing. */
const FIELDS = '{ tenant { slug } pricePlan { name } projects(first: 3) { edges { node { name } } } }';

let databases: Databases;
let settings: Record<string, string>;
let acme: DemoTenant;
let globex: DemoTenant;

beforeAll(async () => {
  const stores = await makeStores();
  settings = deploymentSettings(stores);
  databases = await stores.open();
  const config = readConfig({ TENON_HOME: temporaryFolder('telemetry') });
  const [first, second] = await makeDemoTenants({
    config,
    databases,
    clock: () => new Date(),
    publicUrl: 'http://tenon.test',
  });
  if (first === undefined || second === undefined) throw new Error('there are demo tenants');
  [acme, globex] = [first, second];
});

afterAll(() => databases.close());

describe('a request through a gateway with its subgraphs in one process', () => {
  let spans: readonly ExportedSpan[];
  beforeAll(async () => {
    const gateway = await startTracedGateway(settings);
    try {
      await graphql(gateway.url, acme.admin, { query: `query AcmeOverview ${FIELDS}` });
      await graphql(gateway.url, globex.admin, { query: `query GlobexOverview ${FIELDS}` });
      await sendUsage(gateway.url, acme.partner);
      await sendSecrets(gateway.url, acme.admin);
      await sendStrange(gateway.url);
    } finally {
      spans = await gateway.stop();
    }
  });

  it('is one trace from the HTTP server over gateway, plan, fetches and executions to SQL', () => {
    const trace = traceOf(spans, 'AcmeOverview');
    const root = trace.filter(({ parentSpanId }) => parentSpanId === null);
    expect(root.map(({ scope, name }) => [scope, name])).toEqual([[TENON, 'POST /graphql']]);
    expect(namesOf(trace, TENON)).toEqual(expect.arrayContaining(['POST /graphql', 'gateway.fetch']));
    expect(subgraphsOf(trace)).toEqual(new Set(['billing', 'product', 'tenants']));
    const fetches = new Set(trace.filter(({ name }) => name === 'gateway.fetch').map(({ spanId }) => spanId));
    const executions = trace.filter((span) => isExecution(span) && fetches.has(span.parentSpanId ?? ''));
    expect(executions.length).toBe(fetches.size);
    for (const { spanId } of executions)
      expect(trace.filter((span) => span.parentSpanId === spanId && span.scope === PG)).not.toEqual([]);
    expect(everyParentIn(trace)).toBe(true);
  });

  it('carries its tenant, tier and region in every span after her credential was read', () => {
    const told = afterCredential(traceOf(spans, 'AcmeOverview'));
    expect(new Set(told.map(({ scope }) => scope))).toEqual(new Set([TENON, GRAPHQL, PG]));
    for (const span of told) expect(span.attributes, span.name).toMatchObject(tenantAttributes(acme));
    expect(told.some(({ name }) => name.startsWith('pg.query:SELECT'))).toBe(true);
  });

  it('carries another tenant where another asks', () => {
    const trace = traceOf(spans, 'GlobexOverview');
    for (const span of afterCredential(trace))
      expect(span.attributes, span.name).toMatchObject(tenantAttributes(globex));
    expect(tenantAttributes(globex)).not.toEqual(tenantAttributes(acme));
    expect(trace[0]?.traceId).not.toBe(traceOf(spans, 'AcmeOverview')[0]?.traceId);
  });

  it('is one trace through a REST door as well', () => {
    const door = spans.find(({ name }) => name === 'POST /v1/usage');
    expect(door?.attributes).toMatchObject({
      'http.route': '/v1/usage',
      'http.response.status_code': 200,
      ...tenantAttributes(acme),
    });
    const trace = spans.filter(({ traceId }) => traceId === door?.traceId);
    const statements = afterCredential(trace).filter(({ scope }) => scope === PG);
    expect(statements.map(({ attributes }) => String(attributes['db.query.text'])).join('\n')).toContain(
      'usage_events',
    );
    for (const span of statements) expect(span.attributes).toMatchObject(tenantAttributes(acme));
  });

  it('goes on with the trace of its caller', () => {
    const trace = spans.filter(({ traceId }) => traceId === CALLER.traceId);
    expect(trace.find(({ parentSpanId }) => parentSpanId === CALLER.spanId)?.scope).toBe(TENON);
    expect(
      everyParentIn(
        trace.filter(({ parentSpanId }) => parentSpanId !== CALLER.spanId),
        trace,
      ),
    ).toBe(true);
  });

  it('says nothing of literals, variables, addresses, tokens and error texts', () => {
    const all = spans.map(({ text }) => text).join('\n');
    expect(all).toContain('projects');
    expect(
      [...SECRETS, acme.admin, acme.partner, globex.partner, 'agent-7', 'tracestate'].filter((secret) =>
        all.includes(secret),
      ),
    ).toEqual([]);
    expect(/[\w.]+@[\w-]+|exception\.stacktrace/.exec(all)).toBeNull();
  });

  it('says only what is listed', () => {
    const keys = new Set(spans.flatMap(({ attributes }) => Object.keys(attributes)));
    const known = new Set([
      'tenant.id',
      'tenant.tier',
      'tenant.region',
      'http.request.method',
      'http.response.status_code',
      'http.route',
      'url.scheme',
      'network.protocol.version',
      'error.type',
      'db.system.name',
      'db.namespace',
      'db.query.text',
      'server.address',
      'server.port',
      'graphql.operation.type',
      'graphql.operation.name',
      'service',
    ]);
    expect([...keys].filter((key) => !known.has(key))).toEqual([]);
  });

  it('is not traced where a machine asks for health, nor while a process starts', () => {
    expect(spans.filter(({ name }) => /healthz|readyz|Schema/.test(name))).toEqual([]);
    expect(spans.filter(({ scope, parentSpanId }) => scope !== TENON && parentSpanId === null)).toEqual([]);
    expect(spans.every(({ service }) => service === 'tenon-gateway')).toBe(true);
  });

  it('belongs to nobody where the credential is refused', () => {
    const refused = spans.filter(({ attributes }) => attributes['http.response.status_code'] === 401);
    expect(refused).toHaveLength(1);
    expect(Object.keys(refused[0]?.attributes ?? {}).filter((key) => key.startsWith('tenant.'))).toEqual([]);
  });
});

describe('a request through a gateway and a subgraph in another process', () => {
  it('is one trace over both, sent to the collector before they end', { timeout: 60_000 }, async () => {
    const collector = await startCollector();
    const traced = { ...settings, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    const billing = await startTracedProgram(['subgraphs/main.ts', 'billing'], traced);
    const gateway = await startTracedGateway({ ...settings, SUBGRAPHS: `billing=${billing.url}` });
    await graphql(gateway.url, acme.admin, { query: `query Overview ${FIELDS}` });
    await sendUsage(gateway.url, globex.partner);
    const here = await gateway.stop();
    const { code } = await billing.stop();
    await collector.close();
    expect(code).toBe(0);
    const there = collector.spans;
    expect(new Set(there.map(({ service }) => service))).toEqual(new Set(['tenon-billing']));
    expect(new Set(there.map(({ scope }) => scope))).toEqual(new Set([HTTP, GRAPHQL, PG]));

    const query = traceOf(here, 'Overview');
    const fetch = query.find(({ name, attributes }) => name === 'gateway.fetch' && attributes['service'] === 'billing');
    const served = there.filter(({ name, parentSpanId }) => name === 'POST /graphql' && parentSpanId === fetch?.spanId);
    expect(served.map(({ traceId }) => traceId)).toEqual([fetch?.traceId]);
    const below = there.filter(({ traceId }) => traceId === fetch?.traceId);
    expect(below.some(isExecution) && below.some(({ scope }) => scope === PG)).toBe(true);
    for (const span of below.filter(({ name }) => name !== 'graphql.parse'))
      expect(span.attributes, span.name).toMatchObject(tenantAttributes(acme));

    const door = here.find(({ name }) => name === 'POST /v1/usage');
    const passed = there.filter(({ traceId }) => traceId === door?.traceId);
    expect(passed.find(({ name }) => name === 'POST /v1/usage')?.parentSpanId).toBe(door?.spanId);
    for (const span of passed) expect(span.attributes, span.name).toMatchObject(tenantAttributes(globex));
  });

  it('lets a process end in order when its collector is away', { timeout: 60_000 }, async () => {
    const collector = await startCollector();
    await collector.close();
    const billing = await startTracedProgram(['subgraphs/main.ts', 'billing'], {
      ...settings,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    });
    await fetch(`${billing.url}/nothing`);
    const { code, lines } = await billing.stop();
    expect(code).toBe(0);
    expect(lines.some((line) => line.includes('"message":"telemetry"'))).toBe(true);
  });

  it('leaves it to the main program to tell of a bad setting', async () => {
    const started = startTracedProgram(['subgraphs/main.ts', 'billing'], {
      ...settings,
      OTEL_EXPORTER_OTLP_ENDPOINT: 'nowhere',
    });
    await expect(started).rejects.toThrow(/^it ended:\nOTEL_EXPORTER_OTLP_ENDPOINT is "nowhere", but takes a URL$/);
  });
});

describe('the text of a statement', () => {
  it.each([
    [`select 'it''s' as "a'b", $1 from t2 where n = 12.5 limit 3`, `select ? as "a'b", $1 from t2 where n = ? limit ?`],
    [`select e'a\\'b', 'c'`, 'select ?, ?'],
    [`do $body$ select 'x' $body$`, 'do ?'],
    [`select 1 -- it's\n, 'x' /* it's */`, 'select ? \n, ? '],
    [`alter role a password 'secret`, 'alter role a password ?'],
  ])('loses its literals: %s', (sql, expected) => {
    expect(withoutLiterals(sql)).toBe(expected);
  });
});

const SECRETS = [
  'Secret Literal',
  'Secret Variable',
  'ada@acme.example',
  'Secret Argument',
  'not-a-token',
  'secretField',
  '98765432109',
];
const CALLER = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };

async function graphql(url: string, token: string, body: object): Promise<void> {
  const response = await send(url, '/graphql', { token, body });
  const answer = (await response.json()) as { data?: unknown; errors?: unknown };
  expect(answer.errors).toBeUndefined();
  expect(answer.data).toBeDefined();
}

async function sendUsage(url: string, token: string): Promise<void> {
  const body = [
    {
      metric: 'tokens_used',
      value: 98765432109,
      timestamp: new Date().toISOString(),
      idempotency: `one-${token.length}`,
    },
  ];
  const response = await send(url, '/v1/usage', { token, body });
  expect(await response.json()).toMatchObject({ accepted: 1 });
}

/** Requests that hold a secret wherever one can be. */
async function sendSecrets(url: string, token: string): Promise<void> {
  await graphql(url, token, {
    query: 'mutation { createProject(input: { name: "Secret Literal" }) { project { id } } }',
  });
  await graphql(url, token, {
    query: 'mutation Make($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }',
    variables: { input: { name: 'Secret Variable' } },
  });
  await send(url, '/graphql', { token, body: { query: '{ project(id: "Secret Argument") { name } }' } });
  await send(url, '/graphql', { token, body: { query: '{ secretField { x } }' } });
  await send(url, '/graphql', { token, body: { query: '{ project(id: "Secret Argument' } });
  await send(url, '/graphql', { token, body: { query: '{ tenant { slug } }', operationName: 'ada@acme.example' } });
  await send(url, `/graphql?query=${encodeURIComponent('{ project(id: "Secret Argument") { name } }')}`, { token });
  await send(url, '/sso?email=ada@acme.example', {});
  await send(url, '/scim/v2/Users/ada@acme.example', { token });
}

async function sendStrange(url: string): Promise<void> {
  await send(url, '/graphql', { token: 'not-a-token', body: { query: '{ tenant { slug } }' } });
  await send(url, '/healthz', {});
  await send(url, '/readyz?secretField', {});
  await send(url, '/graphql', {
    token: acme.admin,
    body: { query: 'query Called { tenant { slug } }' },
    headers: {
      traceparent: `00-${CALLER.traceId}-${CALLER.spanId}-01`,
      tracestate: 'of=98765432109',
      baggage: 'who=ada@acme.example',
    },
  });
}

function send(
  url: string,
  path: string,
  of: { token?: string; body?: object; headers?: Record<string, string> },
): Promise<Response> {
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'agent-7',
    ...(of.token === undefined ? {} : { authorization: `Bearer ${of.token}` }),
    ...of.headers,
  };
  return fetch(
    `${url}${path}`,
    of.body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(of.body) },
  );
}

function traceOf(spans: readonly ExportedSpan[], operation: string): ExportedSpan[] {
  const request = spans.find(
    ({ name, attributes }) => name === 'POST /graphql' && attributes['graphql.operation.name'] === operation,
  );
  expect(request).toBeDefined();
  return spans.filter(({ traceId }) => traceId === request?.traceId);
}

function namesOf(spans: readonly ExportedSpan[], scope: string): string[] {
  return spans.filter((span) => span.scope === scope).map(({ name }) => name);
}

function subgraphsOf(spans: readonly ExportedSpan[]): Set<unknown> {
  return new Set(spans.filter(({ name }) => name === 'gateway.fetch').map(({ attributes }) => attributes['service']));
}

function isExecution({ scope, attributes }: ExportedSpan): boolean {
  return scope === GRAPHQL && attributes['graphql.operation.type'] !== undefined;
}

/** Spans come in the order of their ends; until the transaction that reads the credential ends, nobody knows the tenant. */
function afterCredential(trace: readonly ExportedSpan[]): readonly ExportedSpan[] {
  const read = trace.findIndex(({ attributes }) => String(attributes['db.query.text']).includes('from credentials c'));
  const end = trace.findIndex(({ name }, index) => index > read && name.startsWith('pg.query:RESET'));
  expect(read).toBeGreaterThan(-1);
  expect(end).toBeGreaterThan(read);
  return trace.slice(end + 1);
}

function everyParentIn(spans: readonly ExportedSpan[], trace = spans): boolean {
  const ids = new Set(trace.map(({ spanId }) => spanId));
  return spans.every(({ parentSpanId }) => parentSpanId === null || ids.has(parentSpanId));
}

function tenantAttributes({ id, tier, region }: DemoTenant): Record<string, string> {
  return { 'tenant.id': id, 'tenant.tier': tier, 'tenant.region': region };
}
