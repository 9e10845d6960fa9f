import pg from 'pg';
import { fail } from '#schema/errors.ts';
import { scopeClient } from '#kit/store-scope.ts';
import { POOL } from '#schema/tenant-store.ts';

/** A catalog of a large installation takes its time; a lock that nobody lets go of must not take all of it. */
const STATEMENT_TIMEOUT_MS = 60_000;

/**
 * Runs the work on a connection of its own, outside any tenant's context, for facts that belong to the database as a
 * whole; one that cannot be reached is SERVICE_UNAVAILABLE.
 */
export async function withEvidenceClient<T>(
  { url, store = POOL }: { readonly url: string; readonly store?: string | undefined },
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'tenon-evidence',
    statement_timeout: STATEMENT_TIMEOUT_MS,
  });
  client.on('error', () => undefined);
  await client
    .connect()
    .catch((cause: unknown) => fail('SERVICE_UNAVAILABLE', 'the database cannot be reached', { cause }));
  try {
    await scopeClient(client, store);
    return await work(client);
  } finally {
    await client.end();
  }
}
