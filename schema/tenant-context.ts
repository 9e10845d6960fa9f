import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { fail } from './errors.ts';
import { uuidOf, type Id } from './ids.ts';
import type { Scope } from './scopes.ts';
import type { SupportSession } from './support-access.ts';

/** Service tiers, from the smallest to a silo of one's own. */
export const TIERS = ['FREE', 'GROWTH', 'ENTERPRISE', 'ENTERPRISE_PLUS'] as const;
/** A service tier. */
export type Tier = (typeof TIERS)[number];

/** States of a tenant's life; the transition table in subgraphs/tenants says which step follows which. */
export const TENANT_STATES = [
  'provisioning',
  'trial',
  'active',
  'past_due',
  'read_only',
  'suspended',
  'cancelled',
  'soft_deleted',
  'erasing',
  'erased',
] as const;
/** A state of a tenant's life. */
export type TenantState = (typeof TENANT_STATES)[number];

/** Who acts: a person, a partner's key, an identity provider, an operator whom the tenant let in, the platform, or nobody known. */
export interface Actor {
  readonly type: 'user' | 'api_key' | 'scim' | 'support' | 'system' | 'anonymous';
  readonly id: string;
  readonly ip: string | null;
  readonly ua: string | null;
}

/**
 * Who asks, for which tenant, with which rights: made by the gateway from a credential, never from what a client says
 * of itself, and handed down to every subgraph.
 */
export interface TenantContext {
  readonly tenant: Id<'tnt'>;
  readonly tier: Tier;
  readonly region: string;
  readonly cell: string;
  /** The store of the cell that holds her rows; absent it is the pool. */
  readonly store?: string;
  readonly state: TenantState;
  readonly actor: Actor;
  readonly scopes: readonly Scope[];
  readonly sessionId: string | null;
  /** Epoch of the user when the credential was read; a later deactivation has a higher one. */
  readonly epoch: number;
  /** Name of the registered client behind an API key; null for people. */
  readonly client: string | null;
  /** Set while an operator acts whom the tenant let in. */
  readonly support?: SupportSession | undefined;
  readonly requestId: string;
}

/** One secret of the context key file, named so that an old one may still verify while a new one signs. */
export interface ContextKey {
  readonly kid: string;
  readonly secret: Buffer;
}

/** The key that signs and all that verify; `signing` is one of `all`. */
export interface ContextKeys {
  readonly signing: ContextKey;
  readonly all: readonly ContextKey[];
}

/** How long an envelope is good for: a request and its retries, not a day. */
const ENVELOPE_LIFETIME_MS = 60_000;
/** How long a database token is good for: longer than any statement may run, short enough to be worthless when found. */
const DATABASE_TOKEN_LIFETIME_MS = 15 * 60_000;
/** How long a token is handed out again; it then still has nearly all of its life before it. */
const DATABASE_TOKEN_REUSE_MS = 60_000;
const MAX_DATABASE_TOKENS = 50_000;
const MAX_ENVELOPE_LENGTH = 8192;

/** Reads a context key file: `{"signing":"kid","keys":[{"kid","secret":<64 hex>}]}`. */
export function parseContextKeys(text: string): ContextKeys {
  const file = JSON.parse(text) as { signing?: unknown; keys?: { kid?: unknown; secret?: unknown }[] };
  const all = (file.keys ?? []).map(({ kid, secret }) => {
    if (typeof kid !== 'string' || !/^[a-z0-9-]{1,32}$/.test(kid)) throw new Error('a context key needs a kid');
    if (typeof secret !== 'string' || !/^[0-9a-f]{64}$/.test(secret))
      throw new Error(`context key ${kid} needs 32 bytes`);
    return { kid, secret: Buffer.from(secret, 'hex') };
  });
  const signing = all.find((key) => key.kid === file.signing);
  if (signing === undefined) throw new Error('the signing context key is not among the keys');
  return { signing, all };
}

/** Returns the context as a signed envelope `v1.kid.expiry.payload.mac` that a subgraph in another process can trust. */
export function sealContext(context: TenantContext, keys: ContextKeys, nowMs: number): string {
  const payload = Buffer.from(JSON.stringify(context)).toString('base64url');
  const body = `v1.${keys.signing.kid}.${nowMs + ENVELOPE_LIFETIME_MS}.${payload}`;
  return `${body}.${envelopeMac(keys.signing, body)}`;
}

