import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrate, migrationStatus } from '#kit/migrations.ts';
import { createDatabase, databaseUrl, type TestDatabase, withClient } from '../support/postgres.ts';

let folder: string;
let database: TestDatabase;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tenon-migrations-'));
  database = await createDatabase();
});

afterEach(async () => {
  await database.drop();
  await rm(folder, { recursive: true });
});

const put = (file: string, sql: string) => writeFile(join(folder, file), sql);
const run = (log: (line: string) => void = () => undefined) => migrate({ url: database.url, folder, log });

async function rows(sql: string): Promise<unknown[]> {
  return withClient(database.url, async (client) => (await client.query(sql)).rows);
}

async function putTwo(): Promise<void> {
  await put('0001-users.sql', 'create table users (id int primary key);');
  await put('0002-groups.sql', 'create table groups (id int primary key, owner int references users);');
}

/** A line to the server that breaks before it carries the words. */
async function cuttingLine(url: string, words: string): Promise<{ url: string; close: () => Promise<unknown> }> {
  const server = new URL(url);
  const relay = createServer((near) => {
    const far = connect(Number(server.port || 5432), server.hostname);
    far.on('error', () => near.destroy()).on('close', () => near.destroy());
    near.on('error', () => far.destroy()).on('close', () => far.destroy());
    near.on('data', (bytes) => (bytes.includes(words) ? near.destroy() : far.write(bytes)));
    far.on('data', (bytes) => near.write(bytes));
  });
  await once(relay.listen(0, '127.0.0.1'), 'listening');
  const address = relay.address();
  const near = new URL(url);
  near.host = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return { url: near.href, close: () => once(relay.close(), 'close') };
}

describe('migrate', () => {
  it('applies the files in order, records each with its hash, and does nothing the second time', async () => {
    await putTwo();
    await put('README.md', 'not a migration');
    const lines: string[] = [];
    expect(await run((line) => lines.push(line))).toEqual({
      applied: ['0001-users.sql', '0002-groups.sql'],
      version: 2,
    });
    expect(lines).toEqual(['migration 0001-users.sql applied', 'migration 0002-groups.sql applied']);
    const sha256 = createHash('sha256').update('create table users (id int primary key);').digest('hex');
    expect(
      await rows('select number, name, sha256, applied_at <= now() as past from tenon.migrations order by 1'),
    ).toEqual([
      { number: 1, name: 'users', sha256, past: true },
      expect.objectContaining({ number: 2, name: 'groups' }),
    ]);
    expect(await run()).toEqual({ applied: [], version: 2 });
  });

  it('applies later only what was added', async () => {
    await putTwo();
    await run();
    await put('0003-roles.sql', 'create table roles (id int);');
    expect(await run()).toEqual({ applied: ['0003-roles.sql'], version: 3 });
  });

  it('works on a connection of the caller and leaves it usable', async () => {
    await putTwo();
    await withClient(database.url, async (client) => {
      await migrate({ client, folder, log: () => undefined });
      expect((await client.query('select count(*)::int as n from groups')).rows).toEqual([{ n: 0 }]);
      expect(
        (
          await client.query(
            `select count(*)::int as n from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`,
          )
        ).rows,
      ).toEqual([{ n: 0 }]);
    });
  });

  it('lets instances that start at once apply every file once between them', async () => {
    await putTwo();
    const runs = await Promise.all([run(), run(), run(), run()]);
    expect(runs.flatMap(({ applied }) => applied)).toEqual(['0001-users.sql', '0002-groups.sql']);
    expect(runs.map(({ version }) => version)).toEqual([2, 2, 2, 2]);
  });

  it('leaves nothing of a file that fails, keeps those before it, and names file and line', async () => {
    await putTwo();
    await put(
      '0003-roles.sql',
      'create table roles (id int);\ninsert into roles values (1);\nselect nonsense from roles;\n',
    );
    await expect(run()).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: 'The migration 0003-roles.sql (line 3) failed and left nothing: column "nonsense" does not exist',
    });
    expect(await rows(`select to_regclass('roles') as roles, max(number) as version from tenon.migrations`)).toEqual([
      { roles: null, version: 2 },
    ]);
    await put('0003-roles.sql', 'create table roles (id int);');
    expect(await run()).toEqual({ applied: ['0003-roles.sql'], version: 3 });
  });

  it('does not record a file that ends its own transaction', async () => {
    await put('0001-users.sql', 'create table users (id int); commit; create table later (id int);');
    await expect(run()).rejects.toThrow('0001-users.sql ends its own transaction');
    expect(await rows('select * from tenon.migrations')).toEqual([]);
  });

  it('keeps what a file sets for the session from the next file', async () => {
    await put('0001-users.sql', `set search_path = pg_temp; set role pg_monitor; set lock_timeout = '1s';`);
    await put(
      '0002-settings.sql',
      `create table settings as
      select current_user as role, current_setting('lock_timeout') as lock_timeout, current_schema as schema;`,
    );
    await run();
    const user = new URL(database.url).username;
    expect(await rows('select * from public.settings')).toEqual([
      { role: user, lock_timeout: '10s', schema: 'public' },
    ]);
  });

  it('goes on after a run whose connection was lost in the middle of a file', async () => {
    await putTwo();
    await put('0003-roles.sql', 'create table roles (id int); -- cut the line here');
    const line = await cuttingLine(database.url, 'cut the line here');
    await expect(migrate({ url: line.url, folder, log: () => undefined })).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringContaining('The migration 0003-roles.sql was cut off'),
    });
    await line.close();
    expect(await rows('select max(number) as version from tenon.migrations')).toEqual([{ version: 2 }]);
    await put('0003-roles.sql', 'create table roles (id int);');
    expect(await run()).toEqual({ applied: ['0003-roles.sql'], version: 3 });
  });

  it('says that a database cannot be reached without telling the password', async () => {
    await putTwo();
    const url = databaseUrl('no_such_database', { name: 'nobody', password: 'hunter2' });
    const failure = await migrate({ url, folder, log: () => undefined }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    expect(String(failure)).not.toContain('hunter2');
  });
});

