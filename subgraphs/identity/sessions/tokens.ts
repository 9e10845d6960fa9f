import { authenticate, parseToken, type RequestOrigin } from '#kit/credential.ts';
import { requireOpen } from '#kit/authorize.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { signAccessToken } from '#kit/session-jwt.ts';
import { isSecretOf } from '#kit/secret.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import type { TenantState } from '#schema/tenant-context.ts';
import { newOneTimeToken, parseOneTimeToken, s256, type OneTimeToken } from './one-time-token.ts';
import { anonymousContext, endSession, lockUser } from './session.ts';

/** What an app is handed for a session; the refresh token is shown this once. */
export interface TokenPair {
  readonly accessToken: string;
  readonly expiresInSeconds: number;
  readonly refreshToken: string;
}

/** Who asks for tokens, and where. */
export interface TokenRequest {
  readonly platform: Platform;
  readonly origin: RequestOrigin;
}

/** Refresh tokens of one session that were not used; whoever asks for more loses the oldest. */
const MOST_UNUSED = 10;

/** Hands out tokens for a session token of ours; every other text is UNAUTHENTICATED. */
export async function tokensForSession({ platform, origin }: TokenRequest, sessionToken: string): Promise<TokenPair> {
  if (parseToken(sessionToken)?.kind !== 'session') fail('UNAUTHENTICATED', 'no session token');
  const tenant = await authenticate(platform.databases, sessionToken, { ...origin, now: platform.clock() });
  const ctx = requestContext(platform, tenant);
  const session = uuidOf('ses', tenant.sessionId ?? '');
  return inTenant(ctx, async (tx) => {
    await lockUser(tx, tenant.actor.id as Id<'usr'>);
    return issuePair(tx, ctx, await requireLive(tx, ctx, session));
  });
}

/** What an app sends with an authorization code. */
export interface CodeExchange {
  readonly code: string;
  readonly redirectUri: string;
  readonly codeVerifier: string;
}

/**
 * Hands out tokens for a code, once. A code that is unknown, expired, of another address or without its verifier is
 * UNAUTHENTICATED; so is one that was used before, which ends its session as well (RFC 6749 section 4.1.2).
 */
export async function tokensForCode(request: TokenRequest, exchange: CodeExchange): Promise<TokenPair> {
  const parts = parseOneTimeToken('tnc', exchange.code) ?? fail('UNAUTHENTICATED', 'no authorization code');
  return exchangeOnce(request, parts, async (tx, ctx) => {
    const [row] = await tx.query<CodeRow>(
      `select session_id, secret_hash, used_at, redirect_uri, code_challenge, expires_at
         from authorization_codes where id = $1 for update`,
      [parts.uuid],
    );
    if (row === undefined || !isSecretOf(row.secret_hash, parts.secret)) return null;
    if (row.used_at !== null) return { session: row.session_id, reuse: 'code_reuse' };
    const fits = row.redirect_uri === exchange.redirectUri && row.code_challenge === s256(exchange.codeVerifier);
    if (!fits || row.expires_at <= ctx.clock()) return null;
    await tx.query('update authorization_codes set used_at = $2 where id = $1', [parts.uuid, ctx.clock()]);
    return { session: row.session_id, reuse: null };
  });
}

/**
 * Hands out the next tokens for a refresh token, once. An unknown one is UNAUTHENTICATED; one that was used before is a
 * copy, so that its session ends with all that was handed out for it, whoever of the two asks (RFC 9700 section 4.14.2).
 */
export async function tokensForRefresh(request: TokenRequest, refreshToken: string): Promise<TokenPair> {
  const parts = parseOneTimeToken('tnr', refreshToken) ?? fail('UNAUTHENTICATED', 'no refresh token');
  return exchangeOnce(request, parts, async (tx, ctx) => {
    const [row] = await tx.query<OneTimeRow>(
      'select session_id, secret_hash, used_at from refresh_tokens where id = $1 for update',
      [parts.uuid],
    );
    if (row === undefined || !isSecretOf(row.secret_hash, parts.secret)) return null;
    if (row.used_at !== null) return { session: row.session_id, reuse: 'refresh_reuse' };
    await tx.query('update refresh_tokens set used_at = $2 where id = $1', [parts.uuid, ctx.clock()]);
    return { session: row.session_id, reuse: null };
  });
}

interface OneTimeRow {
  readonly session_id: string;
  readonly secret_hash: Buffer;
  readonly used_at: Date | null;
}

