import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '#kit/embedded-postgres.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Superuser's address of the maintenance database of the server that the whole run shares. */
    postgresUrl: string;
    /** Begins the name of every database that this run makes. */
    databasePrefix: string;
  }
}

/**
 * Gives the run one PostgreSQL, which test files reach through `support/postgres.ts`: the server named by
 * TEST_DATABASE_URL (a superuser's address), else an embedded one in a temporary folder. Returns what ends it.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const databasePrefix = `tenon_test_${randomBytes(4).toString('hex')}`;
  project.provide('databasePrefix', databasePrefix);
  const external = process.env['TEST_DATABASE_URL'];
  if (external !== undefined && external !== '') {
    project.provide('postgresUrl', external);
    return () => dropDatabases(external, databasePrefix);
  }
  const folder = await mkdtemp(join(tmpdir(), 'tenon-test-'));
  const server = await startEmbeddedPostgres({
    dataDir: join(folder, 'postgres'),
    durable: false,
    log: () => undefined,
  });
  project.provide('postgresUrl', server.superuserUrl('postgres'));
  return async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
}

/** A server that outlives the run keeps nothing of it, also where a worker was killed. */
async function dropDatabases(url: string, prefix: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ datname: string }>(
      'select datname from pg_database where starts_with(datname, $1)',
      [prefix],
    );
    for (const { datname } of rows) {
      const name = client.escapeIdentifier(datname);
      await client.query(`alter database ${name} is_template false`);
      await client.query(`drop database if exists ${name} with (force)`);
    }
  } finally {
    await client.end();
  }
}
