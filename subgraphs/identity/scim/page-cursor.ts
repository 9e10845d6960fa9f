import { createHash } from 'node:crypto';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { openSecret, sealSecret } from '#schema/sealed-secret.ts';
import { isObject } from './value.ts';

/** The row beside which a page begins. */
export interface Anchor {
  /** Its value in the order, as text; null where it has none, or where nothing is sorted by. */
  readonly sort: string | null;
  /** Place of its kind among the kinds that are listed. */
  readonly rank: number;
  /** UUID. */
  readonly id: string;
  /** Whether the page ends before the row instead of beginning behind it. */
  readonly backwards: boolean;
}

/** How long a cursor is good for; told in ServiceProviderConfig. */
export const CURSOR_TIMEOUT_SECONDS = 3600;
const MAX_CHARACTERS = 8192;
const UUID = /^[0-9a-f-]{36}$/;

/**
 * Returns the cursor that continues at a row (RFC 9865). It is sealed, so that it can neither be read nor made up, and
 * bound to the tenant and to `query`: all that decides which resources come in which order.
 */
export function sealCursor(ctx: RequestContext, query: readonly unknown[], anchor: Anchor): string {
  const expires = ctx.clock().getTime() + CURSOR_TIMEOUT_SECONDS * 1000;
  return sealSecret(ctx.databases.keys, placeOf(ctx, query), JSON.stringify({ ...anchor, expires }));
}

/** Returns the row of a cursor; one of another tenant or query, or of nobody, is INVALID_CURSOR, an old one EXPIRED_CURSOR. */
export function openCursor(ctx: RequestContext, query: readonly unknown[], cursor: string): Anchor {
  const content = opened(ctx, query, cursor);
  if (!isObject(content)) return fail('INVALID_CURSOR', 'the cursor is none of ours');
  const { sort, rank, id, backwards, expires } = content;
  const isSort = sort === null || typeof sort === 'string';
  if (!isSort || typeof rank !== 'number' || typeof id !== 'string' || !UUID.test(id) || typeof expires !== 'number')
    return fail('INVALID_CURSOR', 'the cursor is of another form');
  if (expires <= ctx.clock().getTime()) fail('EXPIRED_CURSOR', 'the cursor has expired');
  return { sort, rank, id, backwards: backwards === true };
}

function opened(ctx: RequestContext, query: readonly unknown[], cursor: string): unknown {
  if (cursor.length > MAX_CHARACTERS) return undefined;
  try {
    return JSON.parse(openSecret(ctx.databases.keys, placeOf(ctx, query), cursor));
  } catch {
    return undefined;
  }
}

function placeOf({ tenant }: RequestContext, query: readonly unknown[]) {
  const id = createHash('sha256').update(JSON.stringify(query)).digest('hex');
  return { tenant: tenant.tenant, purpose: 'scim cursor', id };
}
