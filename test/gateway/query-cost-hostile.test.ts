import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WORK_MAX } from '#schema/cost/cost-term.ts';
import { BY_FIELD_MAX } from '#schema/cost/cost-formula.ts';
import { estimateCost } from '#schema/cost/query-cost.ts';
import { estimateUnchecked, failureOf, inputOf, workOf } from './cost-fixture.ts';

/** A chain of fragments F0..Fn on User, each made by `body` of the next one's name. */
function chain(levels: number, body: (next: string, level: number) => string, last = 'id'): string {
  const fragments = Array.from(
    { length: levels },
    (_, level) => `fragment F${level} on User { ${body(`F${level + 1}`, level)} }`,
  );
  return `{ owner { ...F0 } } ${fragments.join(' ')} fragment F${levels} on User { ${last} }`;
}

describe('hostile documents', () => {
  it('cost little work where 2^20 paths of spreads lead to the same field', () => {
    const source = chain(20, (next) => `...${next} ...${next}`, 'friends { id }');
    expect(estimateUnchecked(source).total).toBe(11);
    expect(workOf(source)).toBeLessThan(200);
  });

  it('cost little work where 2^20 different places of the response repeat one fragment, and count each place', () => {
    const source = chain(20, (next) => `a: friend { ...${next} } b: friend { ...${next} }`);
    const estimate = estimateUnchecked(source);
    expect(estimate.total).toBe(2 ** 21 - 1);
    expect(workOf(source)).toBeLessThan(400);
    expect(estimate.byField()).toHaveLength(BY_FIELD_MAX);
  });

  it('saturate where 2^150 places follow from a short document', () => {
    const estimate = estimateUnchecked(chain(150, (next) => `a: friend { ...${next} } b: friend { ...${next} }`));
    expect(estimate.total).toBe(Number.MAX_SAFE_INTEGER);
    expect(estimate.byField().every((field) => Number.isSafeInteger(field.cost))).toBe(true);
  });

  it('are refused within bounded work where fragments merge in 2^20 different combinations', () => {
    const levels = 20;
    const marks = Array.from(
      { length: levels },
      (_, level) => `fragment Q${level} on User { friend { ...Q${level + 1} } bestFriend { ...Q${level + 1} } }`,
    );
    const source = chain(levels, (next) => `friend { ...${next} ...Q0 } bestFriend { ...${next} }`);
    const failure = failureOf(() =>
      estimateUnchecked(`${source} ${marks.join(' ')} fragment Q${levels} on User { id }`),
    );
    expect(failure.code).toBe('COST_ESTIMATED_TOO_EXPENSIVE');
    expect(failure.message).toContain(String(WORK_MAX));
  });

  it('are refused where one big variable is weighed at many places', () => {
    const filters = Array.from({ length: 20_000 }, () => ({}));
    const places = Array.from({ length: 10 }, (_, place) => `p${place}: filtered(filters: $filters)`);
    const failure = failureOf(() =>
      estimateUnchecked(`query($filters: [Filter!]) { ${places.join(' ')} }`, { filters }),
    );
    expect(failure.code).toBe('COST_ESTIMATED_TOO_EXPENSIVE');
  });

  it('do not exhaust the stack: long chains of fragments pass, fields and inputs without end are refused', () => {
    expect(estimateUnchecked(chain(5_000, (next) => `...${next}`, 'friend { id }')).total).toBe(2);
    const deep = chain(5_000, (next) => `friend { ...${next} }`);
    expect(failureOf(() => estimateUnchecked(deep)).code).toBe('MAX_DEPTH_LIMIT');
    let filter = {};
    for (let level = 0; level < 100_000; level++) filter = { not: filter };
    const input = (): unknown => estimateUnchecked('query($f: Filter) { filtered(filter: $f) }', { f: filter });
    expect(failureOf(input).code).toBe('MAX_DEPTH_LIMIT');
  });

  it('cannot reach the prototypes with names of fields, fragments, aliases and variables', () => {
    const source = `
      query($__proto__: Int, $constructor: Int) {
        __proto__: loose(first: $__proto__) { ...__proto__ } constructor: loose(first: $constructor) { ...toString }
      }
      fragment __proto__ on User { id } fragment toString on User { id }
    `;
    expect(estimateUnchecked(source, JSON.parse('{"__proto__": 3, "constructor": 4}')).total).toBe(7);
    expect(estimateUnchecked(source).total).toBe(14);
  });

  it('always get a whole number from 0 to the largest safe integer', () => {
    const size = fc.oneof(
      fc.integer(),
      fc.double(),
      fc.string(),
      fc.array(fc.integer()),
      fc.constant(null),
      fc.boolean(),
    );
    fc.assert(
      fc.property(size, size, fc.double(), (first, last, defaultListSize) => {
        const source =
          'query($a: Int, $b: Int) { connection(first: $a, last: $b) { edges { node { friends { id } } } } }';
        const { total } = estimateCost(inputOf(source, { variables: { a: first, b: last }, defaultListSize }));
        expect(Number.isSafeInteger(total) && total >= 0).toBe(true);
      }),
    );
  });
});
