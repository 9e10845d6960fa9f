import { fail } from '#schema/errors.ts';
import type { SupportSession } from '#schema/support-access.ts';
import { databaseToken, endingDatabaseToken } from '#schema/tenant-context.ts';
import type { TenantScope, TenantTransaction } from './database.ts';

/** The role that the application steps down to (schema/sql/roles.sql). */
const ROLE = 'tenon_support';

/** Returns the session of an operator whose rights a transaction has; undefined for all others. */
export function supportIn({ tenant, asPlatform }: TenantScope): SupportSession | undefined {
  return asPlatform === true ? undefined : tenant.support;
}

/** Returns what the database believes the tenant by: for an operator, no longer than she is let in. */
export function contextToken(
  { tenant, databases: { keys } }: TenantScope,
  session: SupportSession | undefined,
): string {
  const nowMs = Date.now();
  return session === undefined
    ? databaseToken(tenant, keys, nowMs)
    : endingDatabaseToken(tenant, keys, { nowMs, endsAtMs: session.endsAtMs });
}

/** Returns what is set, beside the context, in the statement that opens a transaction; nothing where no operator acts. */
export function supportSettings(session: SupportSession | undefined): string {
  if (session === undefined) return '';
  const readOnly = session.access === 'read' ? `, pg_catalog.set_config('transaction_read_only', 'on', true)` : '';
  return `${readOnly}, pg_catalog.set_config('role', '${ROLE}', true)`;
}

/** Does something of the platform's own in an operator's transaction, such as recording it, and steps down again. */
export async function asApplication<T>(
  tx: Pick<TenantTransaction, 'query'>,
  session: SupportSession | undefined,
  work: () => Promise<T>,
): Promise<T> {
  if (session === undefined) return work();
  await setRole(tx, 'none');
  const result = await work();
  await setRole(tx, ROLE);
  return result;
}

/** Refuses what an operator has no right to in the database, as PostgreSQL says it: a privilege, or a read-only transaction. */
export function refuseBeyondSupport(
  session: SupportSession | undefined,
  sqlState: string | null,
  cause: unknown,
): void {
  if (session === undefined || (sqlState !== '42501' && sqlState !== '25006')) return;
  fail('FORBIDDEN', `the support session may not do that (${sqlState})`, {
    hint: 'It is beyond what support access allows.',
    cause,
  });
}

async function setRole(tx: Pick<TenantTransaction, 'query'>, role: string): Promise<void> {
  await tx.query(`select pg_catalog.set_config('role', $1, true)`, [role]);
}
