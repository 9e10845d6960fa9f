import { Big } from 'big.js';
import type { MetricName, PricePlan, PriceRule, PriceTier } from './pricing-plans.ts';

/** The part of a quantity that fell into one step of a price. All numbers are decimal text. */
interface RatedTier {
  /** Upper end of the step; null where it has none. */
  readonly upTo: string | null;
  readonly unitPrice: string;
  readonly quantity: string;
  readonly amount: string;
}

/** What a quantity of a metric costs. All numbers are decimal text. */
export interface RatedLine {
  readonly metric: MetricName;
  readonly quantity: string;
  /** Exact, in major units. */
  readonly amount: string;
  /** Rounded once, in minor units (cents). */
  readonly amountMinor: string;
  /** The steps that the quantity reached, from the first; never empty. */
  readonly tiers: readonly RatedTier[];
}

/** Returns the price of a quantity that is not negative: each part at the unit price of its step, exact to the last digit. */
export function rate(plan: PricePlan, rule: PriceRule, quantity: string): RatedLine {
  const tiers = rateTiers(tiersOf(rule), new Big(quantity));
  const amount = tiers.reduce((sum, tier) => sum.plus(tier.amount), new Big(0));
  return {
    metric: rule.metric,
    quantity: new Big(quantity).toFixed(),
    amount: amount.toFixed(),
    amountMinor: minorUnits(amount.toFixed(), plan.currency.exponent),
    tiers,
  };
}

/** Returns the steps of a rule; a flat price is one step without an end. */
export function tiersOf(rule: PriceRule): readonly PriceTier[] {
  return 'flat' in rule ? [{ upTo: null, unit: rule.flat }] : rule.tiered;
}

/** Returns an amount in minor units, rounded half away from zero. */
export function minorUnits(amount: string, exponent: number): string {
  return new Big(amount).times(new Big(10).pow(exponent)).round(0, Big.roundHalfUp).toFixed();
}

/** Returns minor units as an amount with all decimals of its currency, such as `'44.20'`. */
export function majorUnits(minor: string, exponent: number): string {
  return new Big(minor).times(new Big(10).pow(-exponent)).toFixed(exponent);
}

/** Returns the sum of amounts in minor units. */
export function sumMinor(amounts: readonly string[]): string {
  return amounts.reduce((sum, amount) => sum + BigInt(amount), 0n).toString();
}

function rateTiers(tiers: readonly PriceTier[], quantity: Big): RatedTier[] {
  const rated: RatedTier[] = [];
  let from = new Big(0);
  for (const { upTo, unit } of tiers) {
    const end = upTo === null || quantity.lt(upTo) ? quantity : new Big(upTo);
    const part = end.minus(from);
    // The first step stays even without a quantity, so that a line always says where its zero comes from.
    if (part.gt(0) || rated.length === 0) {
      rated.push({
        upTo,
        unitPrice: new Big(unit).toFixed(),
        quantity: part.toFixed(),
        amount: part.times(unit).toFixed(),
      });
    }
    from = end;
  }
  return rated;
}