describe('an applied file', () => {
  beforeEach(async () => {
    await putTwo();
    await run();
    await put('0003-roles.sql', 'create table roles (id int);');
  });

  afterEach(async () => {
    expect(await rows(`select to_regclass('roles') as roles`)).toEqual([{ roles: null }]);
  });

  it('stops the run when it was changed', async () => {
    await put('0001-users.sql', 'create table users (id int primary key); ');
    await expect(run()).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: 'The migration 0001-users.sql was changed after it was applied.',
    });
  });

  it('stops the run when it was renamed', async () => {
    await rename(join(folder, '0002-groups.sql'), join(folder, '0002-teams.sql'));
    await expect(run()).rejects.toThrow('0002-teams.sql was applied under the name 0002-groups.sql');
  });

  it('stops the run when another file took its number', async () => {
    await rename(join(folder, '0003-roles.sql'), join(folder, '0004-roles.sql'));
    await rename(join(folder, '0002-groups.sql'), join(folder, '0003-groups.sql'));
    await put('0002-members.sql', 'create table members (id int);');
    await expect(run()).rejects.toThrow('0002-members.sql was applied under the name 0002-groups.sql');
  });

  it('stops the run when it is missing', async () => {
    await rm(join(folder, '0003-roles.sql'));
    await rm(join(folder, '0002-groups.sql'));
    await expect(run()).rejects.toThrow('0002-groups.sql is missing: this program is older than its database');
  });

  it('stops the run when its record is missing though a later one is there', async () => {
    await rows('delete from tenon.migrations where number = 1');
    await expect(run()).rejects.toThrow('0001-users.sql was never applied, though the later 0002-groups.sql was');
  });
});

/** The run stops with the sentence and has touched nothing. */
async function refused(sentence: string): Promise<void> {
  await expect(run()).rejects.toMatchObject({
    code: 'SERVICE_UNAVAILABLE',
    message: expect.stringContaining(sentence),
  });
  expect(await rows(`select to_regclass('users') as users, to_regclass('tenon.migrations') as kept`)).toEqual([
    { users: null, kept: null },
  ]);
}

describe('a folder', () => {
  it('with a gap in its numbers is refused', async () => {
    await putTwo();
    await put('0004-roles.sql', 'select 1;');
    await refused('0004-roles.sql leaves a gap: the next number is 0003');
  });

  it('with a number used twice is refused', async () => {
    await putTwo();
    await put('0002-teams.sql', 'select 1;');
    await refused('0002-teams.sql has a number that is already used');
  });

  it.each(['0000-users.sql', '1-users.sql', '0001_users.sql', '0001-Users.sql', '0001-.sql', 'users.sql'])(
    'with a file named %s is refused',
    async (file) => {
      await put(file, 'create table users (id int);');
      await refused(file);
    },
  );

  it('that is empty or missing is refused', async () => {
    await refused('holds no file');
    await expect(migrate({ url: database.url, folder: join(folder, 'none'), log: () => undefined })).rejects.toThrow(
      'cannot be read',
    );
  });
});

describe('migrationStatus', () => {
  it('tells a database that was never migrated and changes nothing in it', async () => {
    await putTwo();
    expect(await migrationStatus({ url: database.url, folder })).toEqual({
      version: 0,
      applied: [],
      pending: ['0001-users.sql', '0002-groups.sql'],
      fault: null,
    });
    expect(await rows(`select 1 from pg_namespace where nspname = 'tenon'`)).toEqual([]);
  });

  it('tells what was applied when, what is pending and what is wrong', async () => {
    await putTwo();
    await run();
    await put('0003-roles.sql', 'select 1;');
    const status = await migrationStatus({ url: database.url, folder });
    expect(status).toMatchObject({ version: 2, pending: ['0003-roles.sql'], fault: null });
    expect(status.applied.map(({ name }) => name)).toEqual(['users', 'groups']);
    expect(status.applied[0]?.appliedAt).toBeInstanceOf(Date);
    await put('0002-groups.sql', 'select 2;');
    expect(await migrationStatus({ url: database.url, folder })).toMatchObject({
      version: 2,
      pending: [],
      fault: 'The migration 0002-groups.sql was changed after it was applied.',
    });
  });
});
