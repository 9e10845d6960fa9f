import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedPostgres } from '#kit/embedded-postgres.ts';
import { parseVerifierKey } from '#schema/signed-note.ts';
import { verifyCertificate } from '../../compliance/privacy/verify-certificate.ts';
import {
  credentialsOf,
  openSink,
  startOutside,
  until,
  type DemoCredentials,
  type OutsidePlatform,
  type Sink,
} from './outside-platform.ts';
import { freePort } from '../support/programs.ts';
import { found, foundInFiles, membersHolding, tablesHolding } from './traces-of.ts';

/** Words that stand nowhere but in what is hers: name, address, network address, browser. */
const WORDS = ['quillonia', 'vexworthy', '203.0.113.77', 'zyxobrowser'];
const USERS_OF_THE_DAY = ['populations/users-present.csv', 'populations/users-present.ndjson'];
const EMAIL = 'Quillonia.Vexworthy@example.com';
const HERS = { 'user-agent': 'Zyxobrowser/9.9', 'x-forwarded-for': '203.0.113.77' };

const folder = mkdtempSync(join(tmpdir(), 'tenon-outside-'));
const homes = { live: join(folder, 'live'), backup: join(folder, 'backup') };
const archive = join(folder, 'archive');
const outputs: (() => string)[] = [];
const exported: Buffer[] = [];
let platform: OutsidePlatform;
let workerPort: number;
let acme: DemoCredentials;
let receiver: Sink;
let collector: Sink;
let person: string;
let herPack: string;

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Everything that a process can be made to say is said: there is no level of logging to be raised. */
async function start(home: string): Promise<OutsidePlatform> {
  const started = await startOutside({
    TENON_HOME: home,
    ARCHIVE_URL: `file://${archive}`,
    TENON_TRUSTED_PROXIES: '127.0.0.0/8',
    TENON_SEAL_INTERVAL_MS: '200',
    TENON_BACKUP_DAYS: '30',
    TENON_WORKER_PORT: String(workerPort),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  });
  outputs.push(() => started.output());
  return started;
}

