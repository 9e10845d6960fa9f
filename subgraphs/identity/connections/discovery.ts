import { setTimeout } from 'node:timers/promises';
import type { RequestOrigin } from '#kit/credential.ts';
import { inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { findTenantByDomain } from '#kit/directory.ts';
import type { Platform } from '#kit/request-context.ts';
import { idOf, type Id } from '#schema/ids.ts';
import { anonymousContext } from '../sessions/session.ts';
import { connectionUrl } from './connection.ts';
import type { ConnectionKind } from './model.ts';

/**
 * Returns where somebody of an address begins to sign in: at the connection of the address's domain, or the oldest active
 * one of the tenant that has proven the domain; null where there is none. It looks at the domain alone, so it tells
 * nothing of who is known.
 */
export async function findSignInUrl(
  platform: Platform,
  address: string,
  origin: RequestOrigin,
): Promise<string | null> {
  const domain = address.slice(address.lastIndexOf('@') + 1).toLowerCase();
  const place = await findTenantByDomain(platform.databases, domain);
  if (place === null) return null;
  const ctx = await anonymousContext(platform, place.id, origin);
  const connection = await inTenantOnce(ctx, (tx) => connectionOf(tx, domain));
  if (connection === null) return null;
  return `${connectionUrl(ctx, connection)}/start?login_hint=${encodeURIComponent(address)}`;
}

/** Longer than a look-up takes on a quiet day, shorter than anybody notices. */
const STEP_MS = 100;

/**
 * Does the work and, where it yields nothing, waits until a whole number of steps is over, so that the time of the answer
 * does not tell an unknown domain from one without a connection.
 */
export async function atEvenPace<T>(work: () => Promise<T | null>): Promise<T | null> {
  const startedMs = performance.now();
  const found = await work();
  if (found !== null) return found;
  const spentMs = performance.now() - startedMs;
  await setTimeout(Math.ceil(spentMs / STEP_MS) * STEP_MS - spentMs);
  return null;
}

async function connectionOf(
  tx: Pick<TenantTransaction, 'query'>,
  domain: string,
): Promise<{ readonly id: Id<'con'>; readonly kind: ConnectionKind } | null> {
  const [row] = await tx.query<{ id: string; kind: ConnectionKind }>(
    `select c.id, c.kind from identity_connections c
       left join domain_proofs p on p.connection_id = c.id and p.domain = $1
      where c.state = 'active' order by (p.id is not null) desc, c.created_at, c.id limit 1`,
    [domain],
  );
  return row === undefined ? null : { id: idOf('con', row.id), kind: row.kind };
}
