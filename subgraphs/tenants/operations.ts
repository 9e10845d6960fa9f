import { In } from 'typeorm';
import { newestFirst, pageOf, pageRequest, type Connection } from '#kit/connection.ts';
import { platformApiSchema } from '#kit/api-schema.ts';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import { checkOperations } from '#schema/operation-check.ts';
import { faultLine, type ManifestFault } from '#schema/operation-manifest.ts';
import type { OperationChoiceInput, RegisteredOperationArgs, ScheduleRevocationInput } from './operation-inputs.ts';
import { isExpiredAt, OperationState, RegisteredOperation, stateAt } from './operation-model.ts';

/** Returns a page of the tenant's registered operations, newest first. */
export async function listOperations(
  ctx: RequestContext,
  args: RegisteredOperationArgs,
): Promise<Connection<RegisteredOperation>> {
  const request = pageRequest(args);
  const now = ctx.clock();
  const rows = await inTenantOnce(ctx, ({ manager }) => {
    const query = newestFirst(manager.createQueryBuilder(RegisteredOperation, 'row'), request, 'opr');
    if (args.client != null) query.andWhere('row.client = :client', { client: args.client });
    // A revocation counts from the time it was set for.
    if (args.state === OperationState.REVOKED) query.andWhere('row.revokedAt <= :now', { now });
    else if (args.state != null) {
      query.andWhere('row.storedState = :state', { state: args.state });
      query.andWhere('(row.revokedAt is null or row.revokedAt > :now)', { now });
    }
    return query.getMany();
  });
  return pageOf(rows, request);
}

/**
 * Lets operations run from now on, with their audit events in one transaction; those that run already stay as they are.
 * Chosen by manifest, the revoked and expired ones are passed over; by id they are CONFLICT. FORBIDDEN for the API key
 * that registered one of them; BAD_USER_INPUT where the supergraph no longer has what one asks for.
 */
export async function approveOperations(
  ctx: RequestContext,
  choice: OperationChoiceInput,
): Promise<RegisteredOperation[]> {
  const { actor } = ctx.tenant;
  const now = ctx.clock();
  return inTenant(ctx, async (tx) => {
    const chosen = await lockChosen(tx, choice);
    const dead = chosen.filter((row) => stateAt(row, now) === OperationState.REVOKED || isExpiredAt(row, now));
    if (choice.ids != null && dead.length > 0) {
      fail('CONFLICT', 'revoked or expired', {
        hint: `Revoked or expired, to be registered again: ${idsOf(dead)}.`,
      });
    }
    const pending = chosen.filter((row) => row.storedState === 'PENDING' && !dead.includes(row));
    if (actor.type === 'api_key' && pending.some(({ registeredBy }) => registeredBy === actor.id)) {
      fail('FORBIDDEN', 'a key approves what it registered', { hint: 'The key that registered it cannot approve it.' });
    }
    refuseBroken(pending);
    await tx.query(
      `update registered_operations set state = 'APPROVED', approved_by = $2, approved_at = $3 where id = any($1)`,
      [uuidsOf(pending), actor.id, now],
    );
    await recordAll(tx, ctx, { action: 'operation.approve', operations: pending });
    return readAgain(tx, chosen);
  });
}

/** Ends operations now, whatever their state, with their audit events in one transaction; revoked ones stay as they are. */
export async function revokeOperations(
  ctx: RequestContext,
  choice: OperationChoiceInput,
): Promise<RegisteredOperation[]> {
  const now = ctx.clock();
  return inTenant(ctx, async (tx) => {
    const chosen = await lockChosen(tx, choice);
    const alive = chosen.filter((row) => stateAt(row, now) !== OperationState.REVOKED);
    await tx.query(
      `update registered_operations set state = 'REVOKED', revoked_by = $2, revoked_at = $3 where id = any($1)`,
      [uuidsOf(alive), ctx.tenant.actor.id, now],
    );
    await recordAll(tx, ctx, { action: 'operation.revoke', operations: alive });
    return readAgain(tx, chosen);
  });
}

