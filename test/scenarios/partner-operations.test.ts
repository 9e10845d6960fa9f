import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readArguments, type Command } from '#kit/command.ts';
import { sha256Hex } from '#schema/operation-id.ts';
import { operationCommands } from '../../compliance/commands-operations.ts';
import { openHouse, type House } from '../support/house.ts';
import { apolloManifest } from '../subgraphs/tenants/operations-fixture.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const CREATE_KEY = 'mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { token } }';
const OWN = 'query Own { tenant { slug } }';
const SLOW = 'query Slow { projects(first: 3) { edges { node { name } } } }';
const CREATE = 'mutation Create($input: CreateProjectInput!) { createProject(input: $input) { project { name } } }';

const folder = temporaryFolder('operations');
const manifest = join(folder, 'manifest.json');
writeFileSync(manifest, apolloManifest([OWN, SLOW, CREATE]));
const SUPERGRAPH = readFileSync(new URL('../../schema/graphql/supergraph.graphql', import.meta.url), 'utf8');

let house: House;
let partner = '';
beforeAll(async () => {
  house = await openHouse();
  partner = await keyOf('acme', 'newcomer', ['tenant:read', 'projects:read', 'projects:write']);
});

async function keyOf(tenant: 'acme' | 'globex', client: string, scopes: readonly string[]): Promise<string> {
  const answer = await house.graphql(house[tenant].admin, CREATE_KEY, { input: { name: client, client, scopes } });
  return (answer.data as unknown as { createApiKey: { token: string } }).createApiKey.token;
}

/** Runs a command as the program does, over the platform of the house. */
async function tenon(words: string, options: Readonly<Record<string, string>> = {}, json = false) {
  const command = operationCommands.find(({ name }) => name === words) as Command;
  const lines: string[] = [];
  const argv = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const surroundings = { json, write: (line: string) => void lines.push(line), platform: async () => house.platform };
  const code = await command.run(surroundings, readArguments(command, argv));
  return { code, out: lines.join('\n') };
}
const door = (key: string) => ({ url: house.url, key });

