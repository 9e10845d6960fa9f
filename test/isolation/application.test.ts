import { parse } from 'graphql';
import { beforeAll, describe, expect, it } from 'vitest';
import { apiSchemaOf } from '#kit/api-schema.ts';
import { compose } from '#kit/composition.ts';
import { systemContext } from '#kit/credential.ts';
import { loaderOf } from '#kit/define-subgraph.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { executeSubgraph } from '#kit/subgraph-execution.ts';
import { mintId, type Id } from '#schema/ids.ts';
import { isScope, SCOPES } from '#schema/scopes.ts';
import { openContext, sealContext } from '#schema/tenant-context.ts';
import { subgraphs } from '#subgraphs';
import { openHouse, type House } from '../support/house.ts';
import { CONTEXT_KEYS } from '../support/databases.ts';

const PEOPLE = '{ users(first: 20) { edges { node { id } } } }';

let house: House;
const idsOf = new Map<string, readonly string[]>();

beforeAll(async () => {
  house = await openHouse();
  for (const name of ['acme', 'initech'] as const) {
    const { data } = await house.graphql(house[name].admin, PEOPLE);
    idsOf.set(
      name,
      [...JSON.stringify(data).matchAll(/usr_\w{26}/g)].map(([id]) => id),
    );
  }
});

async function contextOf(name: 'acme' | 'initech'): Promise<RequestContext> {
  const tenant = await systemContext(house.databases, house[name].id as Id<'tnt'>, {
    name: 'test',
    requestId: mintId('req'),
  });
  return requestContext(house.platform, { ...tenant, scopes: Object.keys(SCOPES).filter(isScope) });
}

describe('vector 27, the application between the front door and the database:', () => {
  it('a subgraph finds nothing by the key of another tenant, whatever type the entity is said to have', async () => {
    const ctx = await contextOf('acme');
    const document = parse('query ($of: [_Any!]!) { _entities(representations: $of) { __typename } }');
    const foreign = idsOf.get('initech') ?? [];
    expect(foreign.length).toBeGreaterThan(1);
    for (const subgraph of subgraphs) {
      for (const type of Object.keys(subgraph.references)) {
        const of = foreign.map((id) => ({ __typename: type, id }));
        const { data } = await executeSubgraph(subgraph, { document, variables: { of } }, ctx);
        expect([type, data?.['_entities']]).toEqual([type, of.map(() => null)]);
      }
    }
    const own = (idsOf.get('acme') ?? []).map((id) => ({ __typename: 'User', id }));
    const [identity] = subgraphs;
    if (identity === undefined) throw new Error('there is a first subgraph');
    const { data } = await executeSubgraph(identity, { document, variables: { of: own } }, ctx);
    expect(data?.['_entities']).toEqual(own.map(() => ({ __typename: 'User' })));
  });

  it('loaders are of one request: what one has loaded is loaded anew for the next, and by her own key alone', async () => {
    const loads: string[] = [];
    const find = async (ctx: RequestContext, ids: readonly string[]) => {
      loads.push(`${ctx.tenant.tenant} ${ids.join()}`);
      return ids.map((id) => ({ id, of: ctx.tenant.tenant }));
    };
    const [a, b] = [await contextOf('acme'), await contextOf('initech')];
    const answers = await Promise.all([a, b, a].map((ctx) => loaderOf(ctx, 'Thing', find).load('same')));
    expect(answers.map((one) => (one as { of: string }).of)).toEqual([
      a.tenant.tenant,
      b.tenant.tenant,
      a.tenant.tenant,
    ]);
    expect(loads.toSorted()).toEqual([`${a.tenant.tenant} same`, `${b.tenant.tenant} same`].toSorted());
  });

  it('the very same query of two tenants at the very same moment is answered to each by her own rows', async () => {
    const names = Array.from({ length: 120 }, (_, at) => (at % 2 === 0 ? ('acme' as const) : ('initech' as const)));
    const answers = await Promise.all(names.map((name) => house.graphql(house[name].admin, PEOPLE)));
    for (const [at, { data }] of answers.entries()) {
      const seen = [...JSON.stringify(data).matchAll(/usr_\w{26}/g)].map(([id]) => id);
      expect(seen).toEqual(idsOf.get(names[at] ?? 'acme'));
    }
  });

  it('an automatic query of one tenant is unknown to the other, and a tenant header changes nothing', async () => {
    const { createHash } = await import('node:crypto');
    const query = '{ viewer { scopes } } # of acme';
    const sha256Hash = createHash('sha256').update(query).digest('hex');
    const ask = (token: string, more: object, headers = {}) =>
      house.fetch(token, '/graphql', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ ...more, extensions: { persistedQuery: { version: 1, sha256Hash } } }),
      });
    expect((await ask(house.acme.admin, { query })).status).toBe(200);
    expect(await (await ask(house.acme.admin, {})).json()).toHaveProperty('data.viewer');
    const other = (await (await ask(house.initech.admin, {})).json()) as { errors: { extensions: { code: string } }[] };
    expect(other.errors[0]?.extensions.code).toBe('PERSISTED_QUERY_NOT_FOUND');
    const forged = { 'x-tenant-id': house.initech.id, 'tenon-tenant': house.initech.id, 'tenant-id': house.initech.id };
    const { data } = (await (
      await house.fetch(house.acme.admin, '/graphql', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...forged },
        body: JSON.stringify({ query: '{ tenant { id } }' }),
      })
    ).json()) as { data: { tenant: { id: string } } };
    expect(data.tenant.id).toBe(house.acme.id);
  });

  it('the envelope that carries a context between processes cannot be rewritten for another tenant', async () => {
    const { tenant } = await contextOf('acme');
    const sealed = sealContext(tenant, CONTEXT_KEYS, Date.now()).split('.');
    const changed = JSON.stringify({ ...tenant, tenant: house.initech.id });
    const forged = sealed.with(3, Buffer.from(changed).toString('base64url')).join('.');
    expect(() => openContext(forged, CONTEXT_KEYS, Date.now())).toThrow(/not signed by us/);
    expect(openContext(sealed.join('.'), CONTEXT_KEYS, Date.now()).tenant).toBe(house.acme.id);
  });

  it('nobody can subscribe to anything: there are no subscriptions that could be sent to the wrong one', async () => {
    expect(apiSchemaOf(compose(subgraphs)).schema.getSubscriptionType()).toBeUndefined();
    const { errors } = await house.graphql(house.acme.admin, 'subscription { viewer { scopes } }');
    expect(errors?.length).toBeGreaterThan(0);
  });
});
