import { parse, print, visit } from 'graphql';
import { describe, expect, it, vi } from 'vitest';
import { compose } from '#kit/composition.ts';
import { sha256Hex } from '#schema/operation-id.ts';
import { subgraphs } from '#subgraphs';
import { codesOf, post, twice } from '../support/graphql-http.ts';
import { openHouse } from '../support/house.ts';
import { openOperator } from '../support/operator.ts';
import { letRun, partnerKey } from '../support/partner.ts';
import { withClient } from '../support/postgres.ts';
import { untilRunning } from '../support/statements.ts';

const WHOLE = compose(subgraphs);
/** The same without the name of a tenant, which no operation of the platform's own asks for. */
const SMALLER = without('Tenant', 'name');

function without(type: string, field: string): string {
  return print(
    visit(parse(WHOLE), {
      ObjectTypeDefinition: (node) =>
        node.name.value === type
          ? { ...node, fields: (node.fields ?? []).filter(({ name }) => name.value !== field) }
          : undefined,
    }),
  );
}

const house = await openHouse();
const { gateway } = house;
const ask = (query: string, token = house.acme.member) => post(house, token, { body: { query } });
const NAME = '{ tenant { name } }';

describe('a supergraph that takes the place of another', () => {
  it('is there at once: what it adds can be asked for, what it lacks cannot', async () => {
    expect((await ask(NAME)).body.data).toEqual({ tenant: { name: 'Acme Corporation' } });
    await gateway.reload(SMALLER);
    for (const query of [NAME, '{ again: tenant { name } }'])
      expect(codesOf((await ask(query)).body)).toEqual(['GRAPHQL_VALIDATION_FAILED']);
    expect((await ask('{ tenant { slug } }')).body.data).toEqual({ tenant: { slug: 'acme' } });
    await gateway.reload(WHOLE);
    for (const query of [NAME, '{ again: tenant { name } }']) expect((await ask(query)).body.errors).toBeUndefined();
  });

  it('lets requests under way finish on the one that they began with', async () => {
    const query = '{ projects(first: 1) { edges { cursor } } tenant { name } }';
    const answers = await withClient(house.stores.url('eu-1'), async (other) => {
      await other.query('begin');
      await other.query('lock table app.projects in access exclusive mode');
      const unknown = ask(query);
      await untilRunning(house.stores, 'projects');
      await gateway.reload(SMALLER);
      await other.query('rollback');
      return [await unknown, await ask(query)];
    });
    expect(answers[0]?.body).toMatchObject({ data: { projects: { edges: [] }, tenant: { name: 'Acme Corporation' } } });
    expect(codesOf(answers[1]?.body ?? {})).toEqual(['GRAPHQL_VALIDATION_FAILED']);
    await gateway.reload(WHOLE);
  });

  it('drops no request of twenty clients while it is replaced ten times', async () => {
    const operate = await openOperator(house);
    const much = { capacity: 1_000_000, restorePerSecond: 10_000 };
    const subject = { requests: much, points: { query: much, mutation: much } };
    const tenantId = house.acme.id;
    await operate('SetTenantLimits', { tenantId, concurrency: 100, tenant: subject, user: subject });
    const load = { goesOn: true, unseen: 0, answered: 0 };
    const clients = Array.from({ length: 20 }, async (_, client) => {
      const seen: string[] = [];
      while (load.goesOn) {
        // A known one, one that nobody has sent before, and one that changes something.
        const queries = [
          '{ tenant { slug } }',
          `{ t${(load.unseen += 1)}: tenant { slug } viewer { scopes } }`,
          'mutation { createProject(input: { name: "n" }) { project { name } } }',
        ];
        for (const query of queries) {
          const { status, body } = await ask(query, client % 2 === 0 ? house.acme.member : house.acme.admin);
          seen.push(`${status} ${codesOf(body).join()}`);
          load.answered += 1;
        }
      }
      return seen;
    });
    try {
      for (let time = 0; time < 10; time++) {
        const before = load.answered;
        await gateway.reload(time % 2 === 0 ? SMALLER : WHOLE);
        await vi.waitFor(() => expect(load.answered).toBeGreaterThan(before + 20), 10_000);
      }
    } finally {
      load.goesOn = false;
    }
    const seen = (await Promise.all(clients)).flat();
    expect(new Set(seen)).toEqual(new Set(['200 ']));
  });
});

describe('a supergraph that cannot be served', () => {
  it.each([
    ['is no GraphQL', 'type Query {', /Syntax Error/],
    ['is no supergraph', 'type Query { a: Int }', /./],
    ['lacks what the platform registers for its own clients', without('Query', 'projects'), /"projects"/],
  ])('since it %s is refused, and the one before stays', async (why, sdl, reason) => {
    await expect(gateway.reload(sdl)).rejects.toThrow(reason);
    expect((await ask(NAME)).body.data).toEqual({ tenant: { name: 'Acme Corporation' } });
    expect((await ask(`{ ${why.replaceAll(/\W/g, '_')}: tenant { name } }`)).status).toBe(200);
  });

  it('since it breaks an approved operation is refused by the name of that, and the operation goes on', async () => {
    const body = 'query Called { tenant { name } }';
    await letRun(house, 'globex', { client: 'newcomer', bodies: [body] });
    const key = await partnerKey(house, 'globex', { client: 'newcomer', scopes: ['tenant:read'] });
    const documentId = sha256Hex(body);
    await expect(gateway.reload(SMALLER)).rejects.toMatchObject({
      code: 'CONFLICT',
      message: `it breaks the operation ${documentId} of newcomer in globex: Cannot query field "name" on type "Tenant".`,
    });
    await twice(async () => {
      expect((await post(house, key, { body: { documentId } })).body.data).toEqual({ tenant: { name: 'Globex' } });
    });
    // Nobody is bound by what was never approved, or is no longer.
    await gateway.reload(without('Tenant', 'createdAt'));
    await gateway.reload(WHOLE);
  });
});
