import { systemContext } from './credential.ts';
import { inTenantOnce, type Databases } from './database.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId } from '#schema/ids.ts';
import type { RelyingOperation } from '#schema/operation-check.ts';

/** The operations that the clients of one tenant may run. */
export interface TenantOperations {
  /** Slug of the tenant. */
  readonly tenant: string;
  readonly operations: readonly RelyingOperation[];
  /** How many of the tenants have come, this one included, from 0 to 1. */
  readonly fraction: number;
}

/**
 * Yields the approved operations that have neither expired nor been revoked, tenant by tenant, of every cell: what a new
 * supergraph must not break. A cell that does not answer, or is not among these stores, is SERVICE_UNAVAILABLE.
 */
export async function* approvedOperations(databases: Databases, now: Date): AsyncGenerator<TenantOperations> {
  const tenants = await readTenants(databases);
  for (const [index, { id, slug }] of tenants.entries()) {
    const operations = await operationsOf(databases, id, now);
    yield { tenant: slug, operations, fraction: (index + 1) / tenants.length };
  }
}

async function readTenants({ directory }: Databases): Promise<readonly { id: string; slug: string }[]> {
  const { rows } = await directory
    .query<{ id: string; slug: string }>('select id, slug from tenants order by slug')
    .catch((cause: unknown) =>
      fail('SERVICE_UNAVAILABLE', `the directory does not answer: ${String(cause)}`, { cause }),
    );
  return rows;
}

async function operationsOf(databases: Databases, uuid: string, now: Date): Promise<readonly RelyingOperation[]> {
  const tenant = await systemContext(databases, idOf('tnt', uuid), { name: 'operations', requestId: mintId('req') });
  return inTenantOnce({ tenant, databases }, (tx) =>
    tx.query<RelyingOperation>(
      `select client, key as id, name, body from registered_operations
        where state = 'APPROVED' and (expires_at is null or expires_at > $1) and (revoked_at is null or revoked_at > $1)
        order by client, key`,
      [now],
    ),
  );
}
