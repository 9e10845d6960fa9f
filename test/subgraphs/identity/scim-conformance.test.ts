import { beforeAll, describe, expect, it } from 'vitest';
import {
  addUser,
  ENTERPRISE_URN,
  ERROR_URN,
  GROUP_URN,
  LIST_URN,
  openIdentity,
  patch,
  USER_URN,
  type IdentityPlatform,
  type ScimBody,
} from './identity-platform.ts';

// The checks of python-scim/scim2-tester, driven by what the service says of itself.

interface AttributeDocument {
  readonly name: string;
  readonly type: string;
  readonly multiValued: boolean;
  readonly mutability: string;
  readonly returned: string;
  readonly required: boolean;
  readonly canonicalValues?: readonly string[];
  readonly subAttributes?: readonly AttributeDocument[];
}

let world: IdentityPlatform;
let schemas: readonly ScimBody[];
beforeAll(async () => {
  world = await openIdentity();
  schemas = (await get('/Schemas')).body.Resources;
});

const get = (path: string) => world.acme.scim('GET', path);
const attributesOf = (urn: string): readonly AttributeDocument[] =>
  (schemas.find(({ id }) => id === urn)?.['attributes'] ?? []) as AttributeDocument[];

describe('the service', () => {
  it('answers a random address with 404 and an error', async () => {
    const { status, body } = await get('/7d0d5f1e-random');
    expect([status, body.schemas, body.status]).toEqual([404, [ERROR_URN], '404']);
  });

  it('describes itself and takes nothing else there', async () => {
    const { status, body } = await get('/ServiceProviderConfig');
    expect([status, body.schemas]).toEqual([200, ['urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig']]);
    const names = attributesOf('urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig').map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(Object.keys(body).filter((name) => name !== 'schemas' && name !== 'meta')),
    );
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'])
      expect((await world.acme.scim(method, '/ServiceProviderConfig', {})).status).toBe(405);
  });

  it.each(['/Schemas', '/ResourceTypes'])('lists %s and each by its id, and none that is not there', async (path) => {
    const { status, body } = await get(path);
    expect([status, body.schemas, body.totalResults]).toEqual([200, [LIST_URN], body.Resources.length]);
    for (const resource of body.Resources) {
      expect((await get(`${path}/${resource.id}`)).body).toEqual(resource);
      expect(resource.meta.location).toBe(`http://tenon.test/scim/v2${path}/${resource.id}`);
    }
    expect((await get(`${path}/invalid`)).body).toMatchObject({ schemas: [ERROR_URN], status: '404' });
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      expect((await world.acme.scim(method, path, {})).status).toBe(405);
      expect((await world.acme.scim(method, `${path}/invalid`, {})).status).toBe(405);
    }
  });

  it('has the schemas that it has to have, and those its kinds of resource name', async () => {
    const ids = schemas.map(({ id }) => id);
    for (const name of ['ResourceType', 'ServiceProviderConfig', 'Schema', 'User', 'Group'])
      expect(ids).toContain(`urn:ietf:params:scim:schemas:core:2.0:${name}`);
    for (const type of (await get('/ResourceTypes')).body.Resources) {
      expect((await get(`/Schemas/${String(type['schema'])}`)).status).toBe(200);
      for (const { schema } of type['schemaExtensions'] as { schema: string }[])
        expect((await get(`/Schemas/${schema}`)).status).toBe(200);
    }
  });

  it.each(schemaNames())(
    'describes every document of %s that it hands out with its own attributes',
    async (name, path) => {
      const { body } = await get(path);
      const [document] = body.Resources ?? [body];
      const known = attributesOf(`urn:ietf:params:scim:schemas:core:2.0:${name}`);
      for (const [key, value] of Object.entries(document ?? {})) {
        if (['schemas', 'meta', 'id'].includes(key)) continue;
        const attribute = known.find((candidate) => candidate.name === key);
        expect([key, attribute?.multiValued]).toEqual([key, Array.isArray(value)]);
      }
      for (const { name: required } of known.filter((attribute) => attribute.required))
        expect(document).toHaveProperty(required);
    },
  );
});