interface CodeRow extends OneTimeRow {
  readonly redirect_uri: string;
  readonly code_challenge: string;
  readonly expires_at: Date;
}

/** What a one-time token turned out to be: of a session, used before or just now; null where it proves nothing. */
type UsedUp = { readonly session: string; readonly reuse: 'code_reuse' | 'refresh_reuse' | null } | null;

async function exchangeOnce(
  { platform, origin }: TokenRequest,
  parts: OneTimeToken,
  useUp: (tx: TenantTransaction, ctx: RequestContext) => Promise<UsedUp>,
): Promise<TokenPair> {
  const ctx = await anonymousContext(platform, parts.tenant, origin);
  // The end of a session is committed, and only then refused.
  const pair = await inTenant(ctx, async (tx) => {
    await lockOwner(tx, parts);
    const used = await useUp(tx, ctx);
    if (used === null) return null;
    if (used.reuse === null) return issuePair(tx, ctx, await requireLive(tx, ctx, used.session));
    await endForReuse(tx, ctx, { session: used.session, cause: used.reuse });
    return null;
  });
  return pair ?? fail('UNAUTHENTICATED', 'the one-time token is unknown, used or expired');
}

/** Her row comes first, as in a deactivation, so that the two never wait for each other in a circle. */
async function lockOwner(tx: TenantTransaction, { uuid }: OneTimeToken): Promise<void> {
  await tx.query(
    `select u.id from users u join credentials c on c.user_id = u.id
      where c.id in (select session_id from refresh_tokens where id = $1
                     union all select session_id from authorization_codes where id = $1) for share of u`,
    [uuid],
  );
}

/** Nobody known asks: of the two who had the token one stole it. */
async function endForReuse(
  tx: TenantTransaction,
  ctx: RequestContext,
  { session, cause }: { session: string; cause: string },
): Promise<void> {
  const id = idOf('ses', session);
  const named = { ...ctx, tenant: { ...ctx.tenant, sessionId: id } };
  await endSession(tx, named, { id, action: 'session.end', context: { cause } });
}

interface LiveSession {
  readonly uuid: string;
  readonly user: Id<'usr'>;
  readonly userEpoch: number;
  readonly tenantEpoch: number;
  readonly expiresAt: Date;
}

/** Returns a session that still lives, else UNAUTHENTICATED; in a closed tenant it is TENANT_SUSPENDED. */
async function requireLive(tx: TenantTransaction, ctx: RequestContext, session: string): Promise<LiveSession> {
  const [row] = await tx.query<{
    user_id: string;
    user_epoch: number;
    tenant_epoch: number;
    state: TenantState;
    expires_at: Date;
  }>(
    `select c.user_id, c.expires_at, u.epoch as user_epoch, t.epoch as tenant_epoch, t.state
       from credentials c join users u on u.id = c.user_id cross join tenants t
      where c.id = $1 and c.kind = 'session' and c.revoked_at is null and c.expires_at > $2
        and u.active and u.epoch = c.epoch`,
    [session, ctx.clock()],
  );
  if (row === undefined) return fail('UNAUTHENTICATED', 'the session is over');
  requireOpen(row.state);
  return {
    uuid: session,
    user: idOf('usr', row.user_id),
    userEpoch: row.user_epoch,
    tenantEpoch: row.tenant_epoch,
    expiresAt: row.expires_at,
  };
}

async function issuePair(tx: TenantTransaction, ctx: RequestContext, session: LiveSession): Promise<TokenPair> {
  const now = ctx.clock();
  const { token: refreshToken, uuid, secretHash } = newOneTimeToken('tnr', ctx.tenant.tenant);
  await tx.query('insert into refresh_tokens (id, session_id, secret_hash, created_at) values ($1, $2, $3, $4)', [
    uuid,
    session.uuid,
    secretHash,
    now,
  ]);
  await tx.query(
    `delete from refresh_tokens where id in (
       select id from refresh_tokens where session_id = $1 and used_at is null order by id desc offset ${MOST_UNUSED})`,
    [session.uuid],
  );
  const claims = {
    tenant: ctx.tenant.tenant,
    user: session.user,
    session: idOf('ses', session.uuid),
    userEpoch: session.userEpoch,
    tenantEpoch: session.tenantEpoch,
  };
  const { token, expiresInSeconds } = await signAccessToken(ctx.databases.keys, claims, {
    issuer: ctx.platform.publicUrl,
    now,
    expiresAt: session.expiresAt,
  });
  return { accessToken: token, expiresInSeconds, refreshToken };
}
