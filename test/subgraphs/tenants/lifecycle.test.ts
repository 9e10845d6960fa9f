import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import { TENANT_STATES, type TenantState } from '#schema/tenant-context.ts';
import { operatorTransition, TRANSITIONS } from '../../../subgraphs/tenants/lifecycle.ts';

const SINCE = new Date('2026-01-01T00:00:00Z');
const days = (count: number) => new Date(SINCE.getTime() + count * 86_400_000);
const ask = (from: TenantState, to: TenantState, now: Date) => operatorTransition({ from, to, since: SINCE, now });
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
        const listed = TRANSITIONS.find((step) => step.from === from && step.to === to && step.by === 'operator');
        if (listed === undefined)
          expect(hintOf(() => ask(from, to, days(1000)))).toContain(`From ${from} it can go to`);
        else expect(ask(from, to, days(1000))).toBe(listed);
      }),
      { numRuns: 500 },
    );
  });

  it('keeps the steps of the platform from operators: nobody can declare a tenant erased', () => {
    for (const { from, to } of TRANSITIONS.filter(({ by }) => by === 'platform')) {
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
    expect(ask(from, to, days(grace)).afterDays).toBe(grace);
  });

  it('keeps a deleted tenant recoverable for 30 days', () => {
    expect(TRANSITIONS.find(({ to }) => to === 'erasing')).toMatchObject({ from: 'soft_deleted', afterDays: 30 });
    expect(ask('soft_deleted', 'suspended', days(29)).action).toBe('recover');
  });
});
