import { LRUCache } from 'lru-cache';
import { requireOpen } from './authorize.ts';
import { inTenantOnce, type Databases, type TenantTransaction } from './database.ts';
import { findTenant, type TenantPlace } from './directory.ts';
import { newNetworkGuard, type NetworkGuard } from './network-guard.ts';
import { isJwt, verifyAccessToken, type VerifiedAccess } from './session-jwt.ts';
import { overrideColumns, type LimitOverrides } from './tenant-limits.ts';
import { hashSecret, isSecretOf, newSecret } from './secret.ts';
import { SUPPORT_COLUMNS, SUPPORT_JOIN, SUPPORT_LASTS, supportOf, type SupportRow } from './support-credential.ts';
import { outsideTrace } from './tenant-trace.ts';
import { fail } from '#schema/errors.ts';
import { idOf, isId, mintId, uuidOf, uuidOrNull, type Id, type IdPrefix } from '#schema/ids.ts';
import { isScope, type Scope } from '#schema/scopes.ts';
import type { Actor, TenantContext, TenantState, Tier } from '#schema/tenant-context.ts';
import { POOL } from '#schema/tenant-store.ts';

/** The kinds of credential, as the database names them, with the prefix of their tokens and of their ids. */
export const CREDENTIAL_KINDS = {
  session: { token: 'tnu', id: 'ses' },
  api_key: { token: 'tnk', id: 'key' },
  scim_token: { token: 'tns', id: 'scm' },
  sign_in_link: { token: 'tnl', id: 'lnk' },
  support: { token: 'tng', id: 'sup' },
} as const satisfies Record<string, { token: string; id: IdPrefix }>;

/** A kind of credential. */
export type CredentialKind = keyof typeof CREDENTIAL_KINDS;

/** A token's parts. It carries the tenant in clear, so that any gateway can route it; the secret says nothing. */
export interface TokenParts {
  readonly kind: CredentialKind;
  readonly tenant: Id<'tnt'>;
  readonly credentialUuid: string;
  readonly secret: string;
}

/** What a request says of itself beside its credential; recorded, never believed. */
export interface RequestOrigin {
  readonly requestId: string;
  readonly ip: string | null;
  readonly ua: string | null;
}

/** A new credential to store. */
export interface NewCredential {
  readonly kind: CredentialKind;
  readonly userId: string | null;
  readonly name: string;
  readonly client?: string | null;
  readonly scopes?: readonly Scope[];
  /** Networks (CIDR) that it may be used from; everywhere without. */
  readonly networks?: readonly string[];
  readonly expiresAt: Date;
}

const TOKEN_SHAPE = /^(tn[ukslg])_([0-9a-z]{26})\.([0-9a-z]{26})\.([\w-]{43})$/;
const KINDS_BY_TOKEN: ReadonlyMap<string, CredentialKind> = new Map(
  (Object.keys(CREDENTIAL_KINDS) as CredentialKind[]).map((kind) => [CREDENTIAL_KINDS[kind].token, kind]),
);

/**
 * Stores a credential and returns its token, which is shown this once: the database keeps the hash of its secret. A
 * user who is unknown or inactive gets none (NOT_FOUND), whatever the moment of her deactivation.
 */
