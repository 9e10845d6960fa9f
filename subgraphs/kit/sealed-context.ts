import { sealContext, type Actor, type ContextKeys, type TenantContext } from '#schema/tenant-context.ts';

interface Sealed {
  readonly tenant: TenantContext;
  readonly keys: ContextKeys;
  readonly atMs: number;
  readonly envelope: string;
}

/** An envelope is good for a minute; this old it still has most of that before it. */
const REUSED_MS = 20_000;

/** By actor: requests of one credential from one place share theirs, and it goes when they do. */
const sealed = new WeakMap<Actor, Sealed>();

/**
 * Returns the signed envelope of a context without its request id, which travels beside it: so the requests of one caller
 * share an envelope for some seconds, since sealing one costs more than the rest of a call's headers.
 */
export function sealedContext(tenant: TenantContext, keys: ContextKeys, nowMs: number): string {
  const known = sealed.get(tenant.actor);
  if (known !== undefined && isFresh(known, nowMs) && known.keys === keys && isSame(known.tenant, tenant))
    return known.envelope;
  const envelope = sealContext({ ...tenant, requestId: '' }, keys, nowMs);
  sealed.set(tenant.actor, { tenant, keys, atMs: nowMs, envelope });
  return envelope;
}

function isFresh({ atMs }: Sealed, nowMs: number): boolean {
  return nowMs >= atMs && nowMs - atMs < REUSED_MS;
}

/** All but the request id, also the parts that are added one day; objects must be the same ones. */
function isSame(one: TenantContext, other: TenantContext): boolean {
  let name: keyof TenantContext;
  for (name in one) if (name !== 'requestId' && one[name] !== other[name]) return false;
  return true;
}
