import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, uuidOrNull, type Id } from '#schema/ids.ts';
import { heldScopes } from '../access/roles.ts';
import { Role } from '../model.ts';
import { requireUser } from '../service.ts';
import { checkConnection, type Finding } from './check.ts';
import { requireConnection } from './connection.ts';
import type { RemoveIdentityLinkInput } from './inputs.ts';
import { ConnectionState, IdentityConnection } from './model.ts';

type Manager = Pick<TenantTransaction, 'manager'>;

/** Returns the tenant's connections, oldest first. */
export async function listConnections(ctx: RequestContext): Promise<IdentityConnection[]> {
  return inTenantOnce(ctx, ({ manager }) =>
    manager.find(IdentityConnection, { order: { createdAt: 'ASC', id: 'ASC' } }),
  );
}

/** Returns a connection, or null where the tenant has none of that id. */
export async function findConnection(ctx: RequestContext, id: string): Promise<IdentityConnection | null> {
  if (uuidOrNull('con', id) === null) return null;
  return inTenantOnce(ctx, ({ manager }) => manager.findOneBy(IdentityConnection, { id: id as Id<'con'> }));
}

/** Asks the identity provider of a connection, now, whether people could sign in over it; the answer is recorded. */
export async function testConnection(ctx: RequestContext, id: string): Promise<{ ok: boolean; findings: Finding[] }> {
  const connection = await inTenant(ctx, (tx) => requireConnection(tx, id));
  const findings = await checkConnection(ctx, connection);
  const failed = findings.filter(({ ok }) => !ok).map(({ check }) => check);
  await inTenant(ctx, (tx) =>
    auditConnection(tx, ctx, { action: 'identity_connection.test', connection, context: { failed } }),
  );
  return { ok: failed.length === 0, findings };
}

/**
 * Lets people sign in over a connection, once its identity provider has been asked and found right (BAD_USER_INPUT with
 * what is wrong otherwise). It can bring in anybody of the tenant, so whoever activates it must hold all that anybody
 * holds (FORBIDDEN). Again is no error.
 */
export async function activateConnection(ctx: RequestContext, id: string): Promise<IdentityConnection> {
  const connection = await inTenant(ctx, async (tx) => {
    const known = await requireConnection(tx, id);
    await requireAllRights(tx, ctx);
    if (known.state === ConnectionState.ACTIVE) await appendUnchanged(tx, ctx, 'identity_connection.activate');
    return known;
  });
  if (connection.state === ConnectionState.ACTIVE) return connection;
  await requireUsable(ctx, connection);
  return moveConnection(ctx, connection, { state: ConnectionState.ACTIVE, action: 'identity_connection.activate' });
}

/**
 * Ends signing in over a connection; sessions that stand stay. The last active one is kept (CONFLICT) while people of a
 * domain may sign in over a connection alone. Again is no error.
 */
export async function disableConnection(ctx: RequestContext, id: string): Promise<IdentityConnection> {
  const connection = await inTenant(ctx, async (tx) => {
    const known = await requireConnection(tx, id);
    if (known.state === ConnectionState.DISABLED) await appendUnchanged(tx, ctx, 'identity_connection.disable');
    return known;
  });
  if (connection.state === ConnectionState.DISABLED) return connection;
  return moveConnection(ctx, connection, { state: ConnectionState.DISABLED, action: 'identity_connection.disable' });
}

/**
 * Deletes a connection with its links and what is under way over it; its people and groups stay, the groups managed by
 * hand from then on. The rule of `disableConnection` holds here too.
 */
export async function deleteConnection(ctx: RequestContext, id: string): Promise<string> {
  return inTenant(ctx, async (tx) => {
    const connection = await requireConnection(tx, id);
    await requireDispensable(tx, connection);
    const uuid = uuidOf('con', id);
    await tx.query('update domain_proofs set connection_id = null where connection_id = $1', [uuid]);
    await tx.query(
      `update groups set managed_by = 'person', managed_by_connection = null where managed_by_connection = $1`,
      [uuid],
    );
    await tx.query('delete from identity_connections where id = $1', [uuid]);
    await auditConnection(tx, ctx, { action: 'identity_connection.delete', connection });
    return connection.id;
  });
}

