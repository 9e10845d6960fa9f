import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import { TENANT_STATES, type TenantState } from '#schema/tenant-context.ts';
import { DEFAULT_LIFE_DAYS } from '#schema/life-days.ts';
import { dueStep, requireStep, TRANSITIONS, type LifeFacts } from '../../../subgraphs/tenants/lifecycle.ts';

const SINCE = new Date('2026-01-01T00:00:00Z');
const days = (count: number) => new Date(SINCE.getTime() + count * 86_400_000);
/** Everything speaks for a step that an operator asks for. */
const FACTS: LifeFacts = {
  held: false,
  paymentOpen: false,
  confirmed: true,
  announcedAt: SINCE,
  trialEndsAt: SINCE,
  lastStep: null,
  erasedAt: null,
};
const ask = (from: TenantState, to: TenantState, now: Date, facts: LifeFacts = factsFor(from, to)) =>
  requireStep({ from, to, since: SINCE, now, by: 'operator', days: DEFAULT_LIFE_DAYS, facts });
const factsFor = (from: TenantState, to: TenantState): LifeFacts => {
  const step = TRANSITIONS.find((known) => known.from === from && known.to === to);
  const owes = step?.guards?.some((guard) => guard === 'payment_open' || guard === 'unsettled') === true;
  return { ...FACTS, paymentOpen: owes };
};
const hintOf = (work: () => unknown): string | undefined => {
  try {
    work();
  } catch (error) {
    return error instanceof TenonError && error.code === 'INVALID_TRANSITION' ? error.hint : undefined;
  }
  return undefined;
};

describe('the life of a tenant', () => {
  it('leads from provisioning through every state, and nowhere from erased', () => {
    const reached = new Set<TenantState>(['provisioning']);
    for (const _ of TENANT_STATES) for (const { from, to } of TRANSITIONS) if (reached.has(from)) reached.add(to);
    expect([...reached].toSorted()).toEqual([...TENANT_STATES].toSorted());
    expect(TRANSITIONS.filter(({ from }) => from === 'erased')).toEqual([]);
  });

  it('names each step once and never leads a state to itself', () => {
    const pairs = TRANSITIONS.map(({ from, to }) => `${from} ${to}`);
    expect(new Set(pairs).size).toBe(pairs.length);
    expect(TRANSITIONS.filter(({ from, to }) => from === to)).toEqual([]);
  });

  it('allows an operator exactly the listed steps of hers', () => {
    const state = fc.constantFrom(...TENANT_STATES);
    fc.assert(
      fc.property(state, state, (from, to) => {
        const listed = TRANSITIONS.find((step) => step.from === from && step.to === to && step.by.includes('operator'));
        if (listed === undefined)
          expect(hintOf(() => ask(from, to, days(1000)))).toContain(`From ${from} it can go to`);
        else expect(ask(from, to, days(1000))).toBe(listed);
      }),
      { numRuns: 500 },
    );
  });

  it('keeps the steps of the platform from operators: nobody can declare a tenant erased', () => {
    for (const { from, to } of TRANSITIONS.filter(({ by }) => !by.includes('operator'))) {
      expect(hintOf(() => ask(from, to, days(1000)))).toBeDefined();
    }
  });

  it.each([
    ['past_due', 'read_only', 7],
    ['read_only', 'suspended', 23],
  ] as const)('leaves a tenant in %s for her days of grace before %s', (from, to, grace) => {
    expect(hintOf(() => ask(from, to, new Date(days(grace).getTime() - 1)))).toBe(
      `It can go to ${to} from ${days(grace).toISOString()} on.`,
    );
    expect(ask(from, to, days(grace)).to).toBe(to);
  });

  it('keeps a deleted tenant recoverable for 30 days', () => {
    const moment = { from: 'soft_deleted', since: SINCE, days: DEFAULT_LIFE_DAYS, facts: FACTS } as const;
    expect(dueStep({ ...moment, now: new Date(days(30).getTime() - 1) })).toBeNull();
    expect(dueStep({ ...moment, now: days(30) })?.to).toBe('erasing');
    expect(dueStep({ ...moment, now: days(300), facts: { ...FACTS, held: true } })).toBeNull();
    expect(ask('soft_deleted', 'suspended', days(29)).action).toBe('recover');
  });

  it('converts a trial by itself only when it was confirmed, and a mail said so a day before', () => {
    const moment = { from: 'trial', since: SINCE, days: DEFAULT_LIFE_DAYS, facts: FACTS } as const;
    const hours = (count: number) => new Date(SINCE.getTime() + count * 3_600_000);
    expect(dueStep({ ...moment, now: new Date(hours(24).getTime() - 1) })).toBeNull();
    expect(dueStep({ ...moment, now: hours(24) })?.action).toBe('convert');
    expect(dueStep({ ...moment, now: hours(24), facts: { ...FACTS, announcedAt: hours(1) } })).toBeNull();
    expect(dueStep({ ...moment, now: days(99), facts: { ...FACTS, announcedAt: null } })).toBeNull();
    expect(dueStep({ ...moment, now: days(99), facts: { ...FACTS, confirmed: false } })?.action).toBe('end_trial');
  });

  it('leaves whom an operator suspended to operators, and reinstates who was paused and has paid', () => {
    const moment = { from: 'suspended', since: SINCE, days: DEFAULT_LIFE_DAYS, now: days(400) } as const;
    expect(dueStep({ ...moment, facts: { ...FACTS, lastStep: 'suspend' } })).toBeNull();
    expect(dueStep({ ...moment, facts: { ...FACTS, lastStep: 'pause' } })?.to).toBe('active');
    expect(dueStep({ ...moment, facts: { ...FACTS, lastStep: 'pause', paymentOpen: true } })?.to).toBe('soft_deleted');
  });

  it('says which guard keeps a step', () => {
    expect(hintOf(() => ask('past_due', 'active', days(1), { ...FACTS, paymentOpen: true }))).toBe(
      'It can go to active only when no invoice is unpaid.',
    );
    expect(hintOf(() => ask('trial', 'active', days(1), { ...FACTS, confirmed: false }))).toBe(
      'It can go to active only when paying was confirmed.',
    );
  });
});
