import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import pg from 'pg';
import { fail, TenonError } from '#schema/errors.ts';

/** Any number will do as long as nothing else in these databases locks it: "migr" in ASCII. */
const LOCK_KEY = 0x6d696772;

/**
 * A change that waits for a lock makes every later query wait behind it; giving up keeps the running instances
 * answering, and the next start tries again.
 */
const LOCK_TIMEOUT = '10s';

const FILE_SHAPE = /^(\d{4})-([a-z0-9]+(?:-[a-z0-9]+)*)\.sql$/;

/** The database to work on: an address, or a connection that is in no transaction and goes past any pooler. */
export type MigrationTarget = { readonly url: string } | { readonly client: pg.ClientBase };

/** What a run did. */
export interface MigrationRun {
  /** Names of the files that this run applied, in order. */
  readonly applied: readonly string[];
  /** Number of the newest applied file; 0 before the first. */
  readonly version: number;
}

/** One row of `tenon.migrations`; a database may be made of several folders, each numbered for itself. */
export interface AppliedMigration {
  readonly number: number;
  readonly name: string;
  /** Of the file's bytes, in lower-case hex. */
  readonly sha256: string;
  readonly appliedAt: Date;
}

/** Where a database stands against a folder of files. */
export interface MigrationStatus {
  readonly version: number;
  readonly applied: readonly AppliedMigration[];
  /** Names of the files that the next run applies. */
  readonly pending: readonly string[];
  /** The sentence with which a run would stop before it applied anything, or null. */
  readonly fault: string | null;
}

interface MigrationFile {
  /** Name of the folder. */
  readonly series: string;
  readonly file: string;
  readonly number: number;
  readonly name: string;
  readonly sha256: string;
  readonly sql: string;
}

/**
 * Brings a database to the newest file of a folder (`NNNN-noun.sql`, numbered from 0001 without a gap). Forward only;
 * each file is one transaction together with its row in `tenon.migrations`, so a file that fails leaves nothing and
 * those before it stay. Instances that run at once take turns. SERVICE_UNAVAILABLE, and nothing applied, where an
 * applied file was changed, renamed, renumbered or removed, or the numbering is wrong.
 */
export async function migrate({
  folder,
  log,
  ...target
}: MigrationTarget & { readonly folder: string; readonly log: (line: string) => void }): Promise<MigrationRun> {
  const files = await readMigrations(folder);
  return onTarget(target, (client) =>
    alone(client, async () => {
      await client.query(`
      create schema if not exists tenon;
      create table if not exists tenon.migrations (
        series text not null,
        number integer not null,
        name text not null,
        sha256 text not null,
        applied_at timestamptz not null default now(),
        primary key (series, number)
      )`);
      const pending = pendingOf(files, await readApplied(client, basename(folder)));
      for (const file of pending) {
        await apply(client, file);
        log(`migration ${file.file} applied`);
      }
      return { applied: pending.map(({ file }) => file), version: files.length };
    }),
  );
}

/** Compares a database with a folder and changes nothing; works on a database that was never migrated. */
export async function migrationStatus({
  folder,
  ...target
}: MigrationTarget & { readonly folder: string }): Promise<MigrationStatus> {
  const files = await readMigrations(folder);
  return onTarget(target, async (client) => {
    const { rows } = await client.query<{ exists: boolean }>(
      `select to_regclass('tenon.migrations') is not null as exists`,
    );
    const applied = rows[0]?.exists === true ? await readApplied(client, basename(folder)) : [];
    const fault = faultOf(files, applied);
    const pending = fault === null ? files.slice(applied.length).map(({ file }) => file) : [];
    return { version: applied.at(-1)?.number ?? 0, applied, pending, fault };
  });
}

async function readMigrations(folder: string): Promise<MigrationFile[]> {
  const entries = await readdir(folder).catch((cause: unknown) =>
    fail('SERVICE_UNAVAILABLE', `The migration folder ${folder} cannot be read.`, { cause }),
  );
  const names = entries.filter((entry) => entry.endsWith('.sql')).toSorted();
  if (names.length === 0) fail('SERVICE_UNAVAILABLE', `The migration folder ${folder} holds no file.`);
  return Promise.all(names.map((file, index) => readMigration(folder, { file, number: index + 1 })));
}