/** Returns the context inside an envelope; anything forged, expired, oversized or unknown is UNAUTHENTICATED. */
export function openContext(envelope: string, keys: ContextKeys, nowMs: number): TenantContext {
  if (envelope.length > MAX_ENVELOPE_LENGTH) fail('UNAUTHENTICATED', 'the context envelope is too long');
  const [version, kid, expiry, payload, mac, ...rest] = envelope.split('.');
  const key = keys.all.find((known) => known.kid === kid);
  if (version !== 'v1' || key === undefined || payload === undefined || mac === undefined || rest.length > 0) {
    fail('UNAUTHENTICATED', 'the context envelope has no known form or key');
  }
  if (!sameText(mac, envelopeMac(key, `v1.${key.kid}.${expiry}.${payload}`))) {
    fail('UNAUTHENTICATED', 'the context envelope is not signed by us');
  }
  if (!(Number(expiry) > nowMs)) fail('UNAUTHENTICATED', 'the context envelope has expired');
  return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as TenantContext;
}

/** A tenant in the cell whose databases are asked. */
export type TenantInCell = Pick<TenantContext, 'tenant' | 'cell'>;

/**
 * Returns the token that PostgreSQL verifies itself before it shows a row (`tenon.tenant_id()` in schema/sql):
 * `uuid.expirySeconds.kid.mac`, HMAC-SHA256 under a key that the application role cannot read and that each cell has for
 * itself: the databases of another cell refuse it, whatever led there. A tenant's token is the same for a minute.
 */
export function databaseToken({ tenant, cell }: TenantInCell, keys: ContextKeys, nowMs: number): string {
  const known = databaseTokens.get(keys.signing) ?? new LRUCache<Id<'tnt'>, DatedToken>({ max: MAX_DATABASE_TOKENS });
  databaseTokens.set(keys.signing, known);
  const last = known.get(tenant);
  const isGood = last !== undefined && nowMs >= last.madeMs && nowMs - last.madeMs < DATABASE_TOKEN_REUSE_MS;
  if (isGood && last.cell === cell) return last.token;
  const token = newDatabaseToken({ tenant, cell }, keys, nowMs + DATABASE_TOKEN_LIFETIME_MS);
  known.set(tenant, { token, cell, madeMs: nowMs });
  return token;
}

/** Returns a token of the tenant that is good no longer than until then; each is a new one. */
export function endingDatabaseToken(
  tenant: TenantInCell,
  keys: ContextKeys,
  { nowMs, endsAtMs }: { readonly nowMs: number; readonly endsAtMs: number },
): string {
  return newDatabaseToken(tenant, keys, Math.min(nowMs + DATABASE_TOKEN_LIFETIME_MS, endsAtMs));
}

function newDatabaseToken({ tenant, cell }: TenantInCell, keys: ContextKeys, expiresAtMs: number): string {
  const expirySeconds = Math.floor(expiresAtMs / 1000);
  const body = `${uuidOf('tnt', tenant)}.${expirySeconds}.${keys.signing.kid}`;
  return `${body}.${createHmac('sha256', databaseSecret(keys.signing, cell)).update(body).digest('hex')}`;
}

/**
 * Returns the secret that the databases of a cell verify tokens of this key with; it seals no envelope, and no token for
 * another cell, so that who owns the databases of one region reaches nothing in another.
 */
export function databaseSecret(key: ContextKey, cell: string): Buffer {
  return deriveKey(key, `tenon database context v2 ${cell}`);
}

function envelopeMac(key: ContextKey, body: string): string {
  return createHmac('sha256', deriveKey(key, 'tenon context envelope v1')).update(body).digest('base64url');
}

interface DatedToken {
  readonly token: string;
  readonly cell: string;
  readonly madeMs: number;
}

const databaseTokens = new WeakMap<ContextKey, LRUCache<Id<'tnt'>, DatedToken>>();
const derived = new WeakMap<ContextKey, Map<string, Buffer>>();

/** Returns a key of 32 bytes for one purpose (HKDF, RFC 5869), remembered: deriving costs more than signing. */
export function deriveKey(key: ContextKey, purpose: string): Buffer {
  const known = derived.get(key) ?? new Map<string, Buffer>();
  derived.set(key, known);
  const found = known.get(purpose) ?? Buffer.from(hkdfSync('sha256', key.secret, '', purpose, 32));
  known.set(purpose, found);
  return found;
}

function sameText(left: string, right: string): boolean {
  const a = Buffer.from(left);
  const b = Buffer.from(right);
  return a.length === b.length && timingSafeEqual(a, b);
}
