import { CREDENTIAL_KINDS, issueCredential, type NewCredential } from '#kit/credential.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf, uuidOrNull } from '#schema/ids.ts';
import { readNetworks } from '#kit/network-list.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import type { CreateApiKeyInput } from '../inputs.ts';
import type { RotateApiKeyInput, SetAllowedNetworksInput } from './inputs.ts';
import { Credential, type User } from '../model.ts';
import { heldScopes, rolesOf } from './roles.ts';
import { findUsers, requireUser } from '../service.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** A credential and its token, which is shown this once. */
export interface IssuedCredential {
  readonly credential: Credential;
  readonly token: string;
}

/** Returns the public id of a credential, whose prefix says its kind. */
export function credentialId(credential: Credential): string {
  return idOf(CREDENTIAL_KINDS[credential.kind].id, credential.uuid);
}

/** Returns the credentials of a person that still work, newest first. */
export async function credentialsOf(ctx: RequestContext, user: User): Promise<Credential[]> {
  const now = ctx.clock();
  return inTenant(ctx, ({ manager }) =>
    manager
      .createQueryBuilder(Credential, 'row')
      .where('row.userId = :user and row.revokedAt is null and row.expiresAt > :now', {
        user: uuidOrNull('usr', user.id),
        now,
      })
      .orderBy('row.uuid', 'DESC')
      .limit(100)
      .getMany(),
  );
}

/** Returns the tenant's API keys and SCIM tokens that still work, newest first. */
export async function listMachineCredentials(ctx: RequestContext): Promise<Credential[]> {
  const now = ctx.clock();
  return inTenant(ctx, ({ manager }) =>
    manager
      .createQueryBuilder(Credential, 'row')
      .where(`row.kind in ('api_key', 'scim_token') and row.revokedAt is null and row.expiresAt > :now`, { now })
      .orderBy('row.uuid', 'DESC')
      .limit(200)
      .getMany(),
  );
}

/** Issues an API key for the operations of a client, with rights that the asker holds herself. */
export async function createApiKey(ctx: RequestContext, input: CreateApiKeyInput): Promise<IssuedCredential> {
  const { name, client, userId = null } = input;
  const scopes = heldScopes(ctx, input.scopes);
  const networks = readNetworks(input.allowedNetworks ?? []);
  const expiresAt = inDays(ctx, input.expiresInDays);
  return issue(ctx, { kind: 'api_key', name, client, scopes, networks, userId, expiresAt });
}

/**
 * Issues a key in place of another one, with the same client, rights, networks and owner; the old one works on for the
 * hours of grace, never longer than it would have. Whoever rotates a key is handed its rights, so she must hold them
 * (FORBIDDEN). A key that has ended, or was rotated before, is CONFLICT.
 */
export async function rotateApiKey(ctx: RequestContext, input: RotateApiKeyInput): Promise<IssuedCredential> {
  return inTenant(ctx, async (tx) => {
    const { client, uuid, old } = await rotatable(tx, ctx, input.credentialId);
    const scopes = heldScopes(ctx, old.scopes);
    const { name, userId, allowedNetworks: networks } = old;
    const expiresAt = inDays(ctx, input.expiresInDays);
    const wanted: NewCredential = { kind: 'api_key', name, client, scopes, networks, userId, expiresAt };
    const { id, token } = await issueCredential(tx, ctx.tenant.tenant, wanted);
    const ends = new Date(ctx.clock().getTime() + input.graceHours * HOUR_MS);
    const replaced = await tx.query(
      `update credentials set replaced_by = $2, expires_at = least(expires_at, $3)
        where id = $1 and replaced_by is null and revoked_at is null returning id`,
      [uuid, uuidOf('key', id), ends],
    );
    if (replaced.length === 0) fail('CONFLICT', 'the key was rotated or revoked at the same moment');
    const credential = await requireCredential(tx, uuidOf('key', id));
    const context = { replaces: input.credentialId, old_expires_at: ends.toISOString() };
    await auditCredential(tx, ctx, { action: 'api_key.rotate', credential, context });
    return { credential, token };
  });
}

/** Says where an API key may be used from now on; what is no key here is NOT_FOUND, no network BAD_USER_INPUT. */
export async function setAllowedNetworks(ctx: RequestContext, input: SetAllowedNetworksInput): Promise<Credential> {
  const networks = readNetworks(input.allowedNetworks);
  const uuid = uuidOf('key', input.credentialId);
  return inTenant(ctx, async (tx) => {
    const changed = await tx.query(
      'update credentials set allowed_networks = $2 where id = $1 and allowed_networks is distinct from $2 returning id',
      [uuid, networks],
    );
    const credential = await requireCredential(tx, uuid);
    const context = { allowed_networks: networks };
    if (changed.length === 0) await appendUnchanged(tx, ctx, 'api_key.set_networks');
    else await auditCredential(tx, ctx, { action: 'api_key.set_networks', credential, context });
    return credential;
  });
}

