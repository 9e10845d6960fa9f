import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TIERS } from '#schema/tenant-context.ts';
import {
  findPlan,
  PLAN_OF_TIER,
  PLANS,
  type PricePlan,
  type PriceRule,
} from '../../../subgraphs/billing/pricing-plans.ts';
import { majorUnits, minorUnits, rate, sumMinor, tiersOf } from '../../../subgraphs/billing/pricing.ts';

const growth = findPlan('growth');
const tokens = ruleOf(growth, 'tokens_used');
const seats = ruleOf(growth, 'seats');

/** All unit prices of the plans have at most so many decimals, and so have the quantities made below. */
const SCALE = 12;

/** A quantity as the integer of its 10^-12 parts, which the oracle below counts in. */
const quantities = fc.oneof(
  fc.bigInt({ min: 0n, max: 10n ** 30n }),
  // Around the borders of the steps, where an error of one would show.
  fc
    .tuple(fc.constantFrom(1_000_000n, 10_000_000n), fc.bigInt({ min: -3n, max: 3n }))
    .map(([border, off]) => border * 10n ** 12n + off),
);

describe('rate', () => {
  test('rates 12,345,678 tokens of the growth plan at exactly 44.209873', () => {
    const line = rate(growth, tokens, '12345678');
    expect(line).toEqual({
      metric: 'tokens_used',
      quantity: '12345678',
      amount: '44.209873',
      amountMinor: '4421',
      tiers: [
        { upTo: '1000000', unitPrice: '0', quantity: '1000000', amount: '0' },
        { upTo: '10000000', unitPrice: '0.000004', quantity: '9000000', amount: '36' },
        { upTo: null, unitPrice: '0.0000035', quantity: '2345678', amount: '8.209873' },
      ],
    });
  });

  test.each([
    ['0', '0', 1],
    ['1000000', '0', 1],
    ['1000000.5', '0.000002', 2],
    ['1000001', '0.000004', 2],
    ['10000000', '36', 2],
    ['10000001', '36.0000035', 3],
    ['128400000', '450.4', 3],
  ])('rates %s tokens at %s in %i steps', (quantity, amount, steps) => {
    const line = rate(growth, tokens, quantity);
    expect(line.amount).toBe(amount);
    expect(line.tiers).toHaveLength(steps);
  });

  test('charges each seat alike', () => {
    expect(rate(growth, seats, '17')).toMatchObject({
      amount: '204',
      amountMinor: '20400',
      tiers: [{ upTo: null, unitPrice: '12', quantity: '17' }],
    });
  });

  test('charges nothing on the free plan', () => {
    const free = findPlan('free');
    expect(free.rules.map((rule) => rate(free, rule, '999999999999').amount)).toEqual(['0', '0']);
  });

  test('agrees with integer arithmetic at any quantity', () => {
    fc.assert(
      fc.property(quantities, (quantity) => {
        const line = rate(growth, tokens, decimalOf(quantity, SCALE));
        expect(scaled(line.amount, 2 * SCALE)).toBe(oracle(tokens, quantity));
      }),
    );
  });

  test('never falls when the quantity rises', () => {
    fc.assert(
      fc.property(quantities, quantities, (a, b) => {
        const [low, high] = a <= b ? [a, b] : [b, a];
        expect(amountOf(low)).toBeLessThanOrEqual(amountOf(high));
      }),
    );
  });

  test('splits a quantity over its steps without losing or adding any', () => {
    fc.assert(
      fc.property(quantities, (quantity) => {
        const line = rate(growth, tokens, decimalOf(quantity, SCALE));
        expect(line.tiers.reduce((sum, tier) => sum + scaled(tier.quantity, SCALE), 0n)).toBe(quantity);
        expect(line.tiers.reduce((sum, tier) => sum + scaled(tier.amount, 2 * SCALE), 0n)).toBe(
          scaled(line.amount, 2 * SCALE),
        );
      }),
    );
  });
});

describe('minorUnits', () => {
  test.each([
    ['1.005', '101'],
    ['0.335', '34'],
    ['2.675', '268'],
    ['44.209873', '4421'],
    ['0.004999999999', '0'],
    ['0.005', '1'],
    ['-0.005', '-1'],
    ['99999999999999999999.995', '10000000000000000000000'],
  ])('rounds %s to %s cents, halves away from zero', (amount, minor) => {
    expect(minorUnits(amount, 2)).toBe(minor);
  });

  test('is undone by majorUnits for whole minor units', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(10n ** 25n), max: 10n ** 25n }),
        fc.integer({ min: 0, max: 4 }),
        (minor, exponent) => {
          expect(minorUnits(majorUnits(String(minor), exponent), exponent)).toBe(String(minor));
        },
      ),
    );
  });
});

test('sumMinor adds beyond the range of doubles', () => {
  expect(sumMinor(['9007199254740993', '9007199254740993', '-1'])).toBe('18014398509481985');
  expect(sumMinor([])).toBe('0');
});

describe('the published plans', () => {
  test.each(PLANS.map((plan) => [`${plan.name}/${plan.version}`, plan] as const))(
    '%s has one rule a metric, with rising steps and an open end',
    (_, plan) => {
      const metrics = plan.rules.map((rule) => rule.metric);
      expect(new Set(metrics).size).toBe(metrics.length);
      for (const rule of plan.rules) {
        const ends = tiersOf(rule).map((tier) => tier.upTo);
        expect(ends.at(-1)).toBeNull();
        const numbers = ends.slice(0, -1).map(Number);
        expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
      }
    },
  );

  test('have no name and version twice', () => {
    const names = PLANS.map((plan) => `${plan.name}/${plan.version}`);
    expect(new Set(names).size).toBe(names.length);
  });

  test('hold the plan of every tier', () => {
    expect(TIERS.map((tier) => findPlan(PLAN_OF_TIER[tier]).name)).toEqual(['free', 'growth', 'growth', 'growth']);
  });

  test('do not hold what was never published', () => {
    expect(() => findPlan('growth', 99)).toThrow('never published');
  });
});

function amountOf(quantity: bigint): bigint {
  return scaled(rate(growth, tokens, decimalOf(quantity, SCALE)).amount, 2 * SCALE);
}

/** The price of a quantity in 10^-24 parts, in integers alone. */
function oracle(rule: PriceRule, quantity: bigint): bigint {
  let amount = 0n;
  let from = 0n;
  for (const { upTo, unit } of tiersOf(rule)) {
    const end = upTo === null ? quantity : scaled(upTo, SCALE);
    const part = (quantity < end ? quantity : end) - from;
    if (part > 0n) amount += part * scaled(unit, SCALE);
    from = end;
  }
  return amount;
}

function scaled(decimal: string, scale: number): bigint {
  const [whole = '', fraction = ''] = decimal.split('.');
  if (fraction.length > scale) throw new Error(`${decimal} has more than ${scale} decimals`);
  return BigInt(whole + fraction.padEnd(scale, '0'));
}

function decimalOf(value: bigint, scale: number): string {
  const digits = String(value).padStart(scale + 1, '0');
  return `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

function ruleOf(plan: PricePlan, metric: string): PriceRule {
  const rule = plan.rules.find((known) => known.metric === metric);
  if (rule === undefined) throw new Error(`no rule for ${metric}`);
  return rule;
}