export async function issueCredential(
  tx: Pick<TenantTransaction, 'query'>,
  tenant: Id<'tnt'>,
  credential: NewCredential,
): Promise<{ id: string; token: string }> {
  const { token, id: prefix } = CREDENTIAL_KINDS[credential.kind];
  const id = mintId(prefix);
  const secret = newSecret();
  const user = credential.userId === null ? null : uuidOf('usr', credential.userId);
  // The user's row is locked, so that a deactivation at the same moment either ends this credential or forbids it.
  const epoch = user === null ? 0 : await lockActiveUser(tx, user);
  await tx.query(
    `insert into credentials (id, kind, user_id, name, client, scopes, secret_hash, epoch, expires_at, allowed_networks)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      uuidOf(prefix, id),
      credential.kind,
      user,
      credential.name,
      credential.client ?? null,
      credential.scopes ?? [],
      hashSecret(secret),
      epoch,
      credential.expiresAt,
      credential.networks ?? [],
    ],
  );
  return { id, token: `${token}_${tenant.slice(4)}.${id.slice(4)}.${secret}` };
}

/** Returns the parts of a bearer token, or null for a text that is none of ours. */
export function parseToken(token: string): TokenParts | null {
  const match = TOKEN_SHAPE.exec(token);
  const kind = KINDS_BY_TOKEN.get(match?.[1] ?? '');
  if (match === null || kind === undefined) return null;
  const [, , place, id, secret = ''] = match;
  const prefix = CREDENTIAL_KINDS[kind].id;
  const tenant = `tnt_${place ?? ''}` as const;
  const credentialUuid = uuidOrNull(prefix, `${prefix}_${id ?? ''}`);
  return isId('tnt', tenant) && credentialUuid !== null ? { kind, tenant, credentialUuid, secret } : null;
}

/** All that a bearer token stands for, without what is of the one request. */
export interface Grant {
  readonly context: Omit<TenantContext, 'requestId'>;
  readonly expiresAtMs: number;
  readonly overrides: LimitOverrides;
  /** Null for what may be used everywhere. */
  readonly guard: NetworkGuard | null;
  /** When it was last used, as it was stored when this was read. */
  readonly use: { readonly credentialUuid: string; readonly lastUsedAt: Date | null };
}

/** What a bearer token names, and what proves that it may: a secret of ours, or what we signed. */
export type BearerParts = TokenParts | AccessTokenParts;

/** The session that an access token was signed for. */
export interface AccessTokenParts extends Omit<TokenParts, 'secret'> {
  readonly claims: VerifiedAccess;
}

/**
 * Returns the tenant context that a bearer token stands for. Unknown, malformed, expired and revoked tokens, those of a
 * deactivated user, and those used from where they may not, are all the same UNAUTHENTICATED; a closed tenant is
 * TENANT_SUSPENDED. Reads the database each time; `newCredentialCache` does the same without.
 */
export async function authenticate(
  databases: Databases,
  token: string,
  origin: RequestOrigin & { now: Date },
): Promise<TenantContext> {
  const parts = await readBearer(databases, token, origin.now);
  const place = await placeOf(databases, parts);
  const grant = await readGrant({ databases, place, parts, now: origin.now });
  const tenant = contextOf(grant, origin);
  noteUse(databases, grant, origin.now);
  return tenant;
}

/** Returns the parts of a token that may stand for a caller; any other text is UNAUTHENTICATED. */
function bearerParts(token: string): TokenParts {
  const parts = parseToken(token);
  if (parts === null || parts.kind === 'sign_in_link') fail('UNAUTHENTICATED', 'not a bearer token of ours');
  return parts;
}

/**
 * Returns the parts of a bearer token: one of ours, or an access token, whose signature and time are checked here; any
 * other text is UNAUTHENTICATED. What it names is looked up by `readGrant`.
 */
export async function readBearer(databases: Pick<Databases, 'keys'>, token: string, now: Date): Promise<BearerParts> {
  if (!isJwt(token)) return bearerParts(token);
  const claims = await verifyAccessToken(databases.keys, token, now);
  return { kind: 'session', tenant: claims.tenant, credentialUuid: uuidOf('ses', claims.session), claims };
}

/** Returns where a token's tenant lives; one that does not exist is UNAUTHENTICATED, as if the credential did not. */
export async function placeOf(databases: Databases, { tenant }: Pick<TokenParts, 'tenant'>): Promise<TenantPlace> {
  return (await findTenant(databases, tenant)) ?? fail('UNAUTHENTICATED', 'no such tenant');
}

/** Reads in one round trip what a token stands for at that moment; the errors are those of `authenticate`. */
export async function readGrant({ databases, place, parts, now }: GrantRequest): Promise<Grant> {
  const anonymous = anonymousIn(place);
  const tenant = { ...anonymous, requestId: '' };
  const row = await inTenantOnce({ tenant, databases }, (tx) => readCredential(tx, parts));
  const usable = row !== null && isProven(parts, row) && isAlive(row, now);
  if (!usable) fail('UNAUTHENTICATED', 'the credential is unknown, expired or revoked');
  requireOpen(row.state);
  // She may have moved since the caller looked where she lives; then the reading above has noted where she does now.
  const { region, cell, store } = (await findTenant(databases, place.id)) ?? place;
  const context = {
    ...anonymous,
    region,
    cell,
    store,
    tier: row.tier,
    state: row.state,
    actor: actorOf(parts, row),
    scopes: row.scopes.filter(isScope),
    sessionId: sessionOf(parts),
    epoch: row.epoch,
    client: row.client,
    support: supportOf(parts, row),
  };
  const id = idOf(CREDENTIAL_KINDS[parts.kind].id, parts.credentialUuid);
  return {
    context,
    expiresAtMs: Math.min(row.expires_at.getTime(), 'claims' in parts ? parts.claims.expiresAtMs : Infinity),
    overrides: { tenant: row.tenant_limits, client: row.client_limits },
    guard: newNetworkGuard({ databases, tenant: context, id, networks: row.allowed_networks }),
    use: { credentialUuid: parts.credentialUuid, lastUsedAt: row.last_used_at },
  };
}

/** Returns the context of one request under a grant; from where its credential may not be used it is UNAUTHENTICATED. */
export function contextOf({ context, guard }: Grant, origin: RequestOrigin & { readonly now: Date }): TenantContext {
  if (guard !== null) guard.admit(origin);
  const { tenant, tier, region, cell, store = POOL, state, scopes, sessionId, epoch, client, support } = context;
  const { requestId } = origin;
  const actor = actorAt(context.actor, origin);
  // Named one by one: a spread with more behind it gives every object a shape of its own, and whatever reads one of them
  // has to look for each property.
  return { tenant, tier, region, cell, store, state, actor, scopes, sessionId, epoch, client, support, requestId };
}

/** A use is written down at most once in this time. */
const USE_NOTED_MS = 300_000;
const MAX_NOTED = 50_000;
const noted = new LRUCache<string, number>({ max: MAX_NOTED });

/**
 * Writes down, at most once in five minutes, that a credential was used. Nobody waits for it, no cache is dropped for it, and
 * where it fails the next use is written down.
 */
export function noteUse(databases: Databases, { context, use }: Grant, now: Date): void {
  const { credentialUuid: uuid, lastUsedAt } = use;
  const nowMs = now.getTime();
  const lastMs = Math.max(lastUsedAt?.getTime() ?? 0, noted.get(uuid) ?? 0);
  if (nowMs - lastMs < USE_NOTED_MS) return;
  noted.set(uuid, nowMs);
  const text = 'update credentials set last_used_at = $2 where id = $1 and (last_used_at is null or last_used_at < $2)';
  const scope = { databases, tenant: { ...context, requestId: '' }, asPlatform: true };
  void outsideTrace(() => inTenantOnce(scope, (tx) => tx.query(text, [uuid, now]))).catch(() => noted.delete(uuid));
}

/** Where a grant's actor was last seen. */
const lastSeen = new WeakMap<Actor, Actor>();

/** The same object for one request after the other from the same place, so that what is derived from it can be kept. */
function actorAt(actor: Actor, { ip, ua }: RequestOrigin): Actor {
  const last = lastSeen.get(actor);
  if (last !== undefined && last.ip === ip && last.ua === ua) return last;
  const here = { type: actor.type, id: actor.id, ip, ua };
  lastSeen.set(actor, here);
  return here;
}

/** What reading a grant needs. */
export interface GrantRequest {
  readonly databases: Databases;
  readonly place: TenantPlace;
  readonly parts: BearerParts;
  readonly now: Date;
}

/**
 * Uses up a one-time sign-in link inside the caller's transaction and returns its user; a link that is unknown, used,
 * expired or of a deactivated user is UNAUTHENTICATED. Two uses at the same moment: one wins.
 */
export async function consumeSignInLink(
  tx: Pick<TenantTransaction, 'query'>,
  parts: TokenParts,
  now: Date,
): Promise<Id<'usr'>> {
  const row = await readCredential(tx, parts);
  if (row === null || row.user_id === null || !isSecretOf(row.secret_hash, parts.secret) || !isAlive(row, now)) {
    fail('UNAUTHENTICATED', 'the sign-in link is unknown, used or expired');
  }
  const used = await tx.query(
    'update credentials set revoked_at = $2 where id = $1 and revoked_at is null returning id',
    [parts.credentialUuid, now],
  );
  if (used.length !== 1) fail('UNAUTHENTICATED', 'the sign-in link was used at the same moment');
  return idOf('usr', row.user_id);
}

/** Returns the context of the platform itself in a tenant, for work that no request asked for. */
export async function systemContext(
  databases: Databases,
  tenant: Id<'tnt'>,
  purpose: { name: string; requestId: string },
): Promise<TenantContext> {
  const context = anonymousIn(await placeOf(databases, { tenant }));
  const actor = { type: 'system', id: purpose.name, ip: null, ua: null } as const;
  return { ...context, actor, requestId: purpose.requestId };
}

interface CredentialRow extends SupportRow {
  readonly user_id: string | null;
  readonly client: string | null;
  readonly secret_hash: Buffer;
  readonly epoch: number;
  readonly user_epoch: number | null;
  readonly user_active: boolean | null;
  readonly expires_at: Date;
  readonly revoked_at: Date | null;
  readonly last_used_at: Date | null;
  readonly allowed_networks: string[];
  readonly tenant_epoch: number;
  readonly scopes: string[];
  readonly tier: Tier;
  readonly state: TenantState;
  readonly tenant_limits: unknown;
  readonly client_limits: unknown;
}

async function readCredential(
  tx: Pick<TenantTransaction, 'query'>,
  parts: Pick<TokenParts, 'kind' | 'credentialUuid'>,
): Promise<CredentialRow | null> {
  const [row] = await tx.query<CredentialRow>(
    `select c.user_id, c.client, c.secret_hash, c.epoch, c.expires_at, c.revoked_at, c.last_used_at,
            c.allowed_networks, t.tier, t.state, t.epoch as tenant_epoch, u.epoch as user_epoch, u.active as user_active,
            case when c.kind = 'session' then array(
              select distinct unnest(r.scopes) from roles r where r.id in (
                select role_id from user_roles where user_id = c.user_id
                union select gr.role_id from group_members gm join group_roles gr on gr.group_id = gm.group_id where gm.user_id = c.user_id))
            else c.scopes end as scopes, ${SUPPORT_COLUMNS},
            ${overrideColumns('c.client')}
       from credentials c cross join tenants t left join users u on u.id = c.user_id ${SUPPORT_JOIN}
      where c.id = $1 and c.kind = $2 and ${SUPPORT_LASTS}`,
    [parts.credentialUuid, parts.kind],
  );
  return row ?? null;
}

/** The user's epoch must be the one the credential was issued in: whoever comes back starts with new credentials. */
function isAlive(row: CredentialRow, now: Date): boolean {
  const userAlive = row.user_id === null || (row.user_active === true && row.user_epoch === row.epoch);
  return row.revoked_at === null && row.expires_at > now && userAlive;
}

/** What we signed counts in the epochs that it was signed in alone. */
function isProven(parts: BearerParts, row: CredentialRow): boolean {
  if (!('claims' in parts)) return isSecretOf(row.secret_hash, parts.secret);
  const { user, userEpoch, tenantEpoch } = parts.claims;
  const isHers = row.user_id !== null && idOf('usr', row.user_id) === user;
  return isHers && row.user_epoch === userEpoch && row.tenant_epoch === tenantEpoch;
}

function actorOf(parts: Pick<TokenParts, 'kind' | 'credentialUuid'>, row: CredentialRow): Actor {
  const origin = { ip: null, ua: null };
  if (parts.kind === 'session' && row.user_id !== null)
    return { type: 'user', id: idOf('usr', row.user_id), ...origin };
  if (parts.kind === 'scim_token') return { type: 'scim', id: idOf('scm', parts.credentialUuid), ...origin };
  if (parts.kind === 'support') return { type: 'support', id: row.support_operator ?? '', ...origin };
  return { type: 'api_key', id: idOf('key', parts.credentialUuid), ...origin };
}

/** What an operator does under a grant has the grant as its session. */
function sessionOf({ kind, credentialUuid }: Pick<TokenParts, 'kind' | 'credentialUuid'>): string | null {
  if (kind === 'support') return idOf('sup', credentialUuid);
  return kind === 'session' ? idOf('ses', credentialUuid) : null;
}

function anonymousIn(place: TenantPlace): Omit<TenantContext, 'requestId'> {
  return {
    tenant: place.id,
    tier: place.tier,
    region: place.region,
    cell: place.cell,
    store: place.store,
    state: place.state,
    actor: { type: 'anonymous', id: 'anonymous', ip: null, ua: null },
    scopes: [],
    sessionId: null,
    epoch: 0,
    client: null,
  };
}

async function lockActiveUser(tx: Pick<TenantTransaction, 'query'>, user: string): Promise<number> {
  const [row] = await tx.query<{ epoch: number }>('select epoch from users where id = $1 and active for share', [user]);
  return row?.epoch ?? fail('NOT_FOUND', 'no active user of that id');
}