/**
 * Issues a link that opens one session within a day; it is handed over by whoever asked for it. For a person with rights
 * that the asker does not hold herself it is FORBIDDEN: the link would hand them over.
 */
export async function createSignInLink(ctx: RequestContext, userId: string): Promise<string> {
  const [user] = await findUsers(ctx, [userId]);
  if (user === undefined) fail('NOT_FOUND', 'no such user in this tenant');
  for (const role of await rolesOf(ctx, user)) heldScopes(ctx, role.scopes);
  const { token } = await issue(ctx, { kind: 'sign_in_link', name: 'sign-in link', userId, expiresAt: inDays(ctx, 1) });
  return `${ctx.platform.publicUrl}/sso/link?token=${token}`;
}

/** Revokes a credential; the next request with it is refused. Again is no error. */
export async function revokeCredential(ctx: RequestContext, id: string): Promise<Credential> {
  // The access of an operator is ended as a whole, by revokeSupport.
  const { support: _, ...kinds } = CREDENTIAL_KINDS;
  const kind = Object.values(kinds).find((names) => uuidOrNull(names.id, id) !== null);
  const uuid = kind === undefined ? null : uuidOrNull(kind.id, id);
  if (uuid === null) fail('NOT_FOUND', 'not an id of a credential');
  return inTenant(ctx, async (tx) => {
    const revoked = await tx.query(
      'update credentials set revoked_at = $2 where id = $1 and revoked_at is null returning id',
      [uuid, ctx.clock()],
    );
    const credential = await requireCredential(tx, uuid);
    if (revoked.length === 0) await appendUnchanged(tx, ctx, 'credential.revoke');
    else await auditCredential(tx, ctx, { action: 'credential.revoke', credential });
    return credential;
  });
}

async function issue(ctx: RequestContext, wanted: NewCredential): Promise<IssuedCredential> {
  return inTenant(ctx, async (tx) => {
    if (wanted.userId !== null) await requireUser(tx, wanted.userId);
    const { id, token } = await issueCredential(tx, ctx.tenant.tenant, wanted);
    const credential = await requireCredential(tx, uuidOrNull(CREDENTIAL_KINDS[wanted.kind].id, id) ?? '');
    await auditCredential(tx, ctx, { action: `${wanted.kind}.create`, credential });
    return { credential, token };
  });
}

async function requireCredential(tx: Pick<TenantTransaction, 'manager'>, uuid: string): Promise<Credential> {
  return (await tx.manager.findOneBy(Credential, { uuid })) ?? fail('NOT_FOUND', 'no such credential in this tenant');
}

/** Returns a key that may be rotated, as it is now. */
async function rotatable(
  tx: TenantTransaction,
  ctx: RequestContext,
  id: string,
): Promise<{ uuid: string; old: Credential; client: string }> {
  const uuid = uuidOf('key', id);
  const old = await requireCredential(tx, uuid);
  const isOver = old.revokedAt !== null || old.expiresAt <= ctx.clock() || old.client === null;
  if (isOver) fail('CONFLICT', 'the key has ended', { hint: 'This key has ended; create a new one.' });
  const [row] = await tx.query('select id from credentials where id = $1 and replaced_by is not null', [uuid]);
  if (row !== undefined) fail('CONFLICT', 'the key was rotated before', { hint: 'This key was rotated before.' });
  return { uuid, old, client: old.client ?? '' };
}

interface CredentialNote {
  readonly action: string;
  readonly credential: Credential;
  readonly context?: Readonly<Record<string, JsonValue>>;
}

async function auditCredential(
  tx: TenantTransaction,
  ctx: RequestContext,
  { action, credential, context }: CredentialNote,
): Promise<void> {
  await appendAudit(tx, ctx, {
    action,
    resource: { type: credential.kind, id: credentialId(credential), name: credential.name },
    context: {
      scopes: credential.scopes,
      ...(credential.userId === null ? {} : { user: credential.userId }),
      ...context,
    },
  });
}

function inDays(ctx: RequestContext, days: number): Date {
  return new Date(ctx.clock().getTime() + days * DAY_MS);
}