/**
 * Forgets whom a subject of an identity provider stands for, so that her next sign-in finds a person by address again; for
 * an account that was made anew there. Where nothing was known it is NOT_FOUND.
 */
export async function removeIdentityLink(ctx: RequestContext, input: RemoveIdentityLinkInput): Promise<string> {
  return inTenant(ctx, async (tx) => {
    const user = await requireUser(tx, input.userId);
    const connection = await requireConnection(tx, input.connectionId);
    const removed = await tx.query(
      'delete from identity_links where connection_id = $1 and user_id = $2 returning user_id',
      [uuidOf('con', connection.id), uuidOf('usr', user.id)],
    );
    if (removed.length === 0) fail('NOT_FOUND', 'the person has no link with the connection');
    await appendAudit(tx, ctx, {
      action: 'identity.unlink',
      resource: { type: 'user', id: user.id, name: user.displayName },
      context: { connection: connection.id },
    });
    return user.id;
  });
}

/** Passes whoever holds every right that anybody in the tenant has been granted; FORBIDDEN otherwise. */
export async function requireAllRights({ manager }: Manager, ctx: RequestContext): Promise<void> {
  const roles = await manager
    .createQueryBuilder(Role, 'row')
    .where('row.id in (select role_id from user_roles union select role_id from group_roles)')
    .getMany();
  for (const role of roles) heldScopes(ctx, role.scopes);
}

/** Passes a connection whose identity provider, asked now, would let people sign in; BAD_USER_INPUT with what is wrong. */
export async function requireUsable(ctx: RequestContext, connection: IdentityConnection): Promise<void> {
  const wrong = (await checkConnection(ctx, connection)).filter(({ ok }) => !ok);
  if (wrong.length > 0)
    fail('BAD_USER_INPUT', 'the connection does not pass its test', {
      hint: wrong.map(({ detail }) => detail).join(' '),
    });
}

/** What the audit log says of a connection. */
export interface ConnectionNote {
  readonly action: string;
  readonly connection: Pick<IdentityConnection, 'id' | 'name' | 'kind'>;
  readonly context?: Record<string, string | number | boolean | string[]>;
}

/** Writes an audit event about a connection into the transaction of its change. */
export async function auditConnection(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: RequestContext,
  { action, connection, context = {} }: ConnectionNote,
): Promise<void> {
  await appendAudit(tx, ctx, {
    action,
    resource: { type: 'identity_connection', id: connection.id, name: connection.name },
    context: { kind: connection.kind, ...context },
  });
}

interface Move {
  readonly state: ConnectionState;
  readonly action: string;
}

/** What was tested is what is activated: a change in between is CONFLICT. */
async function moveConnection(
  ctx: RequestContext,
  connection: IdentityConnection,
  { state, action }: Move,
): Promise<IdentityConnection> {
  return inTenant(ctx, async (tx) => {
    if (state === ConnectionState.DISABLED) await requireDispensable(tx, connection);
    const moved = await tx.query(
      'update identity_connections set state = $3, updated_at = $4, version = version + 1 where id = $1 and version = $2 returning id',
      [uuidOf('con', connection.id), connection.version, state, ctx.clock()],
    );
    if (moved.length === 0) fail('CONFLICT', 'the connection changed meanwhile', { hint: 'It was changed meanwhile.' });
    await auditConnection(tx, ctx, { action, connection });
    return requireConnection(tx, connection.id);
  });
}

/** Both rows are locked, so that two connections ended at the same moment do not each count on the other. */
async function requireDispensable(tx: Pick<TenantTransaction, 'query'>, { id }: IdentityConnection): Promise<void> {
  const active = await tx.query<{ id: string }>(
    `select id from identity_connections where state = 'active' order by id for no key update`,
  );
  const [enforced] = await tx.query('select id from domain_proofs where sso_enforced limit 1');
  if (enforced !== undefined && active.every((row) => row.id === uuidOf('con', id)))
    fail('CONFLICT', 'the last active connection of a tenant that enforces single sign-on', {
      hint: 'People of a domain may sign in over a connection alone; lift that first.',
    });
}
