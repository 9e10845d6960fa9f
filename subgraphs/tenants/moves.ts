import { pageOf, pageRequest, uuidAfter, type Connection } from '#kit/connection.ts';
import { inTenant, sqlState, type Databases } from '#kit/database.ts';
import { findTenant, type TenantPlace } from '#kit/directory.ts';
import { storeVersion } from '#kit/store-admission.ts';
import { recordAudit, type AuditNote } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf, uuidOrNull } from '#schema/ids.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import type { Placement } from '#schema/tenant-store.ts';
import { REVERSIBLE_PHASES } from '#schema/tenant-move.ts';
import type { StartTenantMoveInput, TenantMove, TenantMoveArgs } from './move-model.ts';

/** What a move is asked for with. */
export interface MoveOrder extends Pick<StartTenantMoveInput, 'reason'> {
  readonly tenant: TenantPlace;
  readonly cell: string;
  readonly placement: Placement;
  /** Public id, or the name of a part of the platform. */
  readonly requestedBy: string;
  readonly now: Date;
}

/** Tenants in these states have nothing that could move, or are about to have nothing. */
const IMMOVABLE: ReadonlySet<string> = new Set(['provisioning', 'erasing', 'erased']);

/**
 * Asks for a move of a tenant to another cell or store, which the worker then makes while she works. Where she lives there already,
 * or has nothing to move, it is INVALID_TRANSITION; where a move of hers is under way, CONFLICT; an unknown tenant is
 * NOT_FOUND, an unknown cell BAD_USER_INPUT.
 */
export async function startTenantMove(ctx: RequestContext, input: StartTenantMoveInput): Promise<TenantMove> {
  const tenant = await findTenant(ctx.databases, idOf('tnt', uuidOf('tnt', input.tenantId)));
  if (tenant === null) return fail('NOT_FOUND', 'the directory has no such tenant');
  const { reason } = input;
  const placement = input.placement ?? 'pool';
  const cell = input.cell ?? tenant.cell;
  const move = await orderMove(ctx.databases, {
    tenant,
    cell,
    placement,
    reason,
    requestedBy: ctx.tenant.actor.id,
    now: ctx.clock(),
  });
  await recordAudit(ctx, noteOf('tenant.start_move', move, { reason }));
  return move;
}

/** Writes a move down for the worker; the errors are those of `startTenantMove`. */
export async function orderMove(databases: Databases, order: MoveOrder): Promise<TenantMove> {
  const { tenant, cell, placement, reason, requestedBy, now } = order;
  requirePossible(databases, order);
  const id = uuidOf('mov', mintId('mov'));
  const values = [id, uuidOf('tnt', tenant.id), tenant.cell, tenant.store, cell, reason, requestedBy, now];
  const isPool = placement === 'pool';
  const { rowCount } = await databases.directory
    .query(isPool ? INTO_POOL : INTO_SILO, isPool ? values : [...values, await storeVersion()])
    .catch((cause: unknown) => {
      if (sqlState(cause) !== UNIQUE_VIOLATION) throw cause;
      return fail('CONFLICT', 'a move is under way', { hint: 'A move of this tenant is under way.', cause });
    });
  if (rowCount === 0)
    fail('SERVICE_UNAVAILABLE', `no silo is free in ${cell}`, { hint: `No silo stands ready in ${cell}.` });
  return (await findMove(databases, idOf('mov', id))) ?? fail('INTERNAL_SERVER_ERROR', 'the move is gone');
}

function requirePossible(databases: Databases, { tenant, cell, placement }: MoveOrder): void {
  const names = databases.cells.map(({ name }) => name);
  if (!names.includes(cell)) fail('BAD_USER_INPUT', 'no such cell', { hint: `"cell" takes ${names.join(', ')}.` });
  if (tenant.cell === cell && tenant.placement === placement) refuse(`She lives in a ${placement} of ${cell} already.`);
  if (placement === 'bridge' || tenant.placement === 'bridge') refuse('Tenants move between pools and silos.');
  if (placement === 'silo' && tenant.placement === 'silo')
    refuse('From one silo to another she moves by way of a pool.');
  if (IMMOVABLE.has(tenant.state)) refuse(`A tenant who is ${tenant.state} does not move.`);
}

function refuse(hint: string): never {
  return fail('INVALID_TRANSITION', `no such move: ${hint}`, { hint });
}

