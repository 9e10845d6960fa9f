import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { RouteRequest } from '#kit/route.ts';
import { uuidOf, uuidv7, type Id } from '#schema/ids.ts';
import { openSecret, sealSecret } from '#schema/sealed-secret.ts';
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
const STATE_SHAPE = /^tnf_([0-9a-z]{26})\.([0-9a-f]{32})\.([\w-]{43})$/;

type Query = Pick<TenantTransaction, 'query'>;
type Named = Pick<IdentityConnection, 'id' | 'name'>;

/** Stores what the return of a sign-in will be checked against, sealed, for ten minutes. */
export async function startFlow(
  tx: Query,
  ctx: RequestContext,
  { connection, content }: { readonly connection: Named; readonly content: string },
): Promise<StartedFlow> {
  const now = ctx.clock();
  const id = uuidv7();
  const [secret, browser] = [newSecret(), newSecret()];
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
      hash(secret),
      hash(browser),
      sealSecret(ctx.databases.keys, placeOf(ctx, id), content),
      new Date(now.getTime() + LIFETIME_MS),
    ],
  );
  const hex = id.replaceAll('-', '');
  return { state: `tnf_${ctx.tenant.tenant.slice(4)}.${hex}.${secret}`, cookie: cookieOf(ctx, hex, browser) };
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
  const [, tenant = '', hex = '', secret = ''] = STATE_SHAPE.exec(state) ?? [];
  const row = tenant === ctx.tenant.tenant.slice(4) ? await useUp(tx, { hex, connection, now: ctx.clock() }) : null;
  const browser = readCookie(req, `${COOKIE}${hex}`);
  if (row === null || !sameHash(row.secret_hash, secret) || !sameHash(row.browser_hash, browser))
    return refuseSignIn({ reason: 'unknown_flow', connection });
  return openSecret(ctx.databases.keys, placeOf(ctx, row.id), row.sealed);
}

/** The part of a request that cookies are read from. */
type CookieRequest = Pick<RouteRequest, 'headers'>;

const COOKIE = 'tenon-sign-in-';

interface FlowRow {
  readonly id: string;
  readonly secret_hash: Buffer;
  readonly browser_hash: Buffer;
  readonly sealed: string;
}

/** A wrong secret rolls this back with the transaction, so that nobody but its browser uses a flow up. */
async function useUp(
  tx: Query,
  { hex, connection, now }: { readonly hex: string; readonly connection: Named; readonly now: Date },
): Promise<FlowRow | null> {
  const [row] = await tx.query<FlowRow>(
    `update sign_in_flows set consumed_at = $3
      where id = $1 and connection_id = $2 and consumed_at is null and expires_at > $3
      returning id, secret_hash, browser_hash, sealed`,
    [hex, uuidOf('con', connection.id), now],
  );
  return row ?? null;
}

/**
 * One for each flow, so that two tabs do not disturb each other. A SAML answer is posted from another site, which leaves a
 * SameSite cookie behind; so it is `None` wherever https allows that.
 */
function cookieOf(ctx: RequestContext, hex: string, browser: string): string {
  const site = ctx.platform.publicUrl.startsWith('https:') ? 'SameSite=None; Secure' : 'SameSite=Lax';
  return `${COOKIE}${hex}=${browser}; Path=/sso/; Max-Age=${LIFETIME_MS / 1000}; HttpOnly; ${site}`;
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

function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

function hash(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

function sameHash(stored: Buffer, secret: string): boolean {
  return timingSafeEqual(stored, hash(secret));
}
