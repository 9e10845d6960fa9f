import { log } from '#kit/log.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { asTenonError } from '#schema/errors.ts';
import { checkDomain, domainsDue } from './domain-checks.ts';
import { deleteExpired } from './expired-rows.ts';
import { isRefreshDue, refreshConnection, samlConnections, warnOfConnection } from './saml-connections.ts';

/** What is asked outside at once for one tenant: an answer may take seconds, and the worker has few connections. */
const AT_ONCE = 3;

/**
 * Does what is due for one tenant: deletes what has expired, looks up her proven domains, takes over metadata and warns of
 * certificates that end. Done again, it does nothing that is not due again. What DNS or an identity provider does not answer
 * is left for the next time and stops nothing else; a database that does not answer throws.
 */
export async function keepTenant(ctx: RequestContext, signal: AbortSignal): Promise<void> {
  await deleteExpired(ctx);
  await forEach({ items: await domainsDue(ctx), ctx, signal }, (domain) => checkDomain(ctx, domain));
  const connections = await samlConnections(ctx);
  const outdated = connections.filter((connection) => isRefreshDue(ctx, connection));
  await forEach({ items: outdated, ctx, signal }, (connection) => refreshConnection(ctx, connection));
  for (const connection of connections) await warnOfConnection(ctx, connection);
}

interface Checked<T> {
  readonly items: readonly T[];
  readonly ctx: RequestContext;
  readonly signal: AbortSignal;
}

async function forEach<T extends { readonly id: string }>(
  { items, ctx, signal }: Checked<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < items.length && !signal.aborted; at += AT_ONCE) {
    await Promise.all(
      items.slice(at, at + AT_ONCE).map((item) =>
        work(item).catch((error: unknown) => {
          const { code, message } = asTenonError(error);
          log('warn', `upkeep of sign-in: ${message}`, { tenant: ctx.tenant.tenant, id: item.id, code });
        }),
      ),
    );
  }
}
