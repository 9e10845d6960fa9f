import { GraphQLError, type GraphQLFormattedError } from 'graphql';
import { dryRunExtension } from '#schema/cost/query-cost.ts';
import type { ErrorCode } from '#schema/errors.ts';
import { isBeyond } from '#schema/limits.ts';
import { admit, settle, type AskedOperation } from './admission.ts';
import { outcomeText, refusalStatus, spendingAnswer } from './answer.ts';
import type { CostExtension } from './budget/budget-headers.ts';
import { recordDecision } from './decisions.ts';
import { recordSupport } from './support-record.ts';
import type { ProgramResult } from './execution/program.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { GatewayParts } from './gateway-parts.ts';
import type { HttpAnswer } from './http/exchange.ts';
import type { MediaType } from './http/negotiation.ts';
import { codeOf, maskError, refusalAnswer, toGraphqlError } from './use-error-masking.ts';

/** An operation as it is asked for, and the form of its answer. */
interface AskedForm extends AskedOperation {
  readonly mediaType: MediaType;
}

/** What came of an operation. */
interface Ran {
  /** The text of `data`; undefined where nothing ran. */
  readonly data: string | null | undefined;
  readonly errors: readonly GraphQLFormattedError[];
  /** Set where nothing ran. */
  readonly refused: ErrorCode | null;
}

const NO_HEADERS: Readonly<Record<string, string>> = {};
const DRY: Ran = { data: null, errors: [], refused: null };

/**
 * Runs a known operation from its admission to its answer, past Apollo Server, which has parsed, validated and measured
 * it when it was first seen. An operation that is seen for the first time takes the same steps as a plugin of Apollo
 * Server (apollo-server.ts).
 */
export async function runKnown(parts: GatewayParts, ctx: GatewayContext, asked: AskedForm): Promise<HttpAnswer> {
  try {
    const admitted = admit(parts.admission, ctx, asked);
    if (admitted !== undefined) await admitted;
  } catch (thrown) {
    return answerOf(parts, ctx, { asked, ran: await refusedBy(parts, ctx, thrown) });
  }
  // What began before the wait comes to nothing but an answer that can be forgotten (http/exchange.ts).
  return await runAdmitted(parts, ctx, asked);
}

async function runAdmitted(parts: GatewayParts, ctx: GatewayContext, asked: AskedForm): Promise<HttpAnswer> {
  let ran: Ran;
  try {
    ran = ctx.dryRun ? DRY : ranTo(await callSubgraphs(parts, ctx, asked));
  } catch (thrown) {
    ran = await refusedBy(parts, ctx, thrown);
  }
  return answerOf(parts, ctx, { asked, ran });
}

function answerOf(
  parts: GatewayParts,
  ctx: GatewayContext,
  { asked, ran }: { readonly asked: AskedForm; readonly ran: Ran },
): HttpAnswer {
  const { data, errors, refused } = ran;
  const { mediaType } = asked;
  if (errors.length > 0) ctx.code = refused ?? codeOf(errors[0]);
  const spent = spendingAnswer(ctx, settle(parts.admission, ctx), ctx.dryRun ? costDetail(ctx, asked) : NO_HEADERS);
  const extensions = extensionsText(spent.cost, ctx.dryRun);
  const status = refused === null ? 200 : refusalStatus(refused, mediaType);
  return { status, mediaType, headers: spent.headers, text: outcomeText({ data, errors, extensions }) };
}

/** Written by hand, since every answer has it and it is nothing but numbers; a dry run has more in it. */
function extensionsText(cost: CostExtension, isDryRun: boolean): string {
  if (isDryRun) return JSON.stringify({ cost });
  const { requestedQueryCost, actualQueryCost, throttleStatus } = cost;
  const { maximumAvailable, currentlyAvailable, restoreRate } = throttleStatus;
  return (
    `{"cost":{"requestedQueryCost":${requestedQueryCost},"actualQueryCost":${actualQueryCost},"throttleStatus":` +
    `{"maximumAvailable":${maximumAvailable},"currentlyAvailable":${currentlyAvailable},"restoreRate":${restoreRate}}}}`
  );
}

/** What the subgraphs answered; `json` is null where the variables do not fit, so that nothing was asked. */
export interface Answered {
  readonly json: string | null;
  readonly errors: readonly GraphQLFormattedError[];
}