async function readMigration(
  folder: string,
  { file, number }: { file: string; number: number },
): Promise<MigrationFile> {
  const [, digits, name] = FILE_SHAPE.exec(file) ?? [];
  if (name === undefined) {
    return fail('SERVICE_UNAVAILABLE', `The migration ${file} is not named like 0001-noun.sql.`);
  }
  if (Number(digits) !== number) {
    const fault = Number(digits) < number ? 'has a number that is already used or 0000' : 'leaves a gap';
    fail(
      'SERVICE_UNAVAILABLE',
      `The migration ${file} ${fault}: the next number is ${String(number).padStart(4, '0')}.`,
    );
  }
  const sql = await readFile(join(folder, file), 'utf8');
  return { series: basename(folder), file, number, name, sha256: createHash('sha256').update(sql).digest('hex'), sql };
}

async function onTarget<T>(target: MigrationTarget, work: (client: pg.ClientBase) => Promise<T>): Promise<T> {
  if ('client' in target) return work(target.client);
  const client = new pg.Client({ connectionString: target.url });
  // A lost connection also rejects the query that runs; without a listener it would end the process.
  client.on('error', () => undefined);
  await client
    .connect()
    .catch((cause: unknown) =>
      fail('SERVICE_UNAVAILABLE', `The database to migrate cannot be reached: ${String(cause)}`, { cause }),
    );
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The lock belongs to the session: a process that dies lets go of it. */
async function alone<T>(client: pg.ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('select pg_advisory_lock($1)', [LOCK_KEY]);
  try {
    return await work();
  } finally {
    // Fails on a lost connection, which let go of the lock and whose own error is the one to see.
    await client.query('select pg_advisory_unlock($1)', [LOCK_KEY]).catch(() => undefined);
  }
}

async function readApplied(client: pg.ClientBase, series: string): Promise<AppliedMigration[]> {
  const { rows } = await client.query<AppliedMigration>(
    'select number, name, sha256, applied_at as "appliedAt" from tenon.migrations where series = $1 order by number',
    [series],
  );
  return rows;
}

function pendingOf(files: readonly MigrationFile[], applied: readonly AppliedMigration[]): MigrationFile[] {
  const fault = faultOf(files, applied);
  if (fault !== null) fail('SERVICE_UNAVAILABLE', fault);
  return files.slice(applied.length);
}

/** Applied files are 1..n without a gap, because files are, and are applied in order. */
function faultOf(files: readonly MigrationFile[], applied: readonly AppliedMigration[]): string | null {
  for (const [index, row] of applied.entries()) {
    const was = `${String(row.number).padStart(4, '0')}-${row.name}.sql`;
    const file = files[index];
    if (file === undefined) return `The applied migration ${was} is missing: this program is older than its database.`;
    if (row.number !== file.number) return `The migration ${file.file} was never applied, though the later ${was} was.`;
    if (row.name !== file.name) return `The migration ${file.file} was applied under the name ${was}.`;
    if (row.sha256 !== file.sha256) return `The migration ${file.file} was changed after it was applied.`;
  }
  return null;
}

async function apply(client: pg.ClientBase, { series, file, number, name, sha256, sql }: MigrationFile): Promise<void> {
  try {
    await client.query('begin');
    await client.query(`set local lock_timeout = '${LOCK_TIMEOUT}'; set local statement_timeout = 0`);
    const before = await transactionId(client);
    await client.query(sql);
    if ((await transactionId(client)) !== before) {
      fail(
        'SERVICE_UNAVAILABLE',
        `The migration ${file} ends its own transaction; it must hold neither COMMIT nor ROLLBACK.`,
      );
    }
    // What a file sets (a role, a search path) ends with the file.
    await client.query('reset role; reset all');
    await client.query('insert into tenon.migrations (series, number, name, sha256) values ($1, $2, $3, $4)', [
      series,
      number,
      name,
      sha256,
    ]);
    await client.query('commit');
  } catch (cause) {
    await client.query('rollback').catch(() => undefined);
    if (cause instanceof TenonError) throw cause;
    // After a lost connection nobody knows whether the commit arrived; the next run reads it from the table.
    if (!(cause instanceof pg.DatabaseError))
      fail('SERVICE_UNAVAILABLE', `The migration ${file} was cut off: ${String(cause)}`, { cause });
    const place =
      cause.position === undefined ? '' : ` (line ${sql.slice(0, Number(cause.position)).split('\n').length})`;
    fail('SERVICE_UNAVAILABLE', `The migration ${file}${place} failed and left nothing: ${cause.message}`, { cause });
  }
}

async function transactionId(client: pg.ClientBase): Promise<string> {
  const { rows } = await client.query<{ id: string }>('select pg_current_xact_id()::text as id');
  return rows[0]?.id ?? '';
}
