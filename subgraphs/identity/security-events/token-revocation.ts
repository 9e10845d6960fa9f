import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { idOf } from '#schema/ids.ts';
import { signOutEverywhere } from '../revocation/deactivation.ts';
import { findSubject, readSubject, type ProviderSubject } from './provider-subject.ts';
import { readProviderToken, useTokenOnce, type ProviderToken } from './provider-token.ts';

/** What an identity provider is answered (Okta, Universal Logout): its status, and why. */
export type RevocationAnswer =
  | { readonly status: 204 }
  | { readonly status: 400 | 401 | 403 | 404 | 422; readonly detail: string };

/** A request to end everything that a person has. */
export interface RevocationRequest {
  readonly connection: string;
  /** The address that it came to, which its token has to be for. */
  readonly address: string;
  readonly token: string;
  readonly body: string;
}

/**
 * Ends everything that a person has, for the identity provider of a connection that asks for it (Okta's Universal Logout,
 * draft-parecki-oauth-global-token-revocation): sessions, refresh tokens, keys, links and open subscriptions, in one
 * transaction with its audit event. She stays active and may sign in again. A token that proves nothing throws
 * UNAUTHENTICATED; one is good once.
 */
export async function revokeEverything(ctx: RequestContext, request: RevocationRequest): Promise<RevocationAnswer> {
  const token = await readProviderToken(ctx, {
    connection: request.connection,
    token: request.token,
    type: 'global-token-revocation+jwt',
    audience: request.address,
    isForClient: false,
    requiredClaims: ['iss', 'sub', 'aud', 'jti', 'iat', 'exp'],
  });
  const subject = readSubject(subjectIn(request.body));
  if (subject === null) return { status: 400, detail: 'sub_id takes the format email or iss_sub.' };
  return inTenant(ctx, async (tx) => {
    if (!(await useTokenOnce(tx, ctx, token))) return { status: 401, detail: 'The token was used before.' };
    return revokeOf(tx, ctx, { token, subject });
  });
}

/** Hostile input enters here; the server has bounded its size. */
function subjectIn(body: string): unknown {
  try {
    return (JSON.parse(body) as { sub_id?: unknown } | null)?.sub_id;
  } catch {
    return null;
  }
}

async function revokeOf(
  tx: TenantTransaction,
  ctx: RequestContext,
  { token, subject }: { readonly token: ProviderToken; readonly subject: ProviderSubject },
): Promise<RevocationAnswer> {
  const found = await findSubject(tx, ctx, { ...token, subject });
  if (found === 'foreign issuer') return { status: 403, detail: 'The connection speaks for no people of that issuer.' };
  const [user, ...others] = found;
  if (user === undefined) return { status: 404, detail: 'Nobody of that name is known to the connection.' };
  if (others.length > 0) return { status: 422, detail: 'More than one person has that address.' };
  const ended = await signOutEverywhere(tx, user, ctx.clock());
  // Whoever is inactive already has nothing left that could end.
  if (ended === null) return { status: 204 };
  await appendAudit(tx, ctx, {
    action: 'user.sign_out',
    resource: { type: 'user', id: idOf('usr', user), name: null },
    context: {
      source: 'global_token_revocation',
      connection: token.connection.id,
      subject_format: subject.format,
      sessions: ended.sessions,
      api_keys: ended.apiKeys,
    },
  });
  return { status: 204 };
}