function schemaNames(): [name: string, path: string][] {
  return [
    ['ServiceProviderConfig', '/ServiceProviderConfig'],
    ['ResourceType', '/ResourceTypes'],
    ['Schema', '/Schemas'],
  ];
}

describe.each([
  ['/Users', { schemas: [USER_URN], userName: 'tester' }, { userName: 'tester 2' }],
  ['/Groups', { schemas: [GROUP_URN], displayName: 'Testers' }, { displayName: 'Testers 2' }],
])('%s', (path, made, replaced) => {
  it('creates, shows, lists, replaces and deletes', async () => {
    const created = await world.acme.scim('POST', path, made);
    expect([created.status, created.headers.get('location')]).toEqual([201, created.body.meta.location]);
    expect((await get(`${path}/${created.body.id}`)).body).toEqual(created.body);
    expect((await get(`${path}?count=200`)).body.Resources.map(({ id }) => id)).toContain(created.body.id);
    const put = await world.acme.scim('PUT', `${path}/${created.body.id}`, replaced);
    expect([put.status, put.body]).toMatchObject([200, replaced]);
    expect((await world.acme.scim('DELETE', `${path}/${created.body.id}`)).status).toBe(204);
    expect((await get(`${path}/${created.body.id}`)).status).toBe(404);
    expect((await get(`${path}?count=200`)).body.Resources.map(({ id }) => id)).not.toContain(created.body.id);
  });

  it('shows what is asked for and hides what is excluded, in one, in a list and in a search', async () => {
    const { body } = await world.acme.scim('POST', path, {
      ...made,
      ...(path === '/Users' ? { userName: 'shown' } : { displayName: 'Shown' }),
      externalId: 'e',
    });
    const search = async (view: object) =>
      (await world.acme.scim('POST', `${path}/.search`, { filter: `id eq "${body.id}"`, ...view })).body.Resources[0];
    const list = async (view: string) =>
      (await get(`${path}?filter=${encodeURIComponent(`id eq "${body.id}"`)}&${view}`)).body.Resources[0];
    const wanted = [
      (await get(`${path}/${body.id}?attributes=externalId`)).body,
      await list('attributes=externalId'),
      await search({ attributes: ['externalId'] }),
    ];
    for (const shown of wanted) expect(Object.keys(shown ?? {}).toSorted()).toEqual(['externalId', 'id', 'schemas']);
    const hidden = [
      (await get(`${path}/${body.id}?excludedAttributes=externalId`)).body,
      await list('excludedAttributes=externalId'),
      await search({ excludedAttributes: ['externalId'] }),
    ];
    for (const shown of hidden) {
      expect(shown).not.toHaveProperty('externalId');
      expect(shown).toHaveProperty('meta');
    }
  });
});

/** A value of the attribute, as scim2-tester makes them up. */
function sample(attribute: AttributeDocument, seed: string): unknown {
  if (attribute.type === 'complex') {
    const parts = (attribute.subAttributes ?? []).filter(isWritable).map((sub) => [sub.name, sample(sub, seed)]);
    const value = Object.fromEntries(parts);
    return attribute.multiValued ? [value] : value;
  }
  if (attribute.type === 'boolean') return seed === 'a';
  if (attribute.type === 'reference') return `https://example.com/${seed}`;
  if (attribute.type === 'binary') return seed === 'a' ? 'YQ==' : 'Yg==';
  return attribute.canonicalValues?.[seed === 'a' ? 0 : 1] ?? `${attribute.name} ${seed}`;
}

function isWritable({ mutability }: AttributeDocument): boolean {
  return mutability === 'readWrite' || mutability === 'immutable';
}

function valueAt(body: ScimBody, urn: string, attribute: AttributeDocument, sub?: AttributeDocument): unknown {
  const holder = (urn === ENTERPRISE_URN ? body[urn] : body) as Record<string, unknown> | undefined;
  const value = holder?.[attribute.name];
  if (sub === undefined) return value;
  const one = Array.isArray(value) ? value[0] : value;
  return (one as Record<string, unknown> | undefined)?.[sub.name];
}

