import type { Databases } from '#kit/database.ts';
import { recordAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { changedDays, DEFAULT_LIFE_DAYS, LIFE_DAY_NAMES, readDays, type LifeDays } from '#schema/life-days.ts';
import type { Tier } from '#schema/tenant-context.ts';
import { inDirectory } from './directory-transaction.ts';

/** Returns how long the parts of a life last in a tier now; what is not set is as the program starts with. */
export async function daysOfTier(databases: Databases, tier: Tier): Promise<LifeDays> {
  const { rows } = await databases.directory
    .query<{ days: unknown }>('select days from life_days where tier = $1', [tier])
    .catch((cause: unknown) =>
      fail('SERVICE_UNAVAILABLE', `the directory does not answer: ${String(cause)}`, { cause }),
    );
  return changedDays(DEFAULT_LIFE_DAYS, readDays(rows[0]?.days));
}

/**
 * Changes how long the parts of a life last in a tier, for an operator; it holds from the next step of each of its tenants
 * on. The event is committed before the change that waits for it: no change without its event. A number out of its bounds
 * is BAD_USER_INPUT.
 */
export async function setLifeDays(
  ctx: RequestContext,
  { tier, change }: { readonly tier: Tier; readonly change: Partial<Record<keyof LifeDays, number | null>> },
): Promise<LifeDays> {
  return inDirectory(ctx, async (client) => {
    const { rows } = await client.query<{ days: unknown }>('select days from life_days where tier = $1 for update', [
      tier,
    ]);
    const before = changedDays(DEFAULT_LIFE_DAYS, readDays(rows[0]?.days));
    const after = changedDays(before, change);
    await client.query('update life_days set days = $2, updated_at = $3 where tier = $1', [
      tier,
      JSON.stringify(after),
      ctx.clock(),
    ]);
    await recordAudit(ctx, {
      action: 'tenant.set_life_days',
      resource: { type: 'tier', id: tier, name: null },
      context: { before: snakeCased(before), after: snakeCased(after) },
    });
    return after;
  });
}

/** Returns the numbers by the names that events have for them. */
export function snakeCased(days: LifeDays): Record<string, number> {
  return Object.fromEntries(
    LIFE_DAY_NAMES.map((name) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), days[name]]),
  );
}
