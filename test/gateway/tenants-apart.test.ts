import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { sha256Hex } from '#schema/operation-id.ts';
import { codesOf, get, post, type HttpAnswer } from '../support/graphql-http.ts';
import { openHouse, type House } from '../support/house.ts';
import { letRun, partnerKey } from '../support/partner.ts';

type TenantName = 'acme' | 'initech';

/** Registered by both under one client and one id; only one of them registered the other operation. */
const SHARED = 'query Shared { tenant { slug } projects(first: 20) { edges { node { id name } } } }';
const ACMES = 'query Acmes { tenant { slug name } }';
/** Sent by both as automatic persisted queries. */
const AUTOMATIC = 'query Automatic { tenant { id slug } viewer { user { userName } } }';
const LIST =
  '{ tenant { slug } projects(first: 20) { edges { node { id name documents(first: 2) { edges { cursor } } } } } }';

interface Asker {
  readonly member: string;
  readonly key: string;
  /** The id of her project and of the other's. */
  readonly own: string;
  readonly foreign: string;
}

/** What a tenant's requests can be. */
const REQUESTS = {
  list: (house, { member }) => post(house, member, { body: { query: LIST } }),
  'own project': (house, { member, own }) => post(house, member, { body: project(own) }),
  'foreign project': (house, { member, foreign }) => post(house, member, { body: project(foreign) }),
  shared: (house, { key }) => post(house, key, { body: { documentId: sha256Hex(SHARED) } }),
  'by address': (house, { key }) => get(house, key, { path: `/graphql/${sha256Hex(SHARED)}` }),
  hash: (house, { member }) => post(house, member, { body: hashed(AUTOMATIC, false) }),
  acmes: (house, { key }) => post(house, key, { body: { documentId: sha256Hex(ACMES) } }),
  batch: (house, { member, foreign }) => post(house, member, { body: [project(foreign), { query: LIST }] }),
} as const satisfies Record<string, (house: House, asker: Asker) => Promise<HttpAnswer>>;
type Request = keyof typeof REQUESTS;

describe.each(['off', 'on'] as const)('two tenants on one gateway, with coalescing %s', (coalesce) => {
  let house: House;
  let askers: Record<TenantName, Asker>;

  beforeAll(async () => {
    house = await openHouse({ env: { TENON_COALESCE_QUERIES: coalesce } });
    // Both live in one cell.
    const [acme, initech] = [await projectOf('acme'), await projectOf('initech')];
    const scopes = ['tenant:read', 'projects:read'];
    for (const tenant of ['acme', 'initech'] as const)
      await letRun(house, tenant, { client: 'twin', bodies: tenant === 'acme' ? [SHARED, ACMES] : [SHARED] });
    const keyOf = (tenant: TenantName) => partnerKey(house, tenant, { client: 'twin', scopes });
    askers = {
      acme: { member: house.acme.member, key: await keyOf('acme'), own: acme, foreign: initech },
      initech: { member: house.initech.member, key: await keyOf('initech'), own: initech, foreign: acme },
    };
    for (const { member } of Object.values(askers)) await post(house, member, { body: hashed(AUTOMATIC, true) });
  });

  async function projectOf(tenant: TenantName): Promise<string> {
    const query = `mutation { createProject(input: { name: "of ${tenant}" }) { project { id } } }`;
    const { body } = await post(house, house[tenant].member, { body: { query } });
    return (body.data as { createProject: { project: { id: string } } }).createProject.project.id;
  }

  const send = (tenant: TenantName, request: Request) => REQUESTS[request](house, askers[tenant]);

  const expected = (tenant: TenantName, request: Request) => {
    if (request === 'foreign project') return ['"project":null'];
    if (request === 'own project') return [`"name":"of ${tenant}"`];
    if (request === 'acmes') return [tenant === 'acme' ? '"name":"Acme Corporation"' : 'PERSISTED_QUERY_NOT_IN_LIST'];
    if (request === 'hash') return [`"slug":"${tenant}"`, `"userName":"mia@${tenant}.example"`];
    return [`"slug":"${tenant}"`, `"name":"of ${tenant}"`];
  };

  it('never see a thing, a budget or an operation of each other, however they ask at once', async () => {
    const request = fc.tuple(
      fc.constantFrom('acme', 'initech'),
      fc.constantFrom(...(Object.keys(REQUESTS) as Request[])),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 2, maxLength: 12 }), async (requests) => {
        const answers = await Promise.all(
          requests.map(async ([tenant, kind]) => ({ tenant, kind, answer: await send(tenant, kind) })),
        );
        for (const { tenant, kind, answer } of answers) {
          const other = tenant === 'acme' ? 'initech' : 'acme';
          for (const text of expected(tenant, kind)) expect(answer.text).toContain(text);
          expect(answer.text).not.toContain(other);
          expect(answer.text).not.toContain(askers[other].own);
          if (!codesOf(answer.body).includes('PERSISTED_QUERY_NOT_IN_LIST')) {
            expect(answer.headers.get('x-ratelimit-limit')).toBe(tenant === 'acme' ? '10000' : '1000');
          }
        }
      }),
      { numRuns: 15 },
    );
  });

  it('find no automatic query that the other has sent', async () => {
    const query = 'query OnlyOfAcme { tenant { slug tier } }';
    expect((await post(house, house.acme.member, { body: hashed(query, true) })).status).toBe(200);
    const [own, others] = await Promise.all([
      post(house, house.acme.member, { body: hashed(query, false) }),
      post(house, house.initech.member, { body: hashed(query, false) }),
    ]);
    expect(own.body.data).toMatchObject({ tenant: { slug: 'acme' } });
    expect(codesOf(others.body)).toEqual(['PERSISTED_QUERY_NOT_FOUND']);
  });

  it('spend their own budget alone', async () => {
    const left = async (tenant: TenantName) => {
      const { headers } = await post(house, house[tenant].auditor, { body: { query: '{ tenant { slug } }' } });
      return Number(/"tenant-requests";r=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1]);
    };
    const create = { query: 'mutation { createProject(input: { name: "of acme" }) { project { name } } }' };
    const before = await left('initech');
    await Promise.all(Array.from({ length: 60 }, () => post(house, house.acme.admin, { body: create })));
    // The one request that asks is all that it lost.
    expect(await left('initech')).toBeGreaterThanOrEqual(before - 1);
  });
});

function hashed(query: string, withText: boolean) {
  const extensions = { persistedQuery: { version: 1, sha256Hash: sha256Hex(query) } };
  return withText ? { query, extensions } : { extensions };
}

function project(id: string) {
  return { query: 'query ($id: ID!) { project(id: $id) { name } }', variables: { id } };
}