/** Calls the subgraphs for an operation that was let in, and notes what the answer cost. */
export async function callSubgraphs(
  { links, feed, limits, metrics, decisions, mutations }: GatewayParts,
  ctx: GatewayContext,
  { operation, variables }: AskedOperation,
): Promise<Answered> {
  const { signal, tenant } = ctx.request;
  if (tenant.support !== undefined) await recordSupport(ctx.request, operation);
  const noted = operation.kind === 'mutation' ? mutations.begin(ctx.request, operation.audited) : undefined;
  let ran: ProgramResult;
  try {
    ran = await operation.program.run({ variables, links, call: ctx, signal });
  } catch (thrown) {
    noted?.(null);
    throw thrown;
  }
  const { json, data, errors } = ran;
  noted?.(data);
  // Who changed something is answered when this gateway knows of it, so that her next request meets no older memory.
  // An operator may have changed something in any cell.
  if (operation.kind === 'mutation') await feed.caughtUp(tenant.scopes.includes('platform:tenants') ? null : tenant);
  // What it cost is paid also where the answer turns out too large.
  if (ctx.spending !== undefined && json !== null) ctx.spending.actual = operation.cost.actual(data, variables);
  if (json !== null && isBeyond(limits, 'responseBytes', bytesOf(json, limits.responseBytes.max)))
    metrics.limitsExceeded(['responseBytes']);
  if (errors.length === 0) return { json, errors };
  const masked = errors.map((error) => maskError(error, tenant.requestId));
  const denied = masked.map(codeOf).find((code) => DENIALS.has(code));
  if (denied !== undefined) await recordDecision(decisions, ctx.request, denied);
  return { json, errors: masked };
}

/** UTF-8 takes at most three bytes for what is one of a string's units: an answer that cannot be too long is not counted. */
function bytesOf(json: string, max: number): number {
  return json.length * 3 <= max ? json.length : Buffer.byteLength(json);
}

/** What a subgraph denies inside an answer, the tenant finds in her log like what the gateway itself denies. */
const DENIALS: ReadonlySet<ErrorCode> = new Set(['FORBIDDEN', 'TENANT_READ_ONLY', 'TENANT_SUSPENDED']);

/** Runs an operation on its way through Apollo Server, which writes the answer itself. */
export async function executeForApollo(
  parts: GatewayParts,
  ctx: GatewayContext,
  variables: Readonly<Record<string, unknown>>,
): Promise<{ data?: Record<string, unknown> | null; errors?: GraphQLError[] }> {
  const { operation } = ctx;
  if (operation === undefined) throw new Error('an operation is prepared before it runs');
  const answered = await callSubgraphs(parts, ctx, { operation, variables }).catch((thrown: unknown) =>
    toGraphqlError(thrown, ctx.request.tenant.requestId),
  );
  if (answered instanceof GraphQLError) return { errors: [answered] };
  const { json, errors } = answered;
  return {
    ...(json === null ? {} : { data: JSON.parse(json) as Record<string, unknown> | null }),
    ...(errors.length === 0 ? {} : { errors: errors.map(asGraphqlError) }),
  };
}

function asGraphqlError({ message, path, locations, extensions }: GraphQLFormattedError): GraphQLError {
  const error = new GraphQLError(message, { path: path ?? null, extensions: extensions ?? null });
  return locations === undefined ? error : Object.assign(error, { locations });
}

/** Returns where the estimate of a dry run comes from, by field; nothing for an operation that runs. */
export function costDetail(ctx: GatewayContext, { operation, variables }: AskedOperation): object {
  return ctx.dryRun && ctx.spending !== undefined ? dryRunExtension(operation.cost.estimate(variables)) : {};
}

function ranTo({ json, errors }: Answered): Ran {
  return json === null
    ? { data: undefined, errors, refused: codeOf(errors[0]) }
    : { data: json, errors, refused: null };
}

async function refusedBy(parts: GatewayParts, ctx: GatewayContext, thrown: unknown): Promise<Ran> {
  const { error, code } = refusalAnswer(thrown, ctx.request.tenant.requestId);
  await recordDecision(parts.decisions, ctx.request, code);
  return { data: undefined, errors: [error], refused: code };
}
