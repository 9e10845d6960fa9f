import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { isId, mintId, uuidOf, uuidOrNull, type Id } from '#schema/ids.ts';
import { heldScopes } from '../access/roles.ts';
import { connectionUrl, requireConnection, sealConnectionSecret } from '../connections/connection.ts';
import type {
  CreateOidcConnectionInput,
  OidcConnectionSettings,
  UpdateOidcConnectionInput,
} from '../connections/inputs.ts';
import { ConnectionKind, ConnectionState, IdentityConnection } from '../connections/model.ts';
import { auditConnection, requireAllRights, requireUsable } from '../connections/service.ts';
import { Role } from '../model.ts';
import { redirectUri } from './sign-in.ts';
import { checkOidcSettings, oidcSettings, type OidcSettings } from './settings.ts';

const MAX_CONNECTIONS = 50;

/** Makes a draft of a connection; nobody signs in over it until it is activated. A name that is taken is UNIQUENESS. */
export async function createOidcConnection(
  ctx: RequestContext,
  input: CreateOidcConnectionInput,
): Promise<IdentityConnection> {
  const id = mintId('con');
  const settings = checkOidcSettings(
    withoutNulls({ ...oidcFields(input), issuer: input.issuer, clientId: input.clientId }),
  );
  return inTenant(ctx, async (tx) => {
    const [{ count } = { count: 0 }] = await tx.query<{ count: number }>(
      'select count(*)::int as count from identity_connections',
    );
    if (count >= MAX_CONNECTIONS)
      fail('TOO_MANY', 'too many connections', { hint: `A tenant has at most ${MAX_CONNECTIONS} connections.` });
    await requireGrantable(tx, ctx, input.defaultRoleId);
    await tx.query(
      `insert into identity_connections (id, kind, name, settings, secret, jit, default_role_id, groups_attribute, created_at, updated_at)
       values ($1, 'oidc', $2, $3, $4, $5, $6, $7, $8, $8)`,
      [
        uuidOf('con', id),
        input.name,
        JSON.stringify(settings),
        sealed(ctx, id, input.clientSecret),
        input.jit ?? false,
        uuidOrNull('rol', input.defaultRoleId ?? ''),
        input.groupsAttribute ?? null,
        ctx.clock(),
      ],
    );
    const connection = await requireConnection(tx, id);
    await auditConnection(tx, ctx, {
      action: 'identity_connection.create',
      connection,
      context: { issuer: settings.issuer, client_id: settings.clientId, jit: connection.jit },
    });
    return connection;
  });
}

/**
 * Changes a connection; what is left out stays. An active one is asked first whether people could still sign in
 * (BAD_USER_INPUT otherwise), and takes the rights that activating it takes. With another issuer or client the subjects
 * mean other people, so all links are forgotten.
 */
export async function updateOidcConnection(
  ctx: RequestContext,
  input: UpdateOidcConnectionInput,
): Promise<IdentityConnection> {
  const before = await inTenant(ctx, async (tx) => {
    const known = await requireConnection(tx, input.connectionId);
    if (known.kind !== ConnectionKind.OIDC) fail('NOT_FOUND', 'no OpenID Connect connection of that id');
    await requireGrantable(tx, ctx, input.defaultRoleId);
    if (known.state === ConnectionState.ACTIVE) await requireAllRights(tx, ctx);
    return known;
  });
  const after = changed(ctx, before, input);
  if (after.state === ConnectionState.ACTIVE) await requireUsable(ctx, after);
  return inTenant(ctx, (tx) => store(tx, ctx, { before, after }));
}

/** Returns the settings of a connection as an administrator sees them; null for one of another kind. */
export function shownSettings(ctx: RequestContext, connection: IdentityConnection): OidcConnectionSettings | null {
  if (connection.kind !== ConnectionKind.OIDC) return null;
  const { authorizationParameters, ...settings } = oidcSettings(connection);
  const base = connectionUrl(ctx, connection);
  return {
    ...settings,
    authorizationParameters: Object.entries(authorizationParameters).map(([name, value]) => ({ name, value })),
    hasClientSecret: connection.secret !== null,
    redirectUri: redirectUri(ctx, connection),
    initiateLoginUri: `${base}/start`,
    backchannelLogoutUri: `${base}/logout`,
  };
}

