import { systemContext } from './credential.ts';
import { inTenantOnce, type Databases, type TenantTransaction } from './database.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, type Id } from '#schema/ids.ts';
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
    const operations = await operationsOf(databases, idOf('tnt', id), now);
    yield { tenant: slug, operations, fraction: (index + 1) / tenants.length };
  }
}

/** Whose documents are looked for, and how many at most. */
export interface LatestWanted {
  /** Null for the tenants of every cell. */
  readonly tenants: readonly Id<'tnt'>[] | null;
  readonly now: Date;
  readonly most: number;
  /** Characters of all documents together. */
  readonly mostChars: number;
}

/** Of one tenant; so no tenant's many operations leave nothing to others. */
const MOST_OF_TENANT = 200;

/**
 * Returns the documents that clients of these tenants may run now, each once, those that ran or were approved last first.
 * A tenant that cannot be read is left out, since nothing depends on it; a directory that cannot is SERVICE_UNAVAILABLE.
 */
export async function latestDocuments(databases: Databases, wanted: LatestWanted): Promise<readonly string[]> {
  const tenants = wanted.tenants ?? (await readTenants(databases)).map(({ id }) => idOf('tnt', id));
  let latest = new Map<string, number>();
  for (const tenant of tenants) {
    const found = await documentsOf(databases, tenant, wanted.now).catch(() => []);
    for (const { body, at } of found) latest.set(body, Math.max(at.getTime(), latest.get(body) ?? -Infinity));
    latest = latestOf(latest, wanted);
  }
  return [...latest.keys()];
}

function latestOf(documents: ReadonlyMap<string, number>, { most, mostChars }: LatestWanted): Map<string, number> {
  let chars = 0;
  const sorted = [...documents].toSorted(([, one], [, other]) => other - one).slice(0, most);
  return new Map(sorted.filter(([body]) => (chars += body.length) <= mostChars));
}

function documentsOf(databases: Databases, tenant: Id<'tnt'>, now: Date) {
  return inSystemContext(databases, tenant, (tx) =>
    tx.query<{ readonly body: string; readonly at: Date }>(
      `select body, greatest(approved_at, last_used_at) as at from registered_operations
        where ${IN_FORCE} order by at desc limit ${MOST_OF_TENANT}`,
      [now],
    ),
  );
}

async function readTenants({ directory }: Databases): Promise<readonly { id: string; slug: string }[]> {
  const { rows } = await directory
    .query<{ id: string; slug: string }>('select id, slug from tenants order by slug')
    .catch((cause: unknown) =>
      fail('SERVICE_UNAVAILABLE', `the directory does not answer: ${String(cause)}`, { cause }),
    );
  return rows;
}

function operationsOf(databases: Databases, tenant: Id<'tnt'>, now: Date): Promise<readonly RelyingOperation[]> {
  return inSystemContext(databases, tenant, (tx) =>
    tx.query<RelyingOperation>(
      `select client, key as id, name, body from registered_operations where ${IN_FORCE} order by client, key`,
      [now],
    ),
  );
}

const IN_FORCE = `state = 'APPROVED' and (expires_at is null or expires_at > $1)
  and (revoked_at is null or revoked_at > $1)`;

async function inSystemContext<Row>(
  databases: Databases,
  id: Id<'tnt'>,
  read: (tx: Pick<TenantTransaction, 'query'>) => Promise<Row[]>,
): Promise<Row[]> {
  const tenant = await systemContext(databases, id, { name: 'operations', requestId: mintId('req') });
  return inTenantOnce({ tenant, databases }, read);
}
