import { Counter, type Registry } from 'prom-client';
import type { Outcome } from './outcome.ts';

/** How many tenants are told apart. */
export interface TenantSeriesLimits {
  /** Tenants with series of their own. */
  readonly named: number;
  /** Tenants whose requests are counted between two choices, to find the busiest. */
  readonly counted: number;
}

/** Series by tenant: the busiest by their ids, all others together as `other`. */
export interface TenantSeries {
  observe(tenant: string, answer: { readonly outcome: Outcome; readonly seconds: number; readonly cost: number }): void;
  /** Names the tenants that were the busiest since the last choice; the series of those that leave end. */
  choose(): void;
}

interface Totals {
  ok: number;
  refused: number;
  failed: number;
  seconds: number;
  cost: number;
}

/** A tenant that made requests since the last choice. */
interface Seen {
  requests: number;
  /** Her own, or those of all who have no name. */
  readonly totals: Totals;
}

const POOLED = 'other';
const DEFAULT_LIMITS: TenantSeriesLimits = { named: 20, counted: 10_000 };

/**
 * Returns the series of tenants, entered in a registry: at most `(named + 1) * 5` of them, however many tenants there are.
 * Places that are free go to whoever comes first. `other` counts what was served to tenants while they had no name.
 */
export function newTenantSeries(registry: Registry, limits: TenantSeriesLimits = DEFAULT_LIMITS): TenantSeries {
  const pooled = newTotals();
  let seen = new Map<string, Seen>();
  let named = new Map<string, Totals>();
  register(registry, () => [...named, [POOLED, pooled]]);
  const newcomer = (tenant: string): Seen => {
    const totals = named.get(tenant) ?? (named.size < limits.named ? newTotals() : pooled);
    if (totals !== pooled) named.set(tenant, totals);
    const entry = { requests: 0, totals };
    if (seen.size < limits.counted) seen.set(tenant, entry);
    return entry;
  };
  return {
    observe: (tenant, { outcome, seconds, cost }) => {
      const entry = seen.get(tenant) ?? newcomer(tenant);
      entry.requests += 1;
      entry.totals[outcome] += 1;
      entry.totals.seconds += seconds;
      entry.totals.cost += cost;
    },
    choose: () => {
      const busiest = [...seen].toSorted(([, left], [, right]) => right.requests - left.requests);
      const chosen = busiest.slice(0, limits.named);
      named = new Map(chosen.map(([tenant]) => [tenant, named.get(tenant) ?? newTotals()]));
      seen = new Map();
    },
  };
}

function newTotals(): Totals {
  return { ok: 0, refused: 0, failed: 0, seconds: 0, cost: 0 };
}

/** The counters are filled when they are read. */
function register(registry: Registry, everybody: () => readonly (readonly [string, Totals])[]): void {
  const requests = new Counter({
    name: 'tenon_tenant_requests_total',
    help: 'Requests of the busiest tenants by outcome; all others are pooled as "other".',
    labelNames: ['tenant', 'outcome'] as const,
    registers: [],
    collect() {
      this.reset();
      for (const [tenant, totals] of everybody()) {
        for (const outcome of ['ok', 'refused', 'failed'] as const) this.inc({ tenant, outcome }, totals[outcome]);
      }
    },
  });
  registry.registerMetric(requests);
  for (const [field, help] of [
    ['seconds', 'Seconds spent on requests of the busiest tenants.'],
    ['cost', 'Query cost of the busiest tenants, as it was settled.'],
  ] as const) {
    const sum = new Counter({
      name: `tenon_tenant_${field}_total`,
      help,
      labelNames: ['tenant'] as const,
      registers: [],
      collect() {
        this.reset();
        for (const [tenant, totals] of everybody()) this.inc({ tenant }, totals[field]);
      },
    });
    registry.registerMetric(sum);
  }
}
