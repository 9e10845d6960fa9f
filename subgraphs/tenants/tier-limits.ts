import { recordAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { TIER_LIMITS, type BudgetLimits } from '#schema/budget-limits.ts';
import { changedLimits, readLimitsChange } from '#schema/limits-change.ts';
import type { Tier } from '#schema/tenant-context.ts';
import { inDirectory } from './directory-transaction.ts';
import type { BudgetLimitsView, SetTierLimitsInput } from './limits-model.ts';
import { changeNote, refuseNumber } from './limits-note.ts';

/**
 * Changes what the tenants of a tier may spend, for an operator; gateways follow within a second. The tiers lie in the
 * directory and the operators' log in their cell, so the event is committed first, behind the change that waits for it:
 * no change without its event. A number out of its bounds is BAD_USER_INPUT.
 */
export async function setTierLimits(ctx: RequestContext, input: SetTierLimitsInput): Promise<BudgetLimitsView> {
  const change = readLimitsChange(input, refuseNumber);
  return inDirectory(ctx, async (client) => {
    const { rows } = await client.query<{ limits: unknown }>(
      'select limits from tier_limits where tier = $1 for update',
      [input.tier],
    );
    const before = stored(input.tier, rows[0]?.limits);
    const after = changedLimits(before, change);
    await client.query('update tier_limits set limits = $2, updated_at = $3 where tier = $1', [
      input.tier,
      JSON.stringify(after),
      ctx.clock(),
    ]);
    const resource = { type: 'tier', id: input.tier, name: null };
    await recordAudit(ctx, changeNote('limits.change_tier', resource, { before, after }));
    return { ...after, clients: [] };
  });
}

function stored(tier: Tier, limits: unknown): BudgetLimits {
  return changedLimits(TIER_LIMITS[tier], readLimitsChange(limits));
}
