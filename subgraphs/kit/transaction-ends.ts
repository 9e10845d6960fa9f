import type pg from 'pg';
import { BULK_STATEMENT_TIMEOUT_MS, DATABASE_LIMITS } from '#schema/database-limits.ts';
import { uuidOf } from '#schema/ids.ts';
import { inStore, isPool, POOL, searchPathOf } from '#schema/tenant-store.ts';
import type { TenantScope } from './database.ts';
import { contextToken, supportIn, supportSettings } from './support-role.ts';

/**
 * Begins a transaction under the signed context and the limits of its tenant, where her rows count.
 *
 * The context is a bind parameter, so that no other session can read the token in pg_stat_activity. The statement has
 * no name: a named one lives as long as the connection, where injected SQL could put another in its place that gives
 * every later borrower the context of the attacker.
 */
export async function openTransaction(client: pg.PoolClient, scope: TenantScope): Promise<void> {
  const { tenant, databases, lane } = scope;
  const support = supportIn(scope);
  const token = contextToken(scope, support);
  const { statementTimeoutMs, lockTimeoutMs } = DATABASE_LIMITS[tenant.tier];
  const timeoutMs = lane === 'bulk' || databases.longStatements ? BULK_STATEMENT_TIMEOUT_MS : statementTimeoutMs;
  const values = [token, String(timeoutMs), String(lockTimeoutMs), uuidOf('tnt', tenant.tenant)];
  sendTogether(client);
  await Promise.all([
    client.query('begin'),
    client.query(
      `select pg_catalog.set_config('app.tenant', $1, true), pg_catalog.set_config('statement_timeout', $2, true),
              pg_catalog.set_config('lock_timeout', $3, true), ${inStore('tenon.enter($4)', tenant.store ?? POOL)}
              ${supportSettings(support)}${isPool(tenant) ? '' : OF_A_STORE}`,
      isPool(tenant) ? values : [...values, searchPathOf(tenant.store ?? POOL)],
    ),
  ]);
}

/**
 * A bridge's schemas are looked for first; and its writes are in the server's sums as soon as the transaction has ended, by
 * which whoever drains stores knows of them.
 */
const OF_A_STORE = `, pg_catalog.set_config('search_path', $5, true), pg_catalog.pg_stat_force_next_flush()`;

/** Ends a transaction and returns what PostgreSQL made of it. What the work set for the session ends here too, so that no tenant's settings reach the next borrower. */
export async function endTransaction(client: pg.PoolClient, how: 'commit' | 'rollback'): Promise<string> {
  sendTogether(client);
  const [{ command }] = await Promise.all([client.query(how), client.query('reset all').catch(ignore)]);
  return command;
}

/** What is said in this turn leaves in one piece: each write of its own costs the system more than the statement in it. */
export function sendTogether(client: pg.PoolClient): void {
  const { stream } = (client as pg.PoolClient & { readonly connection: pg.Connection }).connection;
  stream.cork();
  process.nextTick(() => stream.uncork());
}

function ignore(): void {}
