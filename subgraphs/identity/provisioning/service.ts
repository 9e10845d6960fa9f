import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf } from '#schema/ids.ts';
import { findConnection, lockConnection, readConnections, type ScimConnection } from '../scim/connection.ts';
import type { CreateScimConnectionInput, UpdateScimConnectionInput } from './inputs.ts';

/** Connections of one tenant; the graph shows them all at once. */
const MAX_CONNECTIONS = 50;

type Query = Pick<TenantTransaction, 'query'>;

/** Returns the tenant's SCIM connections, oldest first. */
export async function listScimConnections(ctx: RequestContext): Promise<ScimConnection[]> {
  return inTenant(ctx, readConnections);
}

/** Returns a SCIM connection, or null where the tenant has none of that id. */
export async function findScimConnection(ctx: RequestContext, id: string): Promise<ScimConnection | null> {
  return inTenant(ctx, (tx) => findConnection(tx, id));
}

/** Makes a SCIM connection, active and without a token; a name that is taken is UNIQUENESS, the 51st one CONFLICT. */
export async function createScimConnection(
  ctx: RequestContext,
  { name, profile, manages }: CreateScimConnectionInput,
): Promise<ScimConnection> {
  const id = mintId('con');
  return inTenant(ctx, async (tx) => {
    if ((await readConnections(tx)).length >= MAX_CONNECTIONS)
      fail('CONFLICT', 'too many SCIM connections', { hint: `A tenant has at most ${MAX_CONNECTIONS} of them.` });
    await tx.query(
      `insert into scim_connections (id, name, profile, manages, created_at, updated_at)
       values ($1, $2, $3, coalesce($4, '{profile,active,groups}'::text[]), $5, $5)`,
      [uuidOf('con', id), name, profile, manages ?? null, ctx.clock()],
    );
    const connection = await lockConnection(tx, id);
    await auditConnection(tx, ctx, { action: 'scim_connection.create', connection });
    return connection;
  });
}

/** Changes a SCIM connection; its tokens go on, and their next request is read by the new profile. */
export async function updateScimConnection(
  ctx: RequestContext,
  { connectionId, name, profile, state, manages }: UpdateScimConnectionInput,
): Promise<ScimConnection> {
  return inTenant(ctx, async (tx) => {
    const before = await lockConnection(tx, connectionId);
    const changed = await tx.query(
      `update scim_connections c set name = n.name, profile = n.profile, state = n.state, manages = n.manages,
              updated_at = $6, version = version + 1
         from (select coalesce($2, name) as name, coalesce($3, profile) as profile, coalesce($4, state) as state,
                      coalesce($5::text[], manages) as manages from scim_connections where id = $1) as n
        where c.id = $1 and (c.name, c.profile, c.state, c.manages) is distinct from (n.name, n.profile, n.state, n.manages)
        returning c.id`,
      [uuidOf('con', connectionId), name ?? null, profile ?? null, state ?? null, manages ?? null, ctx.clock()],
    );
    const connection = await lockConnection(tx, connectionId);
    const old = { profile: before.profile, state: before.state, manages: [...before.manages] };
    if (changed.length === 0) await appendUnchanged(tx, ctx, 'scim_connection.update');
    else await auditConnection(tx, ctx, { action: 'scim_connection.update', connection, context: { before: old } });
    return connection;
  });
}

/** Deletes a SCIM connection with its log; its tokens end at once, and its people stay and are managed by hand. */
export async function deleteScimConnection(ctx: RequestContext, id: string): Promise<string> {
  return inTenant(ctx, async (tx) => {
    const connection = await lockConnection(tx, id);
    if (connection.isDefault)
      fail('CONFLICT', 'the default connection', { hint: 'The default connection can be disabled, not deleted.' });
    const uuid = uuidOf('con', id);
    const ended = await tx.query<{ id: string }>(
      'update credentials set revoked_at = $2 where scim_connection_id = $1 and revoked_at is null returning id',
      [uuid, ctx.clock()],
    );
    await tx.query('delete from scim_connections where id = $1', [uuid]);
    const context = { tokens_revoked: ended.map((token) => idOf('scm', token.id)) };
    await auditConnection(tx, ctx, { action: 'scim_connection.delete', connection, context });
    return id;
  });
}

interface ConnectionNote {
  readonly action: string;
  readonly connection: ScimConnection;
  readonly context?: Record<string, JsonValue>;
}

async function auditConnection(
  tx: Query,
  ctx: RequestContext,
  { action, connection, context = {} }: ConnectionNote,
): Promise<void> {
  const { id, name, profile, state, manages } = connection;
  await appendAudit(tx, ctx, {
    action,
    resource: { type: 'scim_connection', id, name },
    context: { profile, state, manages: [...manages], ...context },
  });
}