describe.each([USER_URN, ENTERPRISE_URN])('a PATCH over every attribute of %s', (urn) => {
  it('adds, replaces and removes it, and the answer is what is read again', async () => {
    const prefix = `${urn}:`;
    const patchable = attributesOf(urn).filter((attribute) => isWritable(attribute) && attribute.returned !== 'never');
    expect(patchable.length).toBeGreaterThan(5);
    for (const attribute of patchable) {
      const id = await addUser(world.acme, `patched ${attribute.name}`, { active: true });
      for (const [op, seed] of [
        ['add', 'a'],
        ['replace', 'b'],
      ] as const) {
        const value = attribute.name === 'userName' ? `${op} of a name` : sample(attribute, seed);
        const { status, body } = await world.acme.scim(
          'PATCH',
          `/Users/${id}`,
          patch({ op, path: `${prefix}${attribute.name}`, value }),
        );
        expect([attribute.name, op, status, valueAt(body, urn, attribute)]).toEqual([attribute.name, op, 200, value]);
        expect((await get(`/Users/${id}`)).body).toEqual(body);
      }
      const removed = await world.acme.scim(
        'PATCH',
        `/Users/${id}`,
        patch({ op: 'remove', path: `${prefix}${attribute.name}` }),
      );
      if (attribute.required) expect([attribute.name, removed.body.scimType]).toEqual([attribute.name, 'mutability']);
      // Nobody comes back to life by a removal.
      else
        expect([attribute.name, removed.status, valueAt(removed.body, urn, attribute)]).toEqual([
          attribute.name,
          200,
          attribute.name === 'active' ? false : undefined,
        ]);
    }
  });

  it('adds, replaces and removes every part of a complex attribute', async () => {
    const complex = attributesOf(urn).filter(
      (attribute) => isWritable(attribute) && attribute.type === 'complex' && !attribute.multiValued,
    );
    expect(complex.length).toBeGreaterThan(0);
    for (const attribute of complex) {
      for (const sub of (attribute.subAttributes ?? []).filter(isWritable)) {
        const id = await addUser(world.acme, `parts ${attribute.name}.${sub.name}`);
        const path = `${urn}:${attribute.name}.${sub.name}`;
        for (const [op, seed] of [
          ['add', 'a'],
          ['replace', 'b'],
        ] as const) {
          const value = sample(sub, seed);
          const { status, body } = await world.acme.scim('PATCH', `/Users/${id}`, patch({ op, path, value }));
          expect([path, op, status, valueAt(body, urn, attribute, sub)]).toEqual([path, op, 200, value]);
        }
        const removed = await world.acme.scim('PATCH', `/Users/${id}`, patch({ op: 'remove', path }));
        expect([path, removed.status, valueAt(removed.body, urn, attribute, sub)]).toEqual([path, 200, undefined]);
        expect((await get(`/Users/${id}`)).body).toEqual(removed.body);
      }
    }
  });
});

it('a PATCH over every attribute of a group adds, replaces and removes it', async () => {
  const { body } = await world.acme.scim('POST', '/Groups', { displayName: 'Patched group' });
  const [one, two] = [await addUser(world.acme, 'member one'), await addUser(world.acme, 'member two')];
  const path = `/Groups/${body.id}?attributes=displayName,members.value,externalId`;
  const steps: [operation: object, expected: object][] = [
    [{ op: 'replace', path: `${GROUP_URN}:displayName`, value: 'Patched again' }, { displayName: 'Patched again' }],
    [{ op: 'add', path: `${GROUP_URN}:members`, value: [{ value: one }] }, { members: [{ value: one }] }],
    [{ op: 'replace', path: `${GROUP_URN}:members`, value: [{ value: two }] }, { members: [{ value: two }] }],
    [{ op: 'remove', path: `${GROUP_URN}:members` }, { members: [] }],
    [{ op: 'add', path: 'externalId', value: 'e' }, { externalId: 'e' }],
    [{ op: 'remove', path: 'externalId' }, { displayName: 'Patched again' }],
  ];
  for (const [operation, expected] of steps) {
    const answer = await world.acme.scim('PATCH', path, patch(operation));
    expect([answer.status, answer.body]).toMatchObject([200, expected]);
    expect((await get(path)).body).toEqual(answer.body);
  }
});
