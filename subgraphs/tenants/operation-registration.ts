import { setImmediate } from 'node:timers/promises';
import { In } from 'typeorm';
import { platformApiSchema } from '#kit/api-schema.ts';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { effectiveLimits, readTenantOverride, readTierTable } from '#kit/tenant-limits.ts';
import { DEFAULT_LIMITS, type Limits } from '#schema/limits.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { operationCost } from '#schema/operation-ceiling.ts';
import { schemaFault } from '#schema/operation-check.ts';
import { sha256Hex } from '#schema/operation-id.ts';
import { checkLimits, checkSource } from '#schema/operation-limits.ts';
import {
  manifestFingerprint,
  readManifest,
  type ManifestFault,
  type ManifestOperation,
} from '#schema/operation-manifest.ts';
import type { RegisterOperationsInput, RegisterOperationsPayload } from './operation-inputs.ts';
import { isExpiredAt, OperationState, RegisteredOperation, stateAt } from './operation-model.ts';
import { faultHint, readAgain, recordAll, uuidsOf } from './operations.ts';

/**
 * Registers every operation of a manifest for a client, or none: each is parsed, measured, held against the supergraph's
 * API schema and estimated; BAD_USER_INPUT names each one at fault. Its cost ceiling is its estimate where no variable
 * can change that, else what the manifest allows it, else what the tenant's limits allow a single operation.
 *
 * Registering the same again changes nothing. A revoked or expired operation waits for approval anew; another document
 * under an id that is taken is CONFLICT. Rows and audit events are one transaction.
 */
export async function registerOperations(
  ctx: RequestContext,
  { client, manifest, expiresAt = null }: RegisterOperationsInput,
): Promise<RegisterOperationsPayload> {
  if (expiresAt !== null && expiresAt <= ctx.clock()) {
    fail('BAD_USER_INPUT', 'expired before it began', { hint: '"expiresAt" takes a time to come.' });
  }
  const bounds = { limits: ctx.platform.config.limits ?? DEFAULT_LIMITS, maxQueryCost: await maxQueryCost(ctx) };
  const operations = await acceptable(readManifest(manifest, client), bounds);
  const fingerprint = manifestFingerprint(client, operations);
  return inTenant(ctx, async (tx) => {
    const wanted: Wanted = { client, fingerprint, expiresAt, operations };
    const known = await lockKnown(tx, wanted);
    refuseChanged(known, wanted);
    const changed = [
      ...(await insertNew(tx, ctx, { wanted, known })),
      ...(await renewKnown(tx, ctx, { wanted, known })),
    ];
    await recordAll(tx, ctx, { action: 'operation.register', operations: changed });
    const changedIds = new Set(changed.map(({ id }) => id));
    const standing = known.filter(({ id }) => !changedIds.has(id));
    return {
      operations: await readAgain(tx, [...standing, ...changed]),
      registered: changed.length,
      manifestFingerprint: fingerprint,
    };
  });
}

interface PricedOperation extends ManifestOperation {
  readonly ceiling: number;
}

interface Wanted {
  readonly client: string;
  readonly fingerprint: string;
  readonly expiresAt: Date | null;
  readonly operations: readonly PricedOperation[];
}

interface Registration {
  readonly wanted: Wanted;
  readonly known: readonly RegisteredOperation[];
}

/** What bounds every single operation of the tenant. */
interface Bounds {
  readonly limits: Limits;
  readonly maxQueryCost: number;
}

async function maxQueryCost(ctx: RequestContext): Promise<number> {
  const tiers = await readTierTable(ctx.databases);
  const tenant = await inTenantOnce(ctx, readTenantOverride);
  return effectiveLimits(tiers[ctx.tenant.tier], { tenant, client: null }).maxQueryCost;
}

/** Operations that are looked at before other requests get their turn. */
const TURN = 20;

async function acceptable(
  { operations, faults }: ReturnType<typeof readManifest>,
  bounds: Bounds,
): Promise<readonly PricedOperation[]> {
  const priced: PricedOperation[] = [];
  const found: ManifestFault[] = [...faults];
  for (const [index, operation] of operations.entries()) {
    if (index % TURN === TURN - 1) await setImmediate();
    const ceiling = ceilingOf(operation, bounds);
    if (typeof ceiling === 'number') priced.push({ ...operation, ceiling });
    else found.push({ id: operation.id, name: operation.name, reason: ceiling });
  }
  if (found.length > 0) fail('BAD_USER_INPUT', `${found.length} bad operations`, { hint: faultHint(found) });
  if (priced.length === 0) fail('BAD_USER_INPUT', 'empty manifest', { hint: 'The manifest holds no operation.' });
  return priced;
}

