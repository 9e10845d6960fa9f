import { logError } from '#kit/log.ts';
import { recordAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { asTenonError } from '#schema/errors.ts';

/** Tells each tenant's audit log when her budgets were not shared between gateways, and when they were again. */
export interface BudgetStoreWatch {
  /** The store has gone away, or is back. */
  changed(away: boolean): void;
  /** Told of every request: the first of a tenant after a change writes it into her log. */
  note(ctx: RequestContext): void;
}

/** Tenants that were told of an outage and wait for its end; beyond that the longest waiting are not told. */
const MOST_TOLD = 10_000;

/** Returns the watch of a store that answers. */
export function newBudgetStoreWatch(): BudgetStoreWatch {
  let isAway = false;
  const told = new Set<string>();
  return {
    changed: (away) => {
      isAway = away;
    },
    note: (ctx) => {
      const { tenant } = ctx.tenant;
      if (isAway === told.has(tenant)) return;
      if (isAway) told.add(tenant);
      else told.delete(tenant);
      if (told.size > MOST_TOLD) told.delete(told.values().next().value ?? '');
      void record(ctx, isAway ? 'budget.unshare' : 'budget.share');
    },
  };
}

/** The request does not wait for it. */
async function record(ctx: RequestContext, action: 'budget.unshare' | 'budget.share'): Promise<void> {
  const system = { ...ctx, tenant: { ...ctx.tenant, actor: GATEWAY }, signal: undefined };
  const resource = { type: 'gateway', id: 'budgets', name: null };
  await recordAudit(system, { action, resource, context: {} }).catch((error: unknown) =>
    logError(asTenonError(error), ctx.tenant.requestId),
  );
}

const GATEWAY = { type: 'system', id: 'gateway', ip: null, ua: null } as const;