/** Sets when operations end, with their audit events in one transaction; a time that has passed is BAD_USER_INPUT. */
export async function scheduleRevocation(
  ctx: RequestContext,
  { at, ...choice }: ScheduleRevocationInput,
): Promise<RegisteredOperation[]> {
  const now = ctx.clock();
  if (at <= now) fail('BAD_USER_INPUT', 'the time has passed', { hint: '"at" takes a time to come.' });
  return inTenant(ctx, async (tx) => {
    const chosen = await lockChosen(tx, choice);
    const alive = chosen.filter((row) => stateAt(row, now) !== OperationState.REVOKED);
    await tx.query('update registered_operations set revoked_by = $2, revoked_at = $3 where id = any($1)', [
      uuidsOf(alive),
      ctx.tenant.actor.id,
      at,
    ]);
    await recordAll(tx, ctx, {
      action: 'operation.schedule_revocation',
      operations: alive,
      context: { at: at.toISOString() },
    });
    return readAgain(tx, chosen);
  });
}

/** What is recorded of some operations. */
export interface OperationNote {
  readonly action: string;
  readonly operations: readonly RegisteredOperation[];
  readonly context?: Readonly<Record<string, string>>;
}

/** Writes one audit event for each operation into the transaction; where there is none, one that says so. */
export async function recordAll(tx: TenantTransaction, ctx: RequestContext, note: OperationNote): Promise<void> {
  if (note.operations.length === 0) await appendUnchanged(tx, ctx, note.action);
  for (const { id, name, client, documentId, bodyHash, maxCost, manifestFingerprint } of note.operations) {
    await appendAudit(tx, ctx, {
      action: note.action,
      resource: { type: 'registered_operation', id, name },
      context: {
        client,
        document_id: documentId,
        body_hash: bodyHash,
        max_cost: maxCost,
        manifest: manifestFingerprint,
        ...note.context,
      },
    });
  }
}

/** Returns the operations as they stand in the transaction now, in their order. */
export async function readAgain(
  { manager }: TenantTransaction,
  operations: readonly Pick<RegisteredOperation, 'id'>[],
): Promise<RegisteredOperation[]> {
  return manager.find(RegisteredOperation, {
    where: { id: In(operations.map(({ id }) => id)) },
    order: { id: 'ASC' },
  });
}

/** Returns the UUIDs of operations. */
export function uuidsOf(operations: readonly Pick<RegisteredOperation, 'id'>[]): string[] {
  return operations.map(({ id }) => uuidOf('opr', id));
}

/** Names the faults of a caller's operations, as many as an answer should hold. */
export function faultHint(faults: readonly ManifestFault[]): string {
  const shown = faults.slice(0, SHOWN_FAULTS).map((fault) => `${faultLine(fault).slice(0, 500).replace(/\.$/, '')}.`);
  return [...shown, ...(faults.length > SHOWN_FAULTS ? [`And ${faults.length - SHOWN_FAULTS} more.`] : [])].join(' ');
}

const SHOWN_FAULTS = 20;

/** In the order of their ids, so that two requests never wait for each other. */
async function lockChosen(tx: TenantTransaction, choice: OperationChoiceInput): Promise<RegisteredOperation[]> {
  const { ids, manifest } = choice;
  if ((ids == null) === (manifest == null)) {
    fail('BAD_USER_INPUT', 'neither or both', { hint: 'Give "ids" or "manifest", one of them.' });
  }
  const wanted = [...new Set(ids ?? [])];
  const where = manifest == null ? { id: In(wanted) } : { manifestFingerprint: manifest };
  const rows = await tx.manager.find(RegisteredOperation, {
    where,
    order: { id: 'ASC' },
    lock: { mode: 'pessimistic_write' },
  });
  if (rows.length === 0 || (ids != null && rows.length < wanted.length)) {
    fail('NOT_FOUND', 'no such operation in this tenant');
  }
  return rows;
}

function refuseBroken(operations: readonly RegisteredOperation[]): void {
  const relying = operations.map(({ client, documentId: id, name, body }) => ({ client, id, name, body }));
  const broken = checkOperations(platformApiSchema().schema, relying);
  if (broken.length > 0) fail('BAD_USER_INPUT', `${broken.length} broken operations`, { hint: faultHint(broken) });
}

function idsOf(operations: readonly RegisteredOperation[]): string {
  return operations
    .slice(0, SHOWN_FAULTS)
    .map(({ id }) => id)
    .join(', ');
}
