import { beforeAll, describe, expect, it } from 'vitest';
import { LIMITS, type LimitName } from '#schema/limits.ts';
import { codesOf, metricOf, post, twice } from '../support/graphql-http.ts';
import { openHouse, type House } from '../support/house.ts';

/** Small enough for every one of them to be met, and large enough for the plain request below. */
const SMALL: Readonly<Record<LimitName, number>> = {
  bodyBytes: 400,
  headers: 20,
  batch: 2,
  documentChars: 300,
  tokens: 40,
  depth: 3,
  aliases: 1,
  rootFields: 2,
  directives: 1,
  fields: 6,
  overlaps: 1,
  definitions: 2,
  variables: 1,
  literals: 2,
  operationName: 10,
  inputDepth: 3,
  inputValues: 6,
  responseBytes: 60,
};
const settings = (mode: 'measure' | 'enforce') =>
  Object.entries(SMALL)
    .map(([name, max]) => `${name}=${max},${name}=${mode}`)
    .join();

const many = (count: number, part: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => part(index)).join(' ');
const PLAIN = { query: '{ tenant { slug } }' };

/** For each limit a request beyond it, which fits the schema and would be answered without the limit. */
const beyond: Readonly<Record<LimitName, { readonly body: unknown; readonly headers?: Record<string, string> }>> = {
  bodyBytes: { body: { ...PLAIN, extensions: { pad: 'x'.repeat(400) } } },
  headers: { body: PLAIN, headers: Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`x-${index}`, 'y'])) },
  batch: { body: [PLAIN, PLAIN, PLAIN] },
  documentChars: { body: { query: `{ tenant { slug } } # ${'x'.repeat(300)}` } },
  tokens: { body: { query: `{ tenant { ${many(40, () => 'slug')} } }` } },
  depth: { body: { query: '{ projects(first: 1) { edges { node { name } } } }' } },
  aliases: { body: { query: '{ tenant { a: slug b: slug } }' } },
  rootFields: { body: { query: '{ tenant { slug } viewer { scopes } pricePlan { __typename } }' } },
  directives: { body: { query: '{ tenant { slug @skip(if: false) @include(if: true) } }' } },
  fields: { body: { query: '{ tenant { slug name tier region cell state createdAt } }' } },
  overlaps: { body: { query: '{ tenant { slug slug slug } }' } },
  definitions: {
    body: { query: '{ tenant { ...A ...B } } fragment A on Tenant { slug } fragment B on Tenant { name }' },
  },
  variables: {
    body: {
      query: 'query ($a: Boolean = true, $b: Boolean = true) { tenant { slug @skip(if: $a) name @include(if: $b) } }',
    },
  },
  literals: { body: { query: '{ auditEvents(first: 1, filter: { action: "a.b", outcome: DENIED }) { __typename } }' } },
  operationName: { body: { query: 'query ANameThatIsLong { tenant { slug } }' } },
  inputDepth: { body: { ...PLAIN, variables: { a: [[[[1]]]] } } },
  inputValues: { body: { ...PLAIN, variables: { a: [1, 2, 3, 4, 5, 6, 7] } } },
  // Four bytes a sign: fewer characters than bytes.
  responseBytes: {
    body: { query: 'mutation { createProject(input: { name: "🦆🦆🦆🦆🦆🦆" }) { project { name } } }' },
  },
};
const names = Object.keys(LIMITS) as LimitName[];
const exceeded = (house: House, limit: LimitName) => metricOf(house, `tenon_limits_exceeded_total{limit="${limit}"}`);

describe('a limit in measure mode', () => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse({ env: { LIMITS: settings('measure') } });
  });

  it.each(names)('lets what is beyond it through and counts it, the second time too: %s', async (limit) => {
    await twice(async () => {
      const before = await exceeded(house, limit);
      const { status, body } = await post(house, house.acme.admin, beyond[limit]);
      const answers = Array.isArray(body) ? (body as (typeof body)[]) : [body];
      expect([status, answers.flatMap(codesOf)]).toEqual([200, []]);
      expect(await exceeded(house, limit)).toBe(before + 1);
    });
  });

  it('counts nothing that is within', async () => {
    const before = await Promise.all(names.map((limit) => exceeded(house, limit)));
    expect((await post(house, house.acme.admin, { body: PLAIN })).status).toBe(200);
    expect(await Promise.all(names.map((limit) => exceeded(house, limit)))).toEqual(before);
  });
});

/** Codes that do not answer with 400. */
const STATUS = new Map<string, number>([
  ['PAYLOAD_TOO_LARGE', 413],
  ['TOO_MANY_HEADERS', 431],
]);

describe('a limit in enforce mode', () => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse({ env: { LIMITS: settings('enforce') } });
  });

  it.each(names)('refuses what is beyond it with its code, the second time too: %s', async (limit) => {
    const headers = { accept: 'application/graphql-response+json', ...beyond[limit].headers };
    const { code } = LIMITS[limit];
    await twice(async () => {
      const answer = await post(house, house.acme.admin, { ...beyond[limit], headers });
      expect(codesOf(answer.body)).toEqual([code]);
      expect(answer.status).toBe(STATUS.get(code) ?? 400);
      expect(answer.body).not.toHaveProperty('data');
    });
    expect(await exceeded(house, limit)).toBe(0);
  });

  it('lets nobody have for a point what turns out too large: it costs what it cost', async () => {
    const { body } = await post(house, house.acme.admin, beyond.responseBytes);
    expect(codesOf(body)).toEqual(['RESPONSE_TOO_LARGE']);
    expect(body.extensions?.cost.actualQueryCost).toBe(13);
  });

  it('leaves what is within alone', async () => {
    await twice(async () => {
      expect((await post(house, house.acme.admin, { body: PLAIN })).body.data).toEqual({ tenant: { slug: 'acme' } });
    });
  });

  it('ends the connection after a body that is too large', async () => {
    const answer = await post(house, house.acme.admin, beyond.bodyBytes);
    expect(answer.headers.get('connection')).toBe('close');
  });
});