/** Returns the cost ceiling, or the sentence that refuses the operation. */
function ceilingOf({ document, body, maxCost }: ManifestOperation, bounds: Bounds): number | string {
  const { schema, costs } = platformApiSchema();
  try {
    checkSource(body, bounds.limits);
    checkLimits(document, bounds.limits);
    const fault = schemaFault(schema, document);
    if (fault !== null) return fault;
    const { estimate, isOpen } = operationCost({ document, schema, costs });
    const allowed = Math.min(maxCost ?? Infinity, bounds.maxQueryCost);
    if (estimate > allowed) return `it is estimated at ${estimate} points, at most ${allowed} are allowed`;
    return isOpen ? allowed : estimate;
  } catch (error) {
    return asTenonError(error).publicMessage;
  }
}

async function lockKnown(tx: TenantTransaction, { client, operations }: Wanted): Promise<RegisteredOperation[]> {
  return tx.manager.find(RegisteredOperation, {
    where: { client, documentId: In(operations.map(({ key }) => key)) },
    order: { id: 'ASC' },
    lock: { mode: 'pessimistic_write' },
  });
}

function refuseChanged(known: readonly RegisteredOperation[], { operations }: Wanted): void {
  const bodies = new Map(known.map(({ documentId, body }) => [documentId, body]));
  const changed = operations.filter(({ key, body }) => bodies.has(key) && bodies.get(key) !== body);
  if (changed.length === 0) return;
  const faults = changed.map(({ id, name }) => ({ id, name, reason: 'the id is taken by another document' }));
  fail('CONFLICT', `${changed.length} ids are taken`, { hint: faultHint(faults) });
}

async function insertNew(
  tx: TenantTransaction,
  ctx: RequestContext,
  { wanted, known }: Registration,
): Promise<RegisteredOperation[]> {
  const taken = new Set(known.map(({ documentId }) => documentId));
  const rows = wanted.operations
    .filter(({ key }) => !taken.has(key))
    .map((operation) => ({ operation, id: mintId('opr') }));
  const inserted = await tx.query<{ key: string }>(
    `insert into registered_operations
       (id, client, key, name, kind, body, body_hash, cost_ceiling, manifest_fingerprint, registered_by, registered_at, expires_at)
     select row.id, $1, row.key, row.name, row.kind, row.body, row.body_hash, row.ceiling, $2, $3, $4, $5
       from unnest($6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::integer[])
         as row (id, key, name, kind, body, body_hash, ceiling)
     on conflict (tenant_id, client, key) do nothing returning key`,
    [
      wanted.client,
      wanted.fingerprint,
      ctx.tenant.actor.id,
      ctx.clock(),
      wanted.expiresAt,
      rows.map(({ id }) => uuidOf('opr', id)),
      rows.map(({ operation }) => operation.key),
      rows.map(({ operation }) => operation.name),
      rows.map(({ operation }) => operation.kind),
      rows.map(({ operation }) => operation.body),
      rows.map(({ operation }) => sha256Hex(operation.body)),
      rows.map(({ operation }) => operation.ceiling),
    ],
  );
  if (inserted.length < rows.length) {
    fail('CONFLICT', 'registered at the same moment', { hint: 'Somebody registers the same now; send it again.' });
  }
  return readAgain(tx, rows);
}

/** What ended starts anew; what waits follows the newest manifest; what was approved stays as it was approved. */
async function renewKnown(
  tx: TenantTransaction,
  ctx: RequestContext,
  { wanted, known }: Registration,
): Promise<RegisteredOperation[]> {
  const now = ctx.clock();
  const ceilings = new Map(wanted.operations.map(({ key, ceiling }) => [key, ceiling]));
  const ended = known.filter((row) => stateAt(row, now) === OperationState.REVOKED || isExpiredAt(row, now));
  const moved = known.filter((row) => !ended.includes(row) && row.storedState === 'PENDING' && isOther(row, wanted));
  const renewed = [...ended, ...moved];
  if (renewed.length === 0) return [];
  await tx.query(
    `update registered_operations o set state = 'PENDING', cost_ceiling = n.ceiling, manifest_fingerprint = $3, expires_at = $4,
            approved_by = null, approved_at = null,
            revoked_by = case when n.ended then null else o.revoked_by end,
            revoked_at = case when n.ended then null else o.revoked_at end,
            registered_by = case when n.ended then $5 else o.registered_by end,
            registered_at = case when n.ended then $6 else o.registered_at end
       from unnest($1::uuid[], $2::integer[], $7::boolean[]) as n (id, ceiling, ended) where o.id = n.id`,
    [
      uuidsOf(renewed),
      renewed.map(({ documentId }) => ceilings.get(documentId)),
      wanted.fingerprint,
      wanted.expiresAt,
      ctx.tenant.actor.id,
      now,
      renewed.map((row) => ended.includes(row)),
    ],
  );
  return readAgain(tx, renewed);
}

function isOther({ manifestFingerprint: manifest, expiresAt }: RegisteredOperation, wanted: Wanted): boolean {
  return manifest !== wanted.fingerprint || expiresAt?.getTime() !== wanted.expiresAt?.getTime();
}
