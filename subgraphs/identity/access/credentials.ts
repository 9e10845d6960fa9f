import { CREDENTIAL_KINDS, issueCredential, type NewCredential } from '#kit/credential.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOrNull } from '#schema/ids.ts';
import type { CreateApiKeyInput, CreateScimTokenInput } from '../inputs.ts';
import { Credential, type User } from '../model.ts';
import { heldScopes, rolesOf, rolesOfGroups } from './roles.ts';
import { findUsers, requireUser } from '../service.ts';

const DAY_MS = 24 * 3_600_000;

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
  return issue(ctx, { kind: 'api_key', name, client, scopes, userId, expiresAt: inDays(ctx, input.expiresInDays) });
}

/**
 * Issues a token for an identity provider. It can put anybody into any group, so whoever makes it must hold all that the
 * groups carry (FORBIDDEN otherwise).
 */
export async function createScimToken(ctx: RequestContext, input: CreateScimTokenInput): Promise<IssuedCredential> {
  for (const role of await rolesOfGroups(ctx)) heldScopes(ctx, role.scopes);
  return issue(ctx, {
    kind: 'scim_token',
    name: input.name,
    userId: null,
    scopes: ['scim'],
    expiresAt: inDays(ctx, input.expiresInDays),
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

/** Revokes a credential; the next request with it is refused. Again is no error and writes nothing. */
export async function revokeCredential(ctx: RequestContext, id: string): Promise<Credential> {
  const kind = Object.values(CREDENTIAL_KINDS).find((names) => uuidOrNull(names.id, id) !== null);
  const uuid = kind === undefined ? null : uuidOrNull(kind.id, id);
  if (uuid === null) fail('NOT_FOUND', 'not an id of a credential');
  return inTenant(ctx, async (tx) => {
    const revoked = await tx.query(
      'update credentials set revoked_at = $2 where id = $1 and revoked_at is null returning id',
      [uuid, ctx.clock()],
    );
    const credential = await requireCredential(tx, uuid);
    if (revoked.length > 0) await auditCredential(tx, ctx, { action: 'credential.revoke', credential });
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

async function auditCredential(
  tx: TenantTransaction,
  ctx: RequestContext,
  { action, credential }: { action: string; credential: Credential },
): Promise<void> {
  await appendAudit(tx, ctx, {
    action,
    resource: { type: credential.kind, id: credentialId(credential), name: credential.name },
    context: { scopes: credential.scopes, ...(credential.userId === null ? {} : { user: credential.userId }) },
  });
}

function inDays(ctx: RequestContext, days: number): Date {
  return new Date(ctx.clock().getTime() + days * DAY_MS);
}
