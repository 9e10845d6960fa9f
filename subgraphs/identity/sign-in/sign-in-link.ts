import { isEmail } from 'class-validator';
import { requireOpen } from '#kit/authorize.ts';
import { consumeSignInLink, issueCredential, parseToken, type RequestOrigin } from '#kit/credential.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { findTenantByDomain } from '#kit/directory.ts';
import { mailOfCell, sendMail } from '#kit/mail.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { Platform, RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf } from '#schema/ids.ts';
import { localSignInAllowed } from '../connections/local-sign-in.ts';
import { continuationParameters, type Continuation } from '../sessions/continuation.ts';
import { anonymousContext, openSession, tenantState, type OpenedSession } from '../sessions/session.ts';
import { LocalMethod } from './model.ts';
import { MAILED_LINK_NAME, methodRefusal } from './policy.ts';
import { auditRefusal } from './refusal.ts';
import { requireSecondFactor, type OwedFactor } from './second-factor.ts';

/** A mailed link is used by somebody who waits for it. */
const LINK_LIFETIME_MS = 15 * 60_000;
/** Nobody can flood a mailbox, or the table, by asking again and again. */
const MAX_LIVE_LINKS = 5;
const MAX_ADDRESS_LENGTH = 320;

/** What a link led to: a session, or the second factor that is owed for one. */
export type FollowedLink = { readonly opened: OpenedSession } | { readonly owed: OwedFactor };

/** A link that is followed, and the app that waits for whoever follows it. */
export interface SentLink {
  readonly token: string;
  readonly continuation: Continuation | null;
}

/**
 * Opens a session for whoever holds a one-time link, in the transaction that uses the link up; where it is not enough, says
 * what is owed. Anything that is no usable link is UNAUTHENTICATED, and so is one of somebody who must come over single
 * sign-on; in a closed tenant it is TENANT_SUSPENDED, and the link stays unused.
 */
export async function followSignInLink(
  platform: Platform,
  { token, continuation }: SentLink,
  origin: RequestOrigin,
): Promise<FollowedLink> {
  const parts = parseToken(token);
  if (parts?.kind !== 'sign_in_link') return fail('UNAUTHENTICATED', 'no sign-in link');
  const ctx = await anonymousContext(platform, parts.tenant, origin);
  const outcome = await inTenant(ctx, async (tx) => {
    // Her row is locked before the link's, as in a deactivation: so the two never wait for each other in a circle.
    await tx.query('select u.id from users u join credentials c on c.user_id = u.id where c.id = $1 for share of u', [
      parts.credentialUuid,
    ]);
    const userId = await consumeSignInLink(tx, parts, ctx.clock());
    requireOpen(await tenantState(tx));
    if (!(await localSignInAllowed(tx, userId))) {
      await auditRefusal(tx, ctx, { method: 'sign_in_link', reason: 'sso_enforced', userId });
      return null;
    }
    const context = { sign_in_link: idOf('lnk', parts.credentialUuid) };
    const owed = await requireSecondFactor(tx, ctx, { userId, context, continuation });
    if (owed !== null) return { owed };
    const proof = { userId, method: 'sign_in_link', amr: [], identityProvider: null, context } as const;
    return { opened: await openSession(tx, ctx, { ...proof, continuation }) };
  });
  return outcome ?? fail('UNAUTHENTICATED', 'she has to come over single sign-on');
}

/** Returns the address as it is looked up; what is no e-mail address is BAD_USER_INPUT. */
export function readAddress(text: string): string {
  const address = text.trim();
  if (address.length > MAX_ADDRESS_LENGTH || !isEmail(address))
    fail('BAD_USER_INPUT', 'no e-mail address', { hint: '"email" takes an e-mail address.' });
  return address;
}

/**
 * Mails a sign-in link to the active user whose address this is, in the tenant that has proven the address's domain.
 * Where there is none, where she may not sign in this way, or has MAX_LIVE_LINKS unused links already, nothing happens. A
 * closed tenant is TENANT_SUSPENDED, a mail server that fails SERVICE_UNAVAILABLE; whoever asked must learn of none of
 * it, since each tells who is known here.
 */
export async function mailSignInLink(
  platform: Platform,
  address: string,
  origin: RequestOrigin & { readonly continuation?: Continuation | null },
): Promise<void> {
  const place = await findTenantByDomain(platform.databases, address.slice(address.lastIndexOf('@') + 1));
  if (place === null) return;
  const ctx = await anonymousContext(platform, place.id, origin);
  const link = await inTenant(ctx, (tx) => issueLink(tx, ctx, address));
  if (link === null) return;
  const parameters = new URLSearchParams([
    ['token', link.token],
    ...continuationParameters(origin.continuation ?? null),
  ]);
  await sendMail(mailOfCell(platform, place.cell), {
    to: link.address,
    subject: 'Your sign-in link',
    text: `Open this link to sign in. It works once, within ${LINK_LIFETIME_MS / 60_000} minutes:\n\n${platform.publicUrl}/sso/link?${parameters.toString()}\n\nIf you did not ask for it, there is nothing to do.\n`,
  });
}

type Query = Pick<TenantTransaction, 'query'>;

interface IssuedLink {
  readonly token: string;
  /** As it is stored: case folding makes one address of several, and only the stored one is known to be hers. */
  readonly address: string;
}

async function issueLink(tx: Query, ctx: RequestContext, address: string): Promise<IssuedLink | null> {
  const user = await findAddressee(tx, address);
  if (user === null || (await liveLinks(tx, user.id, ctx.clock())) >= MAX_LIVE_LINKS) return null;
  requireOpen(await tenantState(tx));
  const userId = idOf('usr', user.id);
  if ((await methodRefusal(tx, userId, LocalMethod.SIGN_IN_LINK)) !== null) return null;
  const expiresAt = new Date(ctx.clock().getTime() + LINK_LIFETIME_MS);
  const { id, token } = await issueCredential(tx, ctx.tenant.tenant, {
    kind: 'sign_in_link',
    userId,
    name: MAILED_LINK_NAME,
    expiresAt,
  });
  await appendAudit(tx, ctx, {
    action: 'sign_in_link.create',
    resource: { type: 'sign_in_link', id, name: null },
    context: { user: userId },
  });
  return { token, address: user.email };
}

/** Her row is locked, so that requests at the same moment count each other's links. */
async function findAddressee(tx: Query, address: string): Promise<{ id: string; email: string } | null> {
  const [user] = await tx.query<{ id: string; email: string }>(
    `select id, email from users where email_folded = lower($1) and active
      order by user_name_folded = lower($1) desc, id limit 1 for no key update`,
    [address],
  );
  return user ?? null;
}

async function liveLinks(tx: Query, user: string, now: Date): Promise<number> {
  const [found] = await tx.query<{ links: number }>(
    `select count(*)::int as links from credentials
      where user_id = $1 and kind = 'sign_in_link' and revoked_at is null and expires_at > $2`,
    [user, now],
  );
  return found?.links ?? 0;
}
