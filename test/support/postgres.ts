import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, inject } from 'vitest';

/** A database of the calling test file's own; it is dropped when the file ends, or earlier by `drop`. */
export interface TestDatabase {
  readonly name: string;
  /** For the superuser, who is bound by no row-level security. */
  readonly url: string;
  /** Ends its connections and removes it; a second call is harmless. */
  drop(): Promise<void>;
}

const databases = new Set<TestDatabase>();

afterAll(async () => {
  for (const database of databases) await database.drop();
});

/** Makes an empty database. */
export function createDatabase(): Promise<TestDatabase> {
  return create('template0');
}

/** Makes a copy of a template that `ensureTemplate` prepared, under the name given there. */
export function cloneDatabase(templateName: string, name?: string): Promise<TestDatabase> {
  return create(templateDatabase(templateName), name);
}

/**
 * Prepares a template once in the whole run, whichever worker comes first; the others wait for it. `prepare` gets the
 * superuser's address of an empty database and ends its own connections. A preparation that failed leaves nothing, and
 * the next caller prepares again.
 */
export async function ensureTemplate(name: string, prepare: (url: string) => Promise<void>): Promise<void> {
  const database = templateDatabase(name);
  await onServer(async (client) => {
    await client.query('select pg_advisory_lock(hashtextextended($1, 0))', [database]);
    const { rows } = await client.query<{ whole: boolean }>(
      'select datistemplate as whole from pg_database where datname = $1',
      [database],
    );
    if (rows[0]?.whole === true) return;
    const identifier = client.escapeIdentifier(database);
    await client.query(`drop database if exists ${identifier} with (force)`);
    await client.query(`create database ${identifier} template template0`);
    await prepare(databaseUrl(database));
    // Marked last, and closed to connections, which would stand in the way of every copy.
    await client.query(`alter database ${identifier} with is_template true allow_connections false`);
  });
}

/** Address of another database of the server that a `TestDatabase` is on, for the superuser or another user. */
export function databaseUrl(database: string, user?: { readonly name: string; readonly password: string }): string {
  const url = new URL(inject('postgresUrl'));
  url.pathname = `/${encodeURIComponent(database)}`;
  if (user !== undefined) {
    url.username = encodeURIComponent(user.name);
    url.password = encodeURIComponent(user.password);
  }
  return url.href;
}

/** Runs `work` on a connection of its own and closes it. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function create(
  template: string,
  name = `${inject('databasePrefix')}_${randomBytes(6).toString('hex')}`,
): Promise<TestDatabase> {
  await onServer((client) => client.query(`create database ${name} template ${client.escapeIdentifier(template)}`));
  const database: TestDatabase = {
    name,
    url: databaseUrl(name),
    drop: async () => {
      if (!databases.delete(database)) return;
      await onServer((client) => client.query(`drop database if exists ${name} with (force)`));
    },
  };
  databases.add(database);
  return database;
}

function templateDatabase(name: string): string {
  return `${inject('databasePrefix')}_template_${name}`;
}

function onServer<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  return withClient(inject('postgresUrl'), work);
}
