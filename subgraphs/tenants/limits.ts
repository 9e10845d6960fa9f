import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { findTenant } from '#kit/directory.ts';
import { appendAudit, recordAudit, type AuditNote } from '#kit/outbox.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { effectiveLimits, readTierTable } from '#kit/tenant-limits.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf } from '#schema/ids.ts';
import { firstRaise, readLimitsChange, readSubjectChange } from '#schema/limits-change.ts';
import type { Tier } from '#schema/tenant-context.ts';
import { changeNote, refuseNumber } from './limits-note.ts';
import type {
  BudgetLimitsView,
  ClientBudget,
  RemoveClientLimitsInput,
  SetClientLimitsInput,
  SetTenantLimitsInput,
} from './limits-model.ts';
import { contextIn } from './operator.ts';

/** Clients with limits of their own a tenant may have: each is read with the credentials of that client alone. */
const MAX_CLIENTS = 200;
/** The row about the whole tenant. */
const WHOLE = '';

/** Returns what bounds a tenant's requests now; an unknown tenant is NOT_FOUND. */
export async function limitsOf(ctx: RequestContext, tenantId: string): Promise<BudgetLimitsView> {
  return inTenant(await requestIn(ctx, tenantId), (tx) => readView(tx, ctx));
}

/**
 * Sets what a tenant's budgets differ in from those of her tier, for an operator; an input without a number ends every
 * difference. Row and audit event are one transaction in the tenant's cell; the operators' own log gets the event after
 * it. An unknown tenant is NOT_FOUND, a number out of its bounds BAD_USER_INPUT.
 */
export async function setTenantLimits(ctx: RequestContext, input: SetTenantLimitsInput): Promise<BudgetLimitsView> {
  const change = readLimitsChange(input, refuseNumber);
  const target = await requestIn(ctx, input.tenantId);
  const { view, note } = await inTenant(target, async (tx) => {
    const { id, name } = await lockTenant(tx);
    const before = await storeRow(tx, target, { client: WHOLE, limits: change });
    const resource = { type: 'tenant', id: idOf('tnt', id), name };
    const written: AuditNote = changeNote('limits.change', resource, { before, after: change });
    await appendAudit(tx, target, written);
    return { view: await readView(tx, ctx), note: written };
  });
  await recordAudit(ctx, note);
  return view;
}

/**
 * Allows a client of the caller's tenant less than each may have; row and audit event are one transaction. A number
 * above that is BAD_USER_INPUT, and a key that changes the limits of its own client FORBIDDEN.
 */
export async function setClientLimits(ctx: RequestContext, input: SetClientLimitsInput): Promise<BudgetLimitsView> {
  refuseOwnClient(ctx, input.client);
  const change = readSubjectChange(input, refuseNumber);
  if (Object.keys(change).length === 0)
    fail('BAD_USER_INPUT', 'no number', { hint: 'Name at least one number, or use removeClientLimits.' });
  return inTenant(ctx, async (tx) => {
    await lockTenant(tx);
    const { client: allowed, clients } = await readView(tx, ctx);
    const raised = firstRaise(allowed, change);
    if (raised !== null)
      fail('BAD_USER_INPUT', 'above the tenant', { hint: `"${raised}" is above what each client may have.` });
    if (clients.length >= MAX_CLIENTS && !clients.some(({ client }) => client === input.client))
      fail('BAD_USER_INPUT', 'too many clients', { hint: `At most ${MAX_CLIENTS} clients have limits of their own.` });
    const before = await storeRow(tx, ctx, { client: input.client, limits: change });
    await appendAudit(
      tx,
      ctx,
      changeNote('limits.change_client', clientResource(input.client), { before, after: change }),
    );
    return readView(tx, ctx);
  });
}

/** Ends the limits of one client; row and audit event are one transaction. Without any it is NOT_FOUND. */
export async function removeClientLimits(
  ctx: RequestContext,
  { client }: RemoveClientLimitsInput,
): Promise<BudgetLimitsView> {
  refuseOwnClient(ctx, client);
  return inTenant(ctx, async (tx) => {
    await lockTenant(tx);
    const before = await storeRow(tx, ctx, { client, limits: {} });
    if (before === null) fail('NOT_FOUND', 'the client has no limits of its own');
    await appendAudit(tx, ctx, changeNote('limits.remove_client', clientResource(client), { before, after: {} }));
    return readView(tx, ctx);
  });
}

async function requestIn(ctx: RequestContext, tenantId: string): Promise<RequestContext> {
  if (tenantId === ctx.tenant.tenant) return ctx;
  const place = await findTenant(ctx.databases, idOf('tnt', uuidOf('tnt', tenantId)));
  if (place === null) fail('NOT_FOUND', 'the directory has no such tenant');
  return requestContext(ctx.platform, contextIn(place, ctx.tenant));
}

/** A key that is held back would free itself. */
function refuseOwnClient(ctx: RequestContext, client: string): void {
  if (ctx.tenant.client === client)
    fail('FORBIDDEN', 'a key changes the limits of its own client', { hint: 'A client does not set its own limits.' });
}

function clientResource(client: string): AuditNote['resource'] {
  return { type: 'client', id: client, name: null };
}

/** Changes of a tenant's limits take turns, so that each sees the one before. */
async function lockTenant(tx: TenantTransaction): Promise<{ id: string; name: string }> {
  const [row] = await tx.query<{ id: string; name: string }>('select id, name from tenants for update');
  return row ?? fail('NOT_FOUND', 'the tenant has no row in her cell');
}

/** Stores a row, or removes it where it names no number; returns what stood there before, or null. */
async function storeRow(
  tx: TenantTransaction,
  ctx: RequestContext,
  { client, limits }: { client: string; limits: object },
): Promise<unknown> {
  const [before] = await tx.query<{ limits: unknown }>('select limits from budget_limits where client = $1', [client]);
  if (Object.keys(limits).length === 0) await tx.query('delete from budget_limits where client = $1', [client]);
  else
    await tx.query(
      `insert into budget_limits (client, limits, updated_at) values ($1, $2, $3)
       on conflict (tenant_id, client) do update set limits = excluded.limits, updated_at = excluded.updated_at`,
      [client, JSON.stringify(limits), ctx.clock()],
    );
  return before?.limits ?? null;
}

async function readView(tx: TenantTransaction, { databases }: RequestContext): Promise<BudgetLimitsView> {
  const tiers = await readTierTable(databases);
  const [tenant] = await tx.query<{ tier: Tier }>('select tier from tenants');
  if (tenant === undefined) return fail('NOT_FOUND', 'the tenant has no row in her cell');
  const rows = await tx.query<{ client: string; limits: unknown }>(
    'select client, limits from budget_limits order by client collate "C"',
  );
  const whole = rows.find(({ client }) => client === WHOLE)?.limits ?? null;
  const limits = effectiveLimits(tiers[tenant.tier], { tenant: whole, client: null });
  const clients = rows
    .filter(({ client }) => client !== WHOLE)
    .map((row): ClientBudget => {
      const { client: budget } = effectiveLimits(limits, { tenant: null, client: row.limits });
      return { client: row.client, budget };
    });
  return { ...limits, clients };
}