async function run(token: string, path: string, init: RequestInit = {}) {
  const response = await house.fetch(token, path, init);
  const body = (await response.json()) as {
    data?: unknown;
    errors?: { message: string; extensions: { code: string } }[];
  };
  return {
    status: response.status,
    headers: response.headers,
    data: body.data,
    code: body.errors?.[0]?.extensions.code,
  };
}
const post = (token: string, body: object, headers: Record<string, string> = {}) =>
  run(token, '/graphql', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
const get = (token: string, path: string) => run(token, path, { headers: { 'apollo-require-preflight': '1' } });
const own = { documentId: sha256Hex(OWN) };

describe("a partner's operations, step by step,", () => {
  it('are registered from her manifest and do not run yet', async () => {
    const { code, out } = await tenon('operations register', {
      ...door(house.acme.admin),
      client: 'newcomer',
      manifest,
    });
    expect([code, out.split('\n').length]).toEqual([0, 4]);
    expect(out).toMatch(/PENDING {2}newcomer {2}Own {2}[0-9a-f]{64} {2}max 1 points\n/);
    expect(out).toMatch(/\n3 registered; manifest [0-9a-f]{64}$/);
    expect(await post(partner, own)).toMatchObject({ status: 403, code: 'PERSISTED_QUERY_NOT_IN_LIST' });
  });

  it('are refused as a whole where one is wrong, with a verdict that names it', async () => {
    const wrong = join(folder, 'wrong.json');
    writeFileSync(wrong, apolloManifest([SLOW, 'query Gone { tenant { secret } }']));
    const { code, out } = await tenon('operations register', {
      ...door(house.acme.admin),
      client: 'x',
      manifest: wrong,
    });
    expect(code).toBe(1);
    expect(out).toMatch(/Gone .*Cannot query field "secret"/);
  });

  it('run once an administrator approved them: by POST, by GET and by address', async () => {
    const pending = await tenon(
      'operations list',
      { ...door(house.acme.admin), client: 'newcomer', state: 'PENDING' },
      true,
    );
    const [first] = JSON.parse(pending.out) as { manifestFingerprint: string }[];
    const manifestFingerprint = first?.manifestFingerprint ?? '';
    expect((await tenon('operations approve', { ...door(house.acme.admin), manifest: manifestFingerprint })).code).toBe(
      0,
    );
    expect(await post(partner, own)).toMatchObject({ status: 200, data: { tenant: { slug: 'acme' } } });
    for (const path of [`/graphql?documentId=sha256:${own.documentId}`, `/graphql/${own.documentId}`]) {
      const answer = await get(partner, path);
      expect(answer).toMatchObject({ status: 200, data: { tenant: { slug: 'acme' } } });
      expect(answer.headers.get('cache-control')).toMatch(/^private, max-age=\d+$/);
      expect(answer.headers.get('vary')).toContain('authorization');
    }
    const variables = { input: { name: 'Hers' } };
    const documentId = sha256Hex(CREATE);
    expect(await post(partner, { documentId, variables })).toMatchObject({
      data: { createProject: { project: { name: 'Hers' } } },
    });
    const byGet = `/graphql/${documentId}?variables=${encodeURIComponent(JSON.stringify(variables))}`;
    expect(await get(partner, byGet)).toMatchObject({ status: 405, code: 'METHOD_NOT_ALLOWED' });
  });

  it('are hers alone: a header makes no other client of her, and nobody else finds them', async () => {
    const theirs = JSON.parse(
      readFileSync(new URL('../../schema/operations/partner-app.json', import.meta.url), 'utf8'),
    ) as { operations: { id: string }[] };
    const claim = { 'apollographql-client-name': 'partner-app', 'graphql-client-name': 'partner-app' };
    const documentId = theirs.operations[0]?.id;
    expect(await post(partner, { documentId }, claim)).toMatchObject({ code: 'PERSISTED_QUERY_NOT_IN_LIST' });
    expect(await post(partner, own, claim)).toMatchObject({ status: 200 });
    const twin = await keyOf('globex', 'newcomer', ['tenant:read']);
    for (const token of [house.acme.partner, twin]) {
      const answer = await post(token, own, { 'apollographql-client-name': 'newcomer' });
      expect(answer).toMatchObject({ code: 'PERSISTED_QUERY_NOT_IN_LIST' });
    }
    expect(await post(partner, { query: OWN })).toMatchObject({ status: 400, code: 'PERSISTED_QUERY_ID_REQUIRED' });
  });

  it('cost no more than they were registered with, whatever their variables', async () => {
    const list = 'query List($first: Int! = 20) { projects(first: $first) { edges { node { name } } } }';
    const bounded = join(folder, 'bounded.json');
    writeFileSync(bounded, apolloManifest([list], { maxCost: 60 }));
    const options = { ...door(house.acme.admin), client: 'newcomer', manifest: bounded };
    const { out } = await tenon('operations register', options, true);
    const { manifestFingerprint } = JSON.parse(out) as { manifestFingerprint: string };
    await tenon('operations approve', { ...door(house.acme.admin), manifest: manifestFingerprint });
    const documentId = sha256Hex(list);
    expect(await post(partner, { documentId, variables: { first: 20 } })).toMatchObject({ status: 200 });
    expect(await post(partner, { documentId, variables: { first: 100 } })).toMatchObject({
      code: 'COST_ESTIMATED_TOO_EXPENSIVE',
    });
  });

  it('hold a new supergraph back that would break one, and name it', async () => {
    const supergraph = join(folder, 'supergraph.graphql');
    writeFileSync(supergraph, SUPERGRAPH);
    const good = await tenon('operations check', { supergraph });
    expect(good.out).toMatch(/^\d+ operations checked, 0 would break$/);
    expect(good.code).toBe(0);
    writeFileSync(supergraph, SUPERGRAPH.replaceAll(/(type (?:Tenant|TenantPlace) [\s\S]*?\n {2})slug:/g, '$1label:'));
    const { code, out } = await tenon('operations check', { supergraph }, true);
    expect(code).toBe(1);
    const reason = 'Cannot query field "slug" on type "Tenant".';
    expect((JSON.parse(out) as { broken: object[] }).broken).toContainEqual({
      tenant: 'acme',
      client: 'newcomer',
      id: own.documentId,
      name: 'Own',
      reason,
    });
  });

  it('end when they are revoked, and the tenant finds each step in her log', async () => {
    const { out } = await tenon('operations list', { ...door(house.acme.admin), client: 'newcomer' }, true);
    const found = JSON.parse(out) as { id: string; name: string }[];
    const id = found.find(({ name }) => name === 'Own')?.id ?? '';
    const { code, out: revoked } = await tenon('operations revoke', { ...door(house.acme.admin), id });
    expect([code, revoked]).toEqual([0, expect.stringMatching(/REVOKED {2}newcomer {2}Own/)]);
    expect(await post(partner, own)).toMatchObject({ status: 403, code: 'PERSISTED_QUERY_NOT_IN_LIST' });
    expect(await post(partner, { documentId: sha256Hex(SLOW) })).toMatchObject({ status: 200 });
  });

  it('can be kept by a machine with a key of its own, which cannot approve what it registered', async () => {
    const scopes = ['tenant:read', 'operations:write', 'operations:approve'];
    const machine = await keyOf('acme', 'tenon-cli', scopes);
    const { out } = await tenon('operations register', { ...door(machine), client: 'robot', manifest }, true);
    const { manifestFingerprint } = JSON.parse(out) as { manifestFingerprint: string };
    const approval = tenon('operations approve', { ...door(machine), manifest: manifestFingerprint });
    await expect(approval).rejects.toMatchObject({ code: 'FORBIDDEN' });
    const second = await keyOf('acme', 'tenon-cli', scopes);
    expect((await tenon('operations approve', { ...door(second), manifest: manifestFingerprint })).code).toBe(0);
  });
});

describe('an Apollo client of the platform itself', () => {
  it('sends a hash alone, is told to send the text beside it, and from then on needs the hash', async () => {
    const extensions = { persistedQuery: { version: 1, sha256Hash: sha256Hex(OWN) } };
    const first = await house.fetch(house.acme.member, '/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ extensions }),
    });
    const { errors } = (await first.json()) as { errors: { message: string; extensions: { code: string } }[] };
    expect(first.status).toBe(200);
    expect(errors[0]).toMatchObject({
      message: 'PersistedQueryNotFound',
      extensions: { code: 'PERSISTED_QUERY_NOT_FOUND' },
    });
    expect(await post(house.acme.member, { query: OWN, extensions })).toMatchObject({ status: 200 });
    expect(await post(house.acme.member, { extensions })).toMatchObject({ data: { tenant: { slug: 'acme' } } });
    expect(await post(house.globex.member, { extensions })).toMatchObject({ code: 'PERSISTED_QUERY_NOT_FOUND' });
    expect(await post(house.acme.member, { query: SLOW, extensions })).toMatchObject({
      status: 400,
      code: 'BAD_REQUEST',
    });
  });
});
