import { issueCredential } from '#kit/credential.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf } from '#schema/ids.ts';
import { heldScopes, rolesOfGroups } from '../access/roles.ts';
import type { CreateScimTokenInput } from '../inputs.ts';
import { Credential } from '../model.ts';
import { defaultConnection, lockConnection, type ScimConnection } from '../scim/connection.ts';
import type { RotateScimTokenInput } from './inputs.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** One that is used and the one that takes its place: more would only be forgotten. */
const MAX_LIVE_TOKENS = 2;

/** The part of a connection that its tokens are found by. */
type OfConnection = Pick<ScimConnection, 'id' | 'isDefault'>;

/** A token and what stands for it. */
export interface IssuedToken {
  readonly credential: Credential;
  /** Shown this once. */
  readonly token: string;
}

/** Returns the tokens of a connection that still work, newest first. */
export async function listTokens(ctx: RequestContext, connection: OfConnection): Promise<Credential[]> {
  return inTenant(ctx, (tx) => liveTokens(tx, ctx, connection));
}

/**
 * Issues a token of a connection, or of the default one. Where two of it work already it is CONFLICT. It can put anybody
 * into any group, so whoever makes it must hold all that the groups carry (FORBIDDEN otherwise).
 */
export async function createScimToken(ctx: RequestContext, input: CreateScimTokenInput): Promise<IssuedToken> {
  await requireRights(ctx);
  return inTenant(ctx, async (tx) => {
    const { name, expiresInDays } = input;
    const { id } = input.connectionId == null ? await defaultConnection(tx) : { id: input.connectionId };
    const connection = await lockConnection(tx, id);
    await requireRoom(tx, ctx, connection);
    return issue(tx, ctx, { name, expiresInDays, connection, action: 'scim_token.create', context: {} });
  });
}

/**
 * Issues a token in place of another one of the same connection, which works on for the hours of grace and never longer
 * than it would have. Where a third one would work then it is CONFLICT; so is a token that has ended.
 */
export async function rotateScimToken(ctx: RequestContext, input: RotateScimTokenInput): Promise<IssuedToken> {
  await requireRights(ctx);
  const uuid = uuidOf('scm', input.tokenId);
  return inTenant(ctx, async (tx) => {
    const connection = await lockConnectionOf(tx, uuid);
    const old = (await liveTokens(tx, ctx, connection)).find((token) => token.uuid === uuid);
    if (old === undefined) fail('CONFLICT', 'the token has ended', { hint: 'This token has ended; create a new one.' });
    const endsAt = new Date(Math.min(ctx.clock().getTime() + input.graceHours * HOUR_MS, old.expiresAt.getTime()));
    await tx.query('update credentials set expires_at = $2 where id = $1', [uuid, endsAt]);
    await requireRoom(tx, ctx, connection);
    const { name } = old;
    const { expiresInDays } = input;
    const context = { replaces: input.tokenId, old_expires_at: endsAt.toISOString() };
    return issue(tx, ctx, { name, expiresInDays, connection, action: 'scim_token.rotate', context });
  });
}

async function requireRights(ctx: RequestContext): Promise<void> {
  for (const role of await rolesOfGroups(ctx)) heldScopes(ctx, role.scopes);
}

async function lockConnectionOf(tx: TenantTransaction, uuid: string): Promise<ScimConnection> {
  const [token] = await tx.query<{ connection: string | null }>(
    `select scim_connection_id as connection from credentials where id = $1 and kind = 'scim_token'`,
    [uuid],
  );
  if (token === undefined) fail('NOT_FOUND', 'no such SCIM token in this tenant');
  const id = token.connection === null ? (await defaultConnection(tx)).id : idOf('con', token.connection);
  return lockConnection(tx, id);
}

async function liveTokens(tx: TenantTransaction, ctx: RequestContext, connection: OfConnection): Promise<Credential[]> {
  const rows = await tx.query<{ id: string }>(
    `select id from credentials where kind = 'scim_token' and revoked_at is null and expires_at > $2
        and (scim_connection_id = $1 or (scim_connection_id is null and $3)) order by id desc limit 100`,
    [uuidOf('con', connection.id), ctx.clock(), connection.isDefault],
  );
  const found = await tx.manager
    .createQueryBuilder(Credential, 'row')
    .where('row.uuid = any(:ids)', { ids: rows.map(({ id }) => id) })
    .orderBy('row.uuid', 'DESC')
    .getMany();
  return found;
}

/** The connection's row is locked, so that two tokens made at the same moment are counted one after the other. */
async function requireRoom(tx: TenantTransaction, ctx: RequestContext, connection: ScimConnection): Promise<void> {
  if ((await liveTokens(tx, ctx, connection)).length < MAX_LIVE_TOKENS) return;
  fail('CONFLICT', 'two tokens of the connection work', {
    hint: `${MAX_LIVE_TOKENS} tokens of this connection work already; revoke one of them first.`,
  });
}

interface NewToken {
  readonly name: string;
  readonly expiresInDays: number;
  readonly connection: ScimConnection;
  readonly action: string;
  readonly context: Record<string, string>;
}

async function issue(
  tx: TenantTransaction,
  ctx: RequestContext,
  { name, expiresInDays, connection, action, context }: NewToken,
): Promise<IssuedToken> {
  const expiresAt = new Date(ctx.clock().getTime() + expiresInDays * DAY_MS);
  const wanted = { kind: 'scim_token', name, userId: null, scopes: ['scim'], expiresAt } as const;
  const { id, token } = await issueCredential(tx, ctx.tenant.tenant, wanted);
  const uuid = uuidOf('scm', id);
  await tx.query('update credentials set scim_connection_id = $2 where id = $1', [uuid, uuidOf('con', connection.id)]);
  const credential = await tx.manager.findOneByOrFail(Credential, { uuid });
  await appendAudit(tx, ctx, {
    action,
    resource: { type: 'scim_token', id, name },
    context: { scopes: credential.scopes, connection: connection.id, ...context },
  });
  return { credential, token };
}