const INSERT = `insert into tenant_moves
  (id, tenant_id, from_cell, from_store, to_cell, to_store, reason, requested_by, requested_at)`;
const INTO_POOL = `${INSERT} values ($1, $2, $3, $4, $5, 'pool', $6, $7, $8)`;
const INTO_SILO = `
  with free as (
    select name from stores where cell = $5 and name like 'silo%' and tenant_id is null and left_at is null
       and fault is null and version >= $9 order by created_at, name limit 1 for update skip locked),
  given as (
    update stores s set tenant_id = $2 from free where s.cell = $5 and s.name = free.name returning s.name)
  ${INSERT} select $1, $2, $3, $4, $5, name, $6, $7, $8 from given`;
const UNIQUE_VIOLATION = '23505';

/**
 * Calls a move off: the worker takes back all that was done. Once she is being sent to her new cell it is
 * INVALID_TRANSITION; said twice it changes nothing; an unknown move is NOT_FOUND.
 */
export async function cancelTenantMove(ctx: RequestContext, id: string): Promise<TenantMove> {
  const uuid = uuidOrNull('mov', id) ?? fail('NOT_FOUND', 'no move has such an id');
  const { rowCount } = await ctx.databases.directory.query(
    'update tenant_moves set cancel_requested_at = $2 where id = $1 and phase = any ($3) and cancel_requested_at is null',
    [uuid, ctx.clock(), REVERSIBLE_PHASES],
  );
  const move = (await findMove(ctx.databases, id)) ?? fail('NOT_FOUND', 'no such move');
  if (rowCount === 1) await recordAudit(ctx, noteOf('tenant.cancel_move', move, {}));
  else if (move.isCancelling || move.phase === 'cancelled')
    await inTenant(ctx, (tx) => appendUnchanged(tx, ctx, 'tenant.cancel_move'));
  else
    fail('INVALID_TRANSITION', `the move is ${move.phase}`, {
      hint: 'She lives in her new cell; move her back instead.',
    });
  return move;
}

/** Returns a move, or null where there is none of that id. */
export async function findMove(databases: Databases, id: string): Promise<TenantMove | null> {
  const uuid = uuidOrNull('mov', id);
  if (uuid === null) return null;
  const { rows } = await databases.directory.query<MoveRow>(`${SELECT} where id = $1`, [uuid]);
  return rows[0] === undefined ? null : moveOf(rows[0]);
}

/** Returns a page of moves, newest first. */
export async function listMoves({ databases }: RequestContext, args: TenantMoveArgs): Promise<Connection<TenantMove>> {
  const request = pageRequest(args);
  const after = uuidAfter(request, 'mov');
  const tenant = args.tenantId == null ? null : uuidOf('tnt', args.tenantId);
  const { rows } = await databases.directory.query<MoveRow>(
    `${SELECT} where ($1::uuid is null or id < $1) and ($2::uuid is null or tenant_id = $2) order by id desc limit $3`,
    [after, tenant, request.limit],
  );
  return pageOf(rows.map(moveOf), request);
}

const SELECT = `select id, tenant_id as "tenantId", from_cell as "fromCell", from_store as "fromStore",
  to_cell as "toCell", to_store as "toStore", phase, reason,
  requested_by as "requestedBy", requested_at as "requestedAt", progress_done::float8 as done, progress_total::float8 as total,
  fences as holds, obstacle, fence_ms as "heldMs", cancel_requested_at is not null and ended_at is null as "isCancelling",
  switched_at as "switchedAt", ended_at as "endedAt", certificate from tenant_moves`;

type MoveRow = Omit<TenantMove, 'progress'> & { readonly done: number; readonly total: number | null };

function moveOf({ done, total, ...row }: MoveRow): TenantMove {
  return { ...row, id: idOf('mov', row.id), tenantId: idOf('tnt', row.tenantId), progress: { done, total } };
}

function noteOf(
  action: string,
  { id, tenantId, fromCell, fromStore, toCell, toStore }: TenantMove,
  more: { readonly [key: string]: JsonValue },
): AuditNote {
  return {
    action,
    resource: { type: 'tenant', id: tenantId, name: null },
    context: { move: id, from_cell: fromCell, from_store: fromStore, to_cell: toCell, to_store: toStore, ...more },
  };
}
