import type { TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { uuidOrNull, type Id } from '#schema/ids.ts';
import { openSecret, sealSecret } from '#schema/sealed-secret.ts';
import { ConnectionState, IdentityConnection, type ConnectionKind } from './model.ts';

/** Returns a connection of the tenant; one of no such id, or of another tenant, is NOT_FOUND. */
export async function requireConnection(
  tx: Pick<TenantTransaction, 'manager'>,
  id: string,
): Promise<IdentityConnection> {
  return (await findConnection(tx, id)) ?? fail('NOT_FOUND', 'no such connection in this tenant');
}

/**
 * Returns the connection that a sign-in names, where it is active and of the kind; any other is UNAUTHENTICATED, so that
 * nobody learns from outside which there are.
 */
export async function activeConnection(
  tx: Pick<TenantTransaction, 'manager'>,
  { id, kind }: { readonly id: string; readonly kind: ConnectionKind },
): Promise<IdentityConnection> {
  const connection = await findConnection(tx, id);
  return connection?.state === ConnectionState.ACTIVE && connection.kind === kind
    ? connection
    : fail('UNAUTHENTICATED', 'no active connection of that id');
}

/** Returns the secret of a connection as it was given; null where it has none. */
export function connectionSecret(
  ctx: RequestContext,
  { id, secret }: Pick<IdentityConnection, 'id' | 'secret'>,
): string | null {
  if (secret === null) return null;
  return openSecret(ctx.databases.keys, { tenant: ctx.tenant.tenant, purpose: PURPOSE, id }, secret);
}

/** Returns the secret of a connection as it is stored. */
export function sealConnectionSecret(ctx: RequestContext, id: Id<'con'>, secret: string): string {
  return sealSecret(ctx.databases.keys, { tenant: ctx.tenant.tenant, purpose: PURPOSE, id }, secret);
}

/** Returns what the addresses of a connection start with: `/sso/<kind>/<tenant>/<connection>` at our public URL. */
export function connectionUrl(ctx: RequestContext, { id, kind }: Pick<IdentityConnection, 'id' | 'kind'>): string {
  return `${ctx.platform.publicUrl}/sso/${kind}/${ctx.tenant.tenant}/${id}`;
}

const PURPOSE = 'identity connection secret';

async function findConnection(tx: Pick<TenantTransaction, 'manager'>, id: string): Promise<IdentityConnection | null> {
  return uuidOrNull('con', id) === null ? null : tx.manager.findOneBy(IdentityConnection, { id: id as Id<'con'> });
}
