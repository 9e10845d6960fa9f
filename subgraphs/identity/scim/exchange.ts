import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import type { ScimConnection } from './connection.ts';
import type { ScimProfile } from './profiles.ts';
import type { Rewrite } from './rewrites.ts';

/** What is known of a SCIM request while it runs. */
export interface Exchange {
  /** The client that asks; null for a person, who asks by her session. */
  readonly connection: ScimConnection | null;
  readonly profile: ScimProfile;
  /** What was read as something else than it is. */
  readonly rewrites: Set<Rewrite>;
  /** The form that the profile does not take, where that is why it was refused. */
  refusedForm: Rewrite | null;
  /** Public id of the one resource that it is about. */
  resourceId: string | null;
  /** Audit actions, and the canonical names of the attributes that changed. */
  readonly actions: Set<string>;
  readonly attributes: Set<string>;
  /** Uuid of the end of access that it brought about. */
  revocation: string | null;
}

/** How somebody without a connection is understood: one reading serves Okta's forms and Entra's alike. */
const DEFAULT_PROFILE: ScimProfile = 'entra';

const EXCHANGES = new WeakMap<RequestContext, Exchange>();

/** Begins what is known of a request. */
export function openExchange(
  ctx: RequestContext,
  { connection, resourceId }: Pick<Exchange, 'connection' | 'resourceId'>,
): Exchange {
  const profile = connection?.profile ?? DEFAULT_PROFILE;
  const exchange: Exchange = {
    connection,
    profile,
    rewrites: new Set(),
    refusedForm: null,
    resourceId,
    actions: new Set(),
    attributes: new Set(),
    revocation: null,
  };
  EXCHANGES.set(ctx, exchange);
  return exchange;
}

/** Returns what is known of a request; of one that nobody has begun, that is nothing. */
export function exchangeOf(ctx: RequestContext): Exchange {
  return EXCHANGES.get(ctx) ?? openExchange(ctx, { connection: null, resourceId: null });
}

/** A change that a request has brought about. */
export interface ChangeNote {
  /** The audit action. */
  readonly action: string;
  /** Public id. */
  readonly resourceId: string;
  readonly attributes?: readonly string[];
}

/** Notes a change for the request log, and returns what its audit event says of how the request was read. */
export function noteChange(ctx: RequestContext, change: ChangeNote): Record<string, JsonValue> {
  const exchange = exchangeOf(ctx);
  exchange.actions.add(change.action);
  exchange.resourceId = change.resourceId;
  for (const name of change.attributes ?? []) exchange.attributes.add(name);
  return exchange.rewrites.size === 0 ? {} : { rewrites: [...exchange.rewrites].toSorted() };
}