async function call(
  token: string | null,
  path: string,
  { method = 'GET', body, headers = {} }: { method?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<{ readonly status: number; readonly bytes: Buffer }> {
  const response = await fetch(`${platform.url}${path}`, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, bytes: Buffer.from(await response.arrayBuffer()) };
}

async function graphql<Data>(token: string, query: string, input: object = {}, headers = {}): Promise<Data> {
  const { bytes } = await call(token, '/graphql', { method: 'POST', body: { query, variables: { input } }, headers });
  const { data, errors } = JSON.parse(bytes.toString()) as { data: Data; errors?: object[] };
  expect(errors, query).toBeUndefined();
  return data;
}

/** She is brought in, signs in, works, is spoken of, and fails at things. */
async function liveHerLife(): Promise<void> {
  const created = await call(acme.scim, '/scim/v2/Users', {
    method: 'POST',
    headers: { 'content-type': 'application/scim+json' },
    body: {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
      userName: EMAIL,
      name: { givenName: 'Quillonia', familyName: 'Vexworthy' },
      displayName: 'Quillonia Vexworthy',
      emails: [{ primary: true, value: EMAIL, type: 'work' }],
      active: true,
    },
  });
  expect(created.status).toBe(201);
  person = (JSON.parse(created.bytes.toString()) as { id: string }).id;
  const { roles } = await graphql<{ roles: { id: string; name: string }[] }>(acme.admin, '{ roles { id name } }');
  const roleId = roles.find(({ name }) => name === 'admin')?.id;
  await graphql(acme.admin, 'mutation ($input: UserRoleInput!) { grantRole(input: $input) { user { id } } }', {
    userId: person,
    roleId,
  });
  const session = await signIn();
  const { createProject } = await graphql<{ createProject: { project: { id: string } } }>(
    session,
    'mutation ($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }',
    { name: 'hers' },
    HERS,
  );
  const { createDocument } = await graphql<{ createDocument: { document: { id: string } } }>(
    session,
    'mutation ($input: CreateDocumentInput!) { createDocument(input: $input) { document { id } } }',
    { projectId: createProject.project.id, name: 'a document' },
    HERS,
  );
  await graphql(
    acme.admin,
    'mutation ($input: ShareDocumentInput!) { shareDocument(input: $input) { share { id } } }',
    { documentId: createDocument.document.id, to: EMAIL, permission: 'VIEW' },
  );
  await speakOfHer(session);
  await fail(session);
}

async function signIn(): Promise<string> {
  const { createSignInLink } = await graphql<{ createSignInLink: { url: string } }>(
    acme.admin,
    'mutation ($input: UserInput!) { createSignInLink(input: $input) { url } }',
    { userId: person },
  );
  const { bytes } = await call(null, '/sso/link', {
    method: 'POST',
    body: { token: new URL(createSignInLink.url).searchParams.get('token') },
    headers: HERS,
  });
  return (JSON.parse(bytes.toString()) as { token: string }).token;
}

/** Where others have written her name or address down. */
async function speakOfHer(session: string): Promise<void> {
  const view = 'mutation ($input: CreateAuditViewInput!) { createAuditView(input: $input) { view { id } } }';
  await graphql(acme.admin, view, { name: 'doings of one', shared: true, filter: { text: EMAIL } });
  await graphql(session, view, { name: 'mine', filter: { action: ['user.*'] } }, HERS);
  await graphql(acme.admin, `{ auditEvents(first: 5, filter: { text: "${EMAIL}" }) { edges { node { id } } } }`);
  const usage = await call(acme.partner, '/v1/usage', {
    method: 'POST',
    body: [
      {
        metric: 'tokens_used',
        value: 1,
        timestamp: new Date().toISOString(),
        idempotency: `req_${'0'.repeat(25)}1`,
        user_id: person,
        metadata: { note: 'for Quillonia' },
      },
    ],
  });
  expect(usage.status, usage.bytes.toString()).toBe(200);
}

/** Errors are what logs are full of. */
async function fail(session: string): Promise<void> {
  const create = 'mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }';
  for (const input of [
    { userName: EMAIL, displayName: 'Quillonia Vexworthy', email: EMAIL },
    { userName: EMAIL, displayName: 'Quillonia '.repeat(100), email: EMAIL },
    { userName: 7, displayName: EMAIL },
  ])
    await call(session, '/graphql', { method: 'POST', body: { query: create, variables: { input } }, headers: HERS });
  const attempts = [
    ['/graphql', { query: `{ quillonia(vexworthy: "${EMAIL}") { id } }` }],
    ['/graphql', `{ broken ${EMAIL}`],
    ['/scim/v2/Users', { userName: EMAIL }],
    ['/sso/link', { token: EMAIL }],
    ['/v1/usage', [{ metric: EMAIL, value: 'Quillonia' }]],
  ] as const;
  for (const [path, body] of attempts)
    for (const token of [session, acme.scim, acme.partner, `wrong-${EMAIL}`, null])
      await call(token, path, { method: 'POST', body, headers: HERS });
  for (const path of [
    `/sso?email=${encodeURIComponent(EMAIL)}`,
    `/scim/v2/Users?filter=${encodeURIComponent(`userName eq "${EMAIL}"`)}`,
    `/v1/audit/events.csv?text=${encodeURIComponent(EMAIL)}`,
    `/v1/evidence/${EMAIL}`,
  ])
    for (const token of [session, acme.scim, null]) await call(token, path, { headers: HERS });
}

async function exportEverything(): Promise<void> {
  const everything = { from: new Date(Date.now() - 86_400_000).toISOString(), to: new Date().toISOString() };
  const request = `mutation ($input: RequestEvidenceInput!) { requestEvidence(input: $input) { pack { id } } }`;
  const packs: string[] = [];
  for (const input of [
    { kind: 'SOC2', ...everything },
    { kind: 'GDPR_ACCESS', subject: person, ...everything },
  ]) {
    const { requestEvidence } = await graphql<{ requestEvidence: { pack: { id: string } } }>(
      acme.admin,
      request,
      input,
    );
    packs.push(requestEvidence.pack.id);
  }
  const [soc2, access] = packs;
  await until('the packs', async () => {
    const answers = await Promise.all(packs.map((id) => call(acme.admin, `/v1/evidence/${id}/pack.zip`)));
    return answers.every(({ status }) => status === 200);
  });
  exported.push((await call(acme.admin, `/v1/evidence/${soc2}/pack.zip`)).bytes);
  herPack = access ?? '';
  // What she herself is given is in plain text: the proof that this test finds what is there.
  expect(found((await call(acme.admin, `/v1/evidence/${access}/pack.zip`)).bytes, WORDS)).toEqual(WORDS);
  for (const form of ['ndjson', 'csv']) {
    const { status, bytes } = await call(acme.admin, `/v1/audit/events.${form}`);
    expect(status).toBe(200);
    expect(bytes.includes(person)).toBe(true);
    exported.push(bytes);
  }
}

describe('a person who is erased from a whole platform', () => {
  beforeAll(async () => {
    [receiver, collector] = [await openSink(), await openSink()];
    workerPort = await freePort();
    platform = await start(homes.live);
    acme = credentialsOf(homes.live, 'acme');
    await graphql(
      acme.admin,
      'mutation ($input: CreateAuditStreamInput!) { createAuditStream(input: $input) { stream { id } } }',
      { name: 'out', kind: 'WEBHOOK', endpoint: receiver.url, start: 'BEGINNING' },
    );
    await liveHerLife();
    await exportEverything();
    await until('the stream', async () => receiver.received().includes(person));
    await platform.stop();
    cpSync(homes.live, homes.backup, { recursive: true });
    platform = await start(homes.live);
  }, 240_000);

  it('stands until then in no audit database, and in the cell where her account is', async () => {
    // The words are there to be found.
    const holding = await inCopyOf(homes.backup, async (url) => ({
      cell: await tablesHolding(url('cell_eu_1'), WORDS),
      audit: await tablesHolding(url('audit_eu_1'), WORDS),
      directory: await tablesHolding(url('directory'), WORDS),
    }));
    expect(holding).toEqual({
      cell: ['app.audit_views', 'app.document_shares', 'app.sessions', 'app.usage_events', 'app.users'],
      audit: [],
      directory: [],
    });
  }, 60_000);

  it('stands afterwards in no table, archive, export, stream, log line or trace, and a certificate says so', async () => {
    await eraseHer();
    expect(found(Buffer.concat(exported.slice(1)), WORDS)).toEqual([]);
    // An auditor was handed the list of those who had an account that day; the log beside it is sealed.
    expect(membersHolding(exported[0] ?? Buffer.alloc(0), WORDS)).toEqual(USERS_OF_THE_DAY);
    expect(found(receiver.received(), WORDS)).toEqual([]);
    expect(collector.received().length).toBeGreaterThan(1000);
    expect(found(collector.received(), WORDS)).toEqual([]);
    expect(foundInFiles(archive, WORDS)).toEqual([]);
    expect((await call(acme.admin, `/v1/evidence/${herPack}/pack.zip`)).status).not.toBe(200);
    const metrics = await call(null, '/metrics');
    expect(found(metrics.bytes, WORDS)).toEqual([]);
    const counted = await workerMetrics();
    expect(counted).toContain('tenon_worker_erasures_completed_total{cell="eu-1"} 1\n');
    expect(counted).toContain('tenon_worker_alarms{cell="eu-1"} 0\n');
    for (const word of [...WORDS, 'tnt_', 'usr_', 'acme']) expect(counted.toLowerCase()).not.toContain(word);
    await platform.stop();
    for (const output of outputs) expect(found(Buffer.from(output(), 'latin1'), WORDS)).toEqual([]);
    const holding = await inCopyOf(homes.live, everyTable);
    expect(holding).toEqual([]);
  }, 120_000);

  it('is gone again where a backup from before is restored on another server', async () => {
    platform = await start(homes.backup);
    await until('that she is gone again', async () => {
      const { status } = await call(acme.scim, `/scim/v2/Users/${person}`);
      return status === 404;
    });
    await until('her packs and the platform log', async () => {
      const { bytes } = await call(acme.admin, '/graphql', {
        method: 'POST',
        body: { query: '{ erasures(first: 5) { edges { node { state subject { id } } } } }' },
      });
      return bytes.includes('"ERASED"') && bytes.includes(person);
    });
    // The count follows when the whole turn is over.
    const reapplied = 'tenon_worker_erasures_reapplied_total{cell="eu-1"} 1\n';
    await until('the count', async () => (await workerMetrics()).includes(reapplied));
    await platform.stop();
    expect(await inCopyOf(homes.backup, everyTable)).toEqual([]);
    for (const output of outputs) expect(found(Buffer.from(output(), 'latin1'), WORDS)).toEqual([]);
  }, 180_000);
});

async function workerMetrics(): Promise<string> {
  return (await fetch(`http://127.0.0.1:${workerPort}/metrics`)).text();
}

async function eraseHer(): Promise<void> {
  const { eraseSubject } = await graphql<{ eraseSubject: { erasure: { id: string } } }>(
    acme.admin,
    'mutation ($input: EraseSubjectInput!) { eraseSubject(input: $input) { erasure { id } } }',
    { userId: person, basis: 'CONSENT_WITHDRAWN', request: 'DSR-77' },
  );
  const path = `/v1/audit/erasures/${eraseSubject.erasure.id}/certificate`;
  await until('the certificate', async () => (await call(acme.admin, path)).status === 200);
  const { bytes } = await call(acme.admin, path);
  const keys = JSON.parse((await call(null, '/.well-known/tenon/keys')).bytes.toString()) as {
    keys: { verifierKey: string }[];
  };
  const { erasure } = verifyCertificate(
    bytes,
    keys.keys.map(({ verifierKey }) => parseVerifierKey(verifierKey)),
  );
  expect(erasure).toMatchObject({ person, request: 'DSR-77' });
  expect(Date.parse(erasure.backups_until ?? '') - Date.parse(erasure.erased_at)).toBe(30 * 86_400_000);
  expect(found(bytes, WORDS)).toEqual([]);
}

/** Lets a database server of its own serve the stopped platform's data for a while. */
async function inCopyOf<T>(home: string, work: (url: (database: string) => string) => Promise<T>): Promise<T> {
  const copy = mkdtempSync(join(folder, 'copy-'));
  cpSync(join(home, 'postgres'), join(copy, 'postgres'), { recursive: true });
  cpSync(join(home, 'postgres.password'), join(copy, 'postgres.password'));
  rmSync(join(copy, 'postgres', 'postmaster.pid'), { force: true });
  const server = await startEmbeddedPostgres({ dataDir: join(copy, 'postgres'), durable: false, log: () => undefined });
  try {
    return await work(server.superuserUrl);
  } finally {
    await server.stop();
    rmSync(copy, { recursive: true, force: true });
  }
}

async function everyTable(url: (database: string) => string): Promise<string[]> {
  const databases = ['directory', 'cell_eu_1', 'audit_eu_1', 'cell_us_1', 'audit_us_1'];
  const holding = await Promise.all(
    databases.map(async (name) => (await tablesHolding(url(name), WORDS)).map((table) => `${name} ${table}`)),
  );
  return holding.flat();
}
