import { recordAudit } from '#kit/outbox.ts';
import { logError } from '#kit/log.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { asTenonError, type ErrorCode } from '#schema/errors.ts';

/** Decisions of the last seconds by tenant, actor and code: a flood of them becomes one event that counts them. */
export type DecisionLog = Map<string, { untilMs: number; suppressed: number }>;

/** Refusals that the tenant finds in her audit log, under the action they go by. Faults of a document are no decision. */
const RECORDED = {
  THROTTLED: 'request.throttle',
  FORBIDDEN: 'request.deny',
  TENANT_READ_ONLY: 'request.deny',
  TENANT_SUSPENDED: 'request.deny',
  PERSISTED_QUERY_NOT_IN_LIST: 'operation.refuse',
  PERSISTED_QUERY_ID_REQUIRED: 'operation.refuse',
  COST_ESTIMATED_TOO_EXPENSIVE: 'operation.refuse',
  INTROSPECTION_DISABLED: 'operation.refuse',
  MAX_DEPTH_LIMIT: 'operation.refuse',
  MAX_ALIASES_LIMIT: 'operation.refuse',
  MAX_ROOT_FIELDS_LIMIT: 'operation.refuse',
  MAX_DIRECTIVES_LIMIT: 'operation.refuse',
  MAX_TOKENS_LIMIT: 'operation.refuse',
  MAX_DOCUMENT_LIMIT: 'operation.refuse',
  MAX_FIELDS_LIMIT: 'operation.refuse',
  MAX_OVERLAPS_LIMIT: 'operation.refuse',
  MAX_DEFINITIONS_LIMIT: 'operation.refuse',
  MAX_VARIABLES_LIMIT: 'operation.refuse',
  MAX_LITERALS_LIMIT: 'operation.refuse',
  MAX_NAME_LIMIT: 'operation.refuse',
  MAX_INPUT_LIMIT: 'operation.refuse',
  RESPONSE_TOO_LARGE: 'operation.refuse',
  BATCH_LIMIT_EXCEEDED: 'operation.refuse',
} as const satisfies Partial<Record<ErrorCode, string>>;

/** One event for each tenant, actor and code in this time; the next one says how many were left out. */
const COALESCE_MS = 10_000;
const MOST_REMEMBERED = 10_000;

/**
 * Records a decision of the gateway against a request in the audit log of the tenant, if it is one of those she finds
 * there; the caller gets her answer also where that fails.
 */
export async function recordDecision(decisions: DecisionLog, ctx: RequestContext, code: ErrorCode): Promise<void> {
  if (!isRecorded(code)) return;
  const key = `${ctx.tenant.tenant} ${ctx.tenant.actor.id} ${code}`;
  const nowMs = ctx.clock().getTime();
  const recent = decisions.get(key);
  if (recent !== undefined && recent.untilMs > nowMs) {
    recent.suppressed += 1;
    return;
  }
  decisions.delete(key);
  decisions.set(key, { untilMs: nowMs + COALESCE_MS, suppressed: 0 });
  if (decisions.size > MOST_REMEMBERED) decisions.delete(decisions.keys().next().value ?? '');
  const resource = { type: 'gateway', id: 'graphql', name: null };
  const context = {
    code,
    ...(ctx.tenant.client === null ? {} : { client: ctx.tenant.client }),
    suppressed: recent?.suppressed ?? 0,
  };
  await recordAudit(ctx, { action: RECORDED[code], resource, context, outcome: 'denied' }).catch((error: unknown) =>
    logError(asTenonError(error), ctx.tenant.requestId),
  );
}

function isRecorded(code: ErrorCode): code is keyof typeof RECORDED {
  return Object.hasOwn(RECORDED, code);
}
