import type { TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { RouteRequest } from '#kit/route.ts';
import { hashSecret, isSecretOf, newSecret } from '#kit/secret.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { openSecret, sealSecret } from '#schema/sealed-secret.ts';
import { newOneTimeToken, parseOneTimeToken } from '../sessions/one-time-token.ts';
import type { IdentityConnection } from './model.ts';
import { refuseSignIn } from './refusal.ts';

/** A sign-in that leaves for an identity provider. */
export interface StartedFlow {
  /** Comes back with the answer: `state` of OpenID Connect, `RelayState` of SAML. */
  readonly state: string;
  /** The value of a `set-cookie` header, which ties the flow to this browser: the answer is taken from it alone. */
  readonly cookie: string;
}

/** Longer than it takes to find a telephone and type a code. */
const LIFETIME_MS = 10 * 60_000;
/** Flows that are over and are swept out by one that begins. */
const SWEPT = 100;

type Query = Pick<TenantTransaction, 'query'>;
type Named = Pick<IdentityConnection, 'id' | 'name'>;

/** Stores what the return of a sign-in will be checked against, sealed, for ten minutes. */
export async function startFlow(
  tx: Query,
  ctx: RequestContext,
  { connection, content }: { readonly connection: Named; readonly content: string },
): Promise<StartedFlow> {
  const now = ctx.clock();
  const { token, uuid: id, secretHash } = newOneTimeToken('tnf', ctx.tenant.tenant);
  const browser = newSecret();
  await tx.query(
    `delete from sign_in_flows where id in (
       select id from sign_in_flows where expires_at < $1 order by expires_at limit ${SWEPT} for update skip locked)`,
    [now],
  );
  await tx.query(
    `insert into sign_in_flows (id, connection_id, secret_hash, browser_hash, sealed, expires_at)
     values ($1, $2, $3, $4, $5, $6)`,
    [
      id,
      uuidOf('con', connection.id),
      secretHash,
      hashSecret(browser),
      sealSecret(ctx.databases.keys, placeOf(ctx, id), content),
      new Date(now.getTime() + LIFETIME_MS),
    ],
  );
  return { state: token, cookie: cookieOf(ctx, id, browser) };
}

/**
 * Uses up a sign-in that came back to the connection and returns its content. A state that is unknown, used, out of date,
 * of another connection or tenant, or begun in another browser is refused. Two uses at the same moment: one wins.
 */
export async function consumeFlow(
  tx: Query,
  ctx: RequestContext,
  { connection, state, req }: { readonly connection: Named; readonly state: string; readonly req: CookieRequest },
): Promise<string> {
  const given = parseOneTimeToken('tnf', state);
  const isHere = given?.tenant === ctx.tenant.tenant;
  const row = isHere ? await useUp(tx, { uuid: given.uuid, connection, now: ctx.clock() }) : null;
  const browser = isHere ? readCookie(req, cookieName(given.uuid)) : '';
  if (row === null || !isSecretOf(row.secret_hash, given?.secret ?? '') || !isSecretOf(row.browser_hash, browser))
    return refuseSignIn({ reason: 'unknown_flow', connection });
  return openSecret(ctx.databases.keys, placeOf(ctx, row.id), row.sealed);
}

/** The part of a request that cookies are read from. */
type CookieRequest = Pick<RouteRequest, 'headers'>;

interface FlowRow {
  readonly id: string;
  readonly secret_hash: Buffer;
  readonly browser_hash: Buffer;
  readonly sealed: string;
}

/** A wrong secret rolls this back with the transaction, so that nobody but its browser uses a flow up. */
async function useUp(
  tx: Query,
  { uuid, connection, now }: { readonly uuid: string; readonly connection: Named; readonly now: Date },
): Promise<FlowRow | null> {
  const [row] = await tx.query<FlowRow>(
    `update sign_in_flows set consumed_at = $3
      where id = $1 and connection_id = $2 and consumed_at is null and expires_at > $3
      returning id, secret_hash, browser_hash, sealed`,
    [uuid, uuidOf('con', connection.id), now],
  );
  return row ?? null;
}

/**
 * One for each flow, so that two tabs do not disturb each other. A SAML answer is posted from another site, which leaves a
 * SameSite cookie behind; so it is `None` wherever https allows that.
 */
function cookieOf(ctx: RequestContext, uuid: string, browser: string): string {
  const site = ctx.platform.publicUrl.startsWith('https:') ? 'SameSite=None; Secure' : 'SameSite=Lax';
  return `${cookieName(uuid)}=${browser}; Path=/sso/; Max-Age=${LIFETIME_MS / 1000}; HttpOnly; ${site}`;
}

function cookieName(uuid: string): string {
  return `tenon-sign-in-${uuid.replaceAll('-', '')}`;
}

function readCookie({ headers }: CookieRequest, name: string): string {
  const pairs = String(headers['cookie'] ?? '').split(';');
  return (
    pairs
      .map((pair) => pair.trim())
      .find((pair) => pair.startsWith(`${name}=`))
      ?.slice(name.length + 1) ?? ''
  );
}

function placeOf(ctx: RequestContext, uuid: string): { tenant: Id<'tnt'>; purpose: string; id: string } {
  return { tenant: ctx.tenant.tenant, purpose: 'sign-in flow', id: uuid };
}
