import { requireOpen } from '#kit/authorize.ts';
import { issueCredential, systemContext, type RequestOrigin } from '#kit/credential.ts';
import type { TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import type { RouteResponse } from '#kit/route.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { uuidOf, uuidOrNull, type Id } from '#schema/ids.ts';
import type { Actor, TenantState } from '#schema/tenant-context.ts';
import { requireLocalSignIn } from '../connections/local-sign-in.ts';
import { issueCode, type Continuation } from './continuation.ts';

/** How somebody proved who she is. */
export type SignInMethod = 'sign_in_link' | 'oidc' | 'saml' | 'passkey' | 'totp' | 'recovery_code';

/** What has been proven when a session is opened. */
export interface SignInProof {
  readonly userId: Id<'usr'>;
  readonly method: SignInMethod;
  /** How, in the words of RFC 8176, such as `hwk` or `otp`; empty where nothing is known of it. */
  readonly amr: readonly string[];
  /** Who vouched: null for the methods of our own. */
  readonly identityProvider: {
    readonly connection: Id<'con'>;
    /** Her subject or NameID there. */
    readonly subject: string;
    /** The session there (`sid`, SessionIndex), which a logout may name. */
    readonly sessionId: string | null;
  } | null;
  /** What the audit event says beside that. */
  readonly context: Readonly<Record<string, JsonValue>>;
  /** The app that waits for her; without one the answer is for whoever asked. */
  readonly continuation?: Continuation | null;
}

/** A session that was just opened; the token is shown this once. */
export interface OpenedSession {
  readonly id: Id<'ses'>;
  readonly token: string;
  readonly expiresAt: Date;
  readonly userId: Id<'usr'>;
  /** Where the browser goes on with a one-time code, in place of the token; null where no app waits. */
  readonly location: string | null;
}

const HOUR_MS = 3_600_000;

/**
 * Opens a session in the transaction that used up its proof, with its audit event. Somebody unknown or inactive gets none
 * (NOT_FOUND), a closed tenant is TENANT_SUSPENDED, and somebody who must come over single sign-on is refused without it.
 */
export async function openSession(
  tx: TenantTransaction,
  ctx: RequestContext,
  proof: SignInProof,
): Promise<OpenedSession> {
  const { userId, method, identityProvider } = proof;
  const expiresAt = new Date(ctx.clock().getTime() + ctx.platform.config.sessionHours * HOUR_MS);
  requireOpen(await tenantState(tx));
  if (identityProvider === null) await requireLocalSignIn(tx, ctx, { userId, method });
  const issued = await issueCredential(tx, ctx.tenant.tenant, {
    kind: 'session',
    userId,
    name: SESSION_NAMES[method],
    expiresAt,
  });
  const id = issued.id as Id<'ses'>;
  await storeDetails(tx, ctx, { id, proof });
  const { continuation = null } = proof;
  const location = continuation === null ? null : await issueCode(tx, ctx, { session: id, continuation });
  const connection = identityProvider === null ? {} : { connection: identityProvider.connection };
  await appendAudit(tx, signedIn(ctx, userId, id), {
    action: 'session.create',
    resource: { type: 'session', id, name: null },
    context: { user: userId, method, amr: [...proof.amr], ...connection, ...proof.context },
  });
  return { id, token: issued.token, expiresAt, userId, location };
}

/**
 * Returns the answer that completes a sign-in: the browser is sent on to the app that waits for it, or whoever asked is
 * handed the token as JSON. Nothing on its way stores it.
 */
export function signedInResponse({ token, expiresAt, userId, location }: OpenedSession): RouteResponse {
  if (location !== null)
    return { status: 302, headers: { location, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' } };
  return {
    status: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: JSON.stringify({ token, expiresAt: expiresAt.toISOString(), user: { id: userId } }),
  };
}

async function storeDetails(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: RequestContext,
  { id, proof }: { id: Id<'ses'>; proof: SignInProof },
): Promise<void> {
  const { userId, method, amr, identityProvider } = proof;
  const { ip, ua } = ctx.tenant.actor;
  await tx.query(
    `insert into sessions
       (id, user_id, method, amr, connection_id, subject, provider_session, ip, user_agent, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      uuidOf('ses', id),
      uuidOf('usr', userId),
      method,
      [...amr],
      identityProvider === null ? null : uuidOf('con', identityProvider.connection),
      identityProvider?.subject ?? null,
      identityProvider?.sessionId ?? null,
      ip,
      ua,
      ctx.clock(),
    ],
  );
}

/** What a session is called in the lists of an administrator. */
const SESSION_NAMES: Readonly<Record<SignInMethod, string>> = {
  sign_in_link: 'sign-in link',
  oidc: 'OpenID Connect',
  saml: 'SAML',
  passkey: 'passkey',
  totp: 'one-time code',
  recovery_code: 'recovery code',
};

/** Whose session ends, and why. */
export interface EndedSession {
  readonly id: string;
  readonly action: 'session.end' | 'session.revoke';
  readonly context?: Readonly<Record<string, JsonValue>>;
}

/** Ends a session inside the caller's transaction, with its event; false, and no event, where it had ended before. */
export async function endSession(
  tx: TenantTransaction,
  ctx: RequestContext,
  { id, action, context }: EndedSession,
): Promise<boolean> {
  const ended = await tx.query(
    `update credentials set revoked_at = $2 where id = $1 and kind = 'session' and revoked_at is null returning id`,
    [uuidOrNull('ses', id), ctx.clock()],
  );
  if (ended.length === 0) return false;
  await appendAudit(tx, ctx, { action, resource: { type: 'session', id, name: null }, context: { ...context } });
  return true;
}

/**
 * Returns the context of a request in which nobody has signed in yet: the platform's, in the name of somebody unknown. A
 * tenant that does not exist is UNAUTHENTICATED.
 */
export async function anonymousContext(
  platform: Platform,
  tenant: Id<'tnt'>,
  origin: RequestOrigin,
): Promise<RequestContext> {
  const context = await systemContext(platform.databases, tenant, { name: 'sign-in', requestId: origin.requestId });
  const actor: Actor = { type: 'anonymous', id: 'anonymous', ip: origin.ip, ua: origin.ua };
  return requestContext(platform, { ...context, actor });
}

/** Returns the state of the tenant as her cell has it, inside the caller's transaction. */
export async function tenantState(tx: Pick<TenantTransaction, 'query'>): Promise<TenantState> {
  const [tenant] = await tx.query<{ state: TenantState }>('select state from tenants');
  return tenant?.state ?? 'provisioning';
}

/** Locks her row before anything of hers, as a deactivation does, so that the two never wait for each other in a circle. */
export async function lockUser(tx: Pick<TenantTransaction, 'query'>, userId: Id<'usr'>): Promise<void> {
  await tx.query('select id from users where id = $1 for share', [uuidOf('usr', userId)]);
}

function signedIn(ctx: RequestContext, userId: Id<'usr'>, sessionId: string): RequestContext {
  const { ip, ua } = ctx.tenant.actor;
  return { ...ctx, tenant: { ...ctx.tenant, actor: { type: 'user', id: userId, ip, ua }, sessionId } };
}
