import { TIER_LIMITS, type BudgetLimits } from '#schema/budget-limits.ts';
import { fail } from '#schema/errors.ts';
import { changedLimits, loweredClient, readLimitsChange, readSubjectChange } from '#schema/limits-change.ts';
import { TIERS, type Tier } from '#schema/tenant-context.ts';
import type { ChangeFeed } from './change-feed.ts';
import type { Databases, TenantTransaction } from './database.ts';
import { log } from './log.ts';

/** What a tenant's budgets differ in from those of her tier, as her cell stores it. */
export interface LimitOverrides {
  /** The operators' word on the whole tenant; null where there is none. */
  readonly tenant: unknown;
  /** The tenant's own word on the client that asks; null where there is none or no client asks. */
  readonly client: unknown;
}

/** The budgets of every tier. */
export type TierTable = Readonly<Record<Tier, BudgetLimits>>;

/** The budgets of the tiers that are in force, held in memory. */
export interface TierLimits {
  /** Never waits; the same object as before where nothing has changed, so that what is made from it can be kept. */
  of(tier: Tier): BudgetLimits;
  close(): void;
}

const RETRY_MS = 5_000;

/** Expressions of SQL that yield `LimitOverrides` as two columns, for a client that is an expression as well. */
export function overrideColumns(client: string): string {
  return `(select b.limits from budget_limits b where b.client = '') as tenant_limits,
          (select b.limits from budget_limits b where b.client = ${client}) as client_limits`;
}

/** Returns what is in force: the tier's numbers, then the operators' for this tenant, then the tenant's for the client. */
export function effectiveLimits(tier: BudgetLimits, overrides: LimitOverrides): BudgetLimits {
  const own = overrides.tenant === null ? tier : changedLimits(tier, readLimitsChange(overrides.tenant));
  return overrides.client === null ? own : loweredClient(own, readSubjectChange(overrides.client));
}

/** Reads the operators' word on the tenant of the transaction. */
export async function readTenantOverride(tx: Pick<TenantTransaction, 'query'>): Promise<unknown> {
  const [row] = await tx.query<{ limits: unknown }>(`select limits from budget_limits where client = ''`);
  return row?.limits ?? null;
}

/** Reads the budgets of all tiers from the directory; a number that cannot be used is that of the program. */
export async function readTierTable(databases: Pick<Databases, 'directory'>): Promise<TierTable> {
  const { rows } = await databases.directory
    .query<{ tier: string; limits: unknown }>('select tier, limits from tier_limits')
    .catch((cause: unknown) =>
      fail('SERVICE_UNAVAILABLE', `the directory does not answer: ${String(cause)}`, { cause }),
    );
  const stored = new Map(rows.map(({ tier, limits }) => [tier, limits]));
  const table = TIERS.map((tier) => [tier, changedLimits(TIER_LIMITS[tier], readLimitsChange(stored.get(tier)))]);
  return Object.fromEntries(table) as TierTable;
}

/**
 * Opens the budgets of the tiers: read now, and again whenever the feed tells of a change, which takes milliseconds. As
 * long as the directory is away the last ones known hold, at first those of the program.
 */
export async function openTierLimits(databases: Pick<Databases, 'directory'>, feed: ChangeFeed): Promise<TierLimits> {
  let table: TierTable = TIER_LIMITS;
  let reading: Promise<void> | null = null;
  let isStale = false;
  let again: NodeJS.Timeout | undefined;
  const read = async () => {
    do {
      isStale = false;
      await readTierTable(databases).then(
        (found) => void (table = found),
        (error: unknown) => {
          log('warn', 'the limits of the tiers could not be read; the last ones known hold', { error: String(error) });
          again = setTimeout(() => void refresh(), RETRY_MS).unref();
        },
      );
    } while (isStale);
    reading = null;
  };
  const refresh = () => {
    clearTimeout(again);
    isStale = true;
    return (reading ??= read());
  };
  const unsubscribe = feed.subscribe(({ tenant, topic }) => {
    if (topic === 'limits' && tenant === null) void refresh();
  });
  await refresh();
  return {
    of: (tier) => table[tier],
    close: () => {
      unsubscribe();
      clearTimeout(again);
    },
  };
}
