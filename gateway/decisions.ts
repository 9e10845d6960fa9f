import { recordAudit } from '#kit/outbox.ts';
import { logError } from '#kit/log.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { asTenonError, type ErrorCode } from '#schema/errors.ts';

/** A refusal of the gateway, as the tenant's audit log names it. */
export interface Refusal {
  readonly action: 'operation.refuse' | 'request.throttle';
  readonly code: ErrorCode;
}

/** Refusals of the last seconds by tenant, actor and code: a flood of them becomes one event that counts them. */
export type RefusalLog = Map<string, { untilMs: number; suppressed: number }>;

/** One event for each tenant, actor and code in this time; the next one says how many were left out. */
const COALESCE_MS = 10_000;
const MOST_REMEMBERED = 10_000;

/** Records a refusal in the audit log of the tenant; the caller gets her answer also where that fails. */
export async function recordRefusal(
  refusals: RefusalLog,
  ctx: RequestContext,
  { action, code }: Refusal,
): Promise<void> {
  const key = `${ctx.tenant.tenant} ${ctx.tenant.actor.id} ${code}`;
  const nowMs = Date.now();
  const recent = refusals.get(key);
  if (recent !== undefined && recent.untilMs > nowMs) {
    recent.suppressed += 1;
    return;
  }
  refusals.delete(key);
  refusals.set(key, { untilMs: nowMs + COALESCE_MS, suppressed: 0 });
  if (refusals.size > MOST_REMEMBERED) refusals.delete(refusals.keys().next().value ?? '');
  const resource = { type: 'gateway', id: 'graphql', name: null };
  const context = {
    code,
    ...(ctx.tenant.client === null ? {} : { client: ctx.tenant.client }),
    suppressed: recent?.suppressed ?? 0,
  };
  await recordAudit(ctx, { action, resource, context, outcome: 'denied' }).catch((error: unknown) =>
    logError(asTenonError(error), ctx.tenant.requestId),
  );
}