function changed(
  ctx: RequestContext,
  before: IdentityConnection,
  input: UpdateOidcConnectionInput,
): IdentityConnection {
  const settings = checkOidcSettings({
    ...oidcSettings(before),
    ...withoutNulls({
      ...oidcFields(input),
      ...(input.issuer == null ? {} : { issuer: input.issuer }),
      ...(input.clientId == null ? {} : { clientId: input.clientId }),
    }),
  });
  const { defaultRoleId, groupsAttribute } = input;
  const role = defaultRoleId == null || !isId('rol', defaultRoleId) ? null : defaultRoleId;
  return Object.assign(new IdentityConnection(), before, {
    name: input.name ?? before.name,
    settings,
    secret: sealed(ctx, before.id, input.clientSecret) ?? before.secret,
    jit: input.jit ?? before.jit,
    defaultRoleId: defaultRoleId === undefined ? before.defaultRoleId : role,
    groupsAttribute: groupsAttribute === undefined ? before.groupsAttribute : groupsAttribute,
  });
}

async function store(
  tx: TenantTransaction,
  ctx: RequestContext,
  { before, after }: { readonly before: IdentityConnection; readonly after: IdentityConnection },
): Promise<IdentityConnection> {
  const uuid = uuidOf('con', before.id);
  const stored = await tx.query(
    `update identity_connections set name = $3, settings = $4, secret = $5, jit = $6, default_role_id = $7,
            groups_attribute = $8, updated_at = $9, version = version + 1
      where id = $1 and version = $2 returning id`,
    [
      uuid,
      before.version,
      after.name,
      JSON.stringify(after.settings),
      after.secret,
      after.jit,
      uuidOrNull('rol', after.defaultRoleId ?? ''),
      after.groupsAttribute,
      ctx.clock(),
    ],
  );
  if (stored.length === 0) fail('CONFLICT', 'the connection changed meanwhile', { hint: 'It was changed meanwhile.' });
  const changes = changesOf(before, after);
  const isOther = changes.includes('issuer') || changes.includes('clientId');
  if (isOther) await tx.query('delete from identity_links where connection_id = $1', [uuid]);
  await auditConnection(tx, ctx, {
    action: 'identity_connection.update',
    connection: after,
    context: { changed: changes, links_forgotten: isOther },
  });
  return requireConnection(tx, before.id);
}

function changesOf(before: IdentityConnection, after: IdentityConnection): string[] {
  const [old, now] = [oidcSettings(before), oidcSettings(after)];
  const settings = (Object.keys(now) as (keyof OidcSettings)[]).filter(
    (name) => JSON.stringify(old[name]) !== JSON.stringify(now[name]),
  );
  const columns = (['name', 'secret', 'jit', 'defaultRoleId', 'groupsAttribute'] as const).filter(
    (name) => before[name] !== after[name],
  );
  return [...columns, ...settings];
}

/** Nobody hands out, by way of a newcomer, what she does not hold herself. */
async function requireGrantable(
  tx: Pick<TenantTransaction, 'manager'>,
  ctx: RequestContext,
  roleId: string | null | undefined,
): Promise<void> {
  if (roleId == null) return;
  const role = uuidOrNull('rol', roleId) === null ? null : await tx.manager.findOneBy(Role, { id: roleId });
  heldScopes(ctx, (role ?? fail('NOT_FOUND', 'no such role in this tenant')).scopes);
}

type OidcFields = Pick<
  CreateOidcConnectionInput,
  'scopes' | 'idTokenAlg' | 'tokenAuth' | 'emailClaim' | 'emailVerifiedClaim' | 'nameClaim' | 'authorizationParameters'
>;

function oidcFields(input: OidcFields): Record<string, unknown> {
  const { scopes, idTokenAlg, tokenAuth, emailClaim, emailVerifiedClaim, nameClaim } = input;
  const parameters = input.authorizationParameters;
  return {
    scopes,
    idTokenAlg,
    tokenAuth,
    emailClaim,
    emailVerifiedClaim,
    nameClaim,
    authorizationParameters: parameters && Object.fromEntries(parameters.map(({ name, value }) => [name, value])),
  };
}

/** The values were checked by their input class, and are again by `checkOidcSettings`. */
function withoutNulls(fields: Record<string, unknown>): Partial<OidcSettings> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}

function sealed(ctx: RequestContext, id: Id<'con'>, secret: string | null | undefined): string | null {
  return secret == null ? null : sealConnectionSecret(ctx, id, secret);
}
