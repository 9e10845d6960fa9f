import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '#kit/embedded-postgres.ts';
import { choosePostgresAccount } from '#kit/postgres-account.ts';
import { findPostgresBinaries } from '#kit/postgres-binaries.ts';
import { withClient } from '../support/postgres.ts';

const silent = (): void => undefined;
const library = (root: string): string => join(root, 'native', 'lib', 'libpq.so.5');
const isRoot = process.getuid?.() === 0;

/** As any npm project in a home that is closed to others: mkdtemp makes mode 0700. */
async function temporaryFolder(): Promise<string> {
  return realpath(await mkdtemp(join(tmpdir(), 'tenon-pg-')));
}

async function query(server: EmbeddedPostgres, sql: string): Promise<unknown[]> {
  return withClient(server.superuserUrl('postgres'), async (client) => (await client.query(sql)).rows);
}

async function serverPid(dataDir: string): Promise<number> {
  return Number((await readFile(join(dataDir, 'postmaster.pid'), 'utf8')).split('\n')[0]);
}

/** The system may keep a dead process listed until its parent has looked at it; its command line is empty then. */
async function lives(pid: number): Promise<boolean> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) !== '';
}

/** Another Node process that starts a server on the folder and keeps it. */
function startElsewhere(dataDir: string): ChildProcess {
  const program = `
    import { startEmbeddedPostgres } from '#kit/embedded-postgres.ts';
    const options = { dataDir: ${JSON.stringify(dataDir)}, durable: true, log: () => undefined };
    await startEmbeddedPostgres(options).then(() => console.log('up'), (error) => console.log(error.message));`;
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** `up`, or the sentence with which it could not start. */
async function outcome(child: ChildProcess): Promise<unknown> {
  if (child.stdout === null) throw new Error('the child has no output');
  return (await once(createInterface({ input: child.stdout }), 'line'))[0];
}

async function killHard(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

describe('an embedded PostgreSQL', () => {
  let folder: string;
  let dataDir: string;
  let server: EmbeddedPostgres;
  const log: string[] = [];
  let logged: (line: string) => void = silent;
  const start = (): Promise<EmbeddedPostgres> =>
    startEmbeddedPostgres({ dataDir, durable: true, log: (line) => (log.push(line), logged(line)) });

  beforeAll(async () => {
    folder = await temporaryFolder();
    dataDir = join(folder, 'postgres');
    server = await start();
    await query(server, 'create table notes (id int); insert into notes values (1)');
  });

  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  });

  it('keeps its data over a restart', async () => {
    await server.stop();
    server = await start();
    expect(await query(server, 'select id from notes')).toEqual([{ id: 1 }]);
  });

  it('answers on its port and on its socket, to the password alone', async () => {
    expect(server.host).toBe('127.0.0.1');
    const url = new URL(server.superuserUrl('postgres'));
    expect(url.port).toBe(String(server.port));
    const { socketDir } = server;
    if (socketDir !== undefined) {
      url.searchParams.set('host', socketDir);
      expect(await withClient(url.href, async (client) => (await client.query('select 1 as one')).rows)).toEqual([
        { one: 1 },
      ]);
    }
    url.password = 'wrong';
    await expect(withClient(url.href, async () => 'in')).rejects.toMatchObject({ code: '28P01' });
    url.searchParams.delete('host');
    await expect(withClient(url.href, async () => 'in')).rejects.toMatchObject({ code: '28P01' });
  });

  it('keeps its promises about power loss and is ready for logical decoding', async () => {
    const settings = ['fsync', 'full_page_writes', 'synchronous_commit', 'wal_level', 'max_connections'];
    const columns = settings.map((name) => `current_setting('${name}') as ${name}`).join(', ');
    expect(await query(server, `select ${columns}`)).toEqual([
      { fsync: 'on', full_page_writes: 'on', synchronous_commit: 'on', wal_level: 'logical', max_connections: '200' },
    ]);
  });

  it('keeps password and state readable for its owner alone, and the state only while it runs', async () => {
    const state: unknown = JSON.parse(await readFile(`${dataDir}.json`, 'utf8'));
    expect(state).toEqual({ port: server.port, pid: await serverPid(dataDir) });
    for (const file of [`${dataDir}.json`, `${dataDir}.password`]) expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
    await server.stop();
    await server.stop();
    expect((await readdir(folder)).toSorted()).toEqual(['postgres', 'postgres.password']);
    server = await start();
  });

  it('never runs as root, in a process group that the keys of a terminal do not reach', async () => {
    const pid = await serverPid(dataDir);
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const uid = Number(/^Uid:\t(\d+)/m.exec(status)?.[1]);
    expect(uid).toBe(isRoot ? 65_534 : process.getuid?.());
    // A group has the id of the process that leads it.
    expect(process.kill(-pid, 0)).toBe(true);
  });

  it('refuses a second start while it runs, and goes on running', async () => {
    const refused = {
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringContaining(`is in use: process ${process.pid}`),
    };
    await expect(start()).rejects.toMatchObject(refused);
    expect(await query(server, 'select id from notes')).toEqual([{ id: 1 }]);
  });

  it('logs no statement and no value of one', async () => {
    const reloaded = new Promise<void>((resolve) => {
      logged = (line) => line.includes('SIGHUP') && resolve();
    });
    await expect(query(server, `select 'anna@example.com'::int`)).rejects.toThrow('anna@example.com');
    await query(server, 'create table people (mail text unique); insert into people values ($$anna@example.com$$)');
    await expect(query(server, 'insert into people values ($$anna@example.com$$)')).rejects.toThrow('people_mail_key');
    await query(server, 'select pg_reload_conf()');
    await reloaded;
    expect(log.join('\n')).not.toContain('anna');
  });

  it('starts with every commit after its server was killed with -9', async () => {
    await withClient(server.superuserUrl('postgres'), async (client) => {
      client.on('error', silent);
      await client.query('insert into notes values (2)');
      const lost = new Promise((resolve) => client.once('end', resolve));
      process.kill(await serverPid(dataDir), 'SIGKILL');
      await lost;
    });
    server = await start();
    expect(await query(server, 'select id from notes where id = 2')).toEqual([{ id: 2 }]);
  });

  it('starts with every commit after the process that held it was killed with -9', async () => {
    await server.stop();
    const holder = startElsewhere(dataDir);
    expect(await outcome(holder)).toBe('up');
    const orphan = await serverPid(dataDir);
    const { port } = JSON.parse(await readFile(`${dataDir}.json`, 'utf8'));
    const url = new URL(server.superuserUrl('postgres'));
    url.port = port;
    await withClient(url.href, (client) => client.query('insert into notes values (3)'));
    await killHard(holder);
    server = await start();
    expect(await lives(orphan)).toBe(false);
    expect(await query(server, 'select id from notes where id = 3')).toEqual([{ id: 3 }]);
  });

  it('first ends a server that outlived its starter', async () => {
    const running = (await readFile(`/proc/${await serverPid(dataDir)}/cmdline`, 'utf8')).split('\0').slice(0, -1);
    await server.stop();
    const { initdb } = await findPostgresBinaries(join(folder, 'postgres-binaries'));
    const account = await choosePostgresAccount({ dataDir, initdb });
    // The shell ends at once, and with it the tie between this process and the server.
    const { file, args, options } = account.command('/bin/sh', ['-c', '"$@" &', 'sh', ...running]);
    const shell = spawn(file, args, { ...options, stdio: ['ignore', 'ignore', 'pipe'] });
    for await (const line of createInterface({ input: shell.stderr })) if (line.includes('ready to accept')) break;
    const orphan = await serverPid(dataDir);
    expect(await lives(orphan)).toBe(true);
    server = await start();
    expect(await lives(orphan)).toBe(false);
    expect(await query(server, 'select id from notes where id = 1')).toEqual([{ id: 1 }]);
  });

  it("starts though the process id in its lock file is another program's by now", async () => {
    await server.stop();
    const { uid, gid } = await stat(dataDir);
    const stranger = spawn('sleep', ['600'], isRoot ? { uid, gid, stdio: 'ignore' } : { stdio: 'ignore' });
    await once(stranger, 'spawn');
    const lock = join(dataDir, 'postmaster.pid');
    await writeFile(
      lock,
      `${stranger.pid}\n${dataDir}\n1700000000\n5432\n\n127.0.0.1\n        0         0\nready   \n`,
    );
    await chown(lock, uid, gid);
    server = await start();
    expect(await query(server, 'select id from notes where id = 1')).toEqual([{ id: 1 }]);
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    await killHard(stranger);
  });

  it('says in one sentence that its port is taken', async () => {
    await server.stop();
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await expect(startEmbeddedPostgres({ dataDir, port, durable: true, log: silent })).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringMatching(/^PostgreSQL does not start on \S+: [^\n]*Address already in use$/),
    });
    const closed = once(taken, 'close');
    taken.close();
    await closed;
    server = await startEmbeddedPostgres({ dataDir, port, durable: true, log: silent });
    expect(server.port).toBe(port);
  });

  it('does not start without its password file and touches nothing', async () => {
    await server.stop();
    const password = await readFile(`${dataDir}.password`);
    await rm(`${dataDir}.password`);
    await expect(start()).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringContaining('postgres.password of the database'),
    });
    expect(await readdir(folder)).toEqual(['postgres']);
    await writeFile(`${dataDir}.password`, password, { mode: 0o600 });
    server = await start();
  });
});

describe('the data folder of an embedded PostgreSQL', () => {
  let folder: string;
  let server: EmbeddedPostgres | null = null;
  const start = async (dataDir: string): Promise<EmbeddedPostgres> =>
    (server = await startEmbeddedPostgres({ dataDir, durable: false, log: silent }));

  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  afterEach(async () => {
    await server?.stop();
    server = null;
    await rm(folder, { recursive: true });
  });

  it('is made whole after a start that was killed in the middle of making it', async () => {
    const dataDir = join(folder, 'postgres');
    const killed = startElsewhere(dataDir);
    const staging = `${dataDir}.new-${killed.pid}`;
    while ((await lstat(join(staging, 'data', 'PG_VERSION')).catch(() => null)) === null) await lstat(folder);
    await killHard(killed);
    expect(await readdir(folder)).toContain(`postgres.new-${killed.pid}`);
    expect(await readdir(folder)).not.toContain('postgres');
    expect(await query(await start(dataDir), 'select 1 as one')).toEqual([{ one: 1 }]);
    expect((await readdir(folder)).filter((entry) => entry.includes('.new-'))).toEqual([]);
  });

  it('is made once by starts at the same time, of which one holds it', async () => {
    const dataDir = join(folder, 'postgres');
    const children = [startElsewhere(dataDir), startElsewhere(dataDir)];
    const outcomes = await Promise.all(children.map(outcome));
    const refusals = outcomes.filter((said) => said !== 'up');
    expect(refusals).toEqual([expect.stringMatching(/in use|lock file "postmaster.pid" already exists/)]);
    for (const child of children) if (child.exitCode === null) await killHard(child);
    expect(await query(await start(dataDir), 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('is refused and left alone where it holds something else', async () => {
    const dataDir = join(folder, 'postgres');
    await mkdir(dataDir);
    await writeFile(join(dataDir, 'thesis.txt'), 'mine');
    await expect(start(dataDir)).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringContaining('holds no PostgreSQL data'),
    });
    expect(await readFile(join(dataDir, 'thesis.txt'), 'utf8')).toBe('mine');
  });

  it('may have a path that is too long for a socket', async () => {
    const dataDir = join(folder, 'a'.repeat(120), 'postgres');
    const { superuserUrl, socketDir } = await start(dataDir);
    expect(socketDir).toMatch(/tenon-[0-9a-f]{16}$/);
    const url = new URL(superuserUrl('postgres'));
    url.searchParams.set('host', socketDir ?? '');
    expect(await withClient(url.href, async (client) => (await client.query('show fsync')).rows)).toEqual([
      { fsync: 'off' },
    ]);
    await server?.stop();
    await expect(stat(socketDir ?? '')).rejects.toThrow('ENOENT');
  });
});

describe('the programs of an embedded PostgreSQL', () => {
  let folder: string;
  let packageFolder: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
    await chmod(folder, 0o755);
    packageFolder = join(folder, 'linux-x64');
    await mkdir(join(packageFolder, 'native', 'lib'), { recursive: true });
    await writeFile(join(packageFolder, 'package.json'), '{"version":"18.4.0"}');
    await writeFile(join(packageFolder, 'native', 'lib', 'libpq.so.5.18'), 'library');
    const links = [{ source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' }];
    await writeFile(join(packageFolder, 'native', 'pg-symlinks.json'), JSON.stringify(links));
  });

  afterEach(async () => {
    await chmod(join(packageFolder, 'native', 'lib'), 0o755);
    await rm(folder, { recursive: true });
  });

  it('get the library links that a blocked install script did not make, in place', async () => {
    const found = await findPostgresBinaries(join(folder, 'cache'), packageFolder);
    expect(found.postgres).toBe(join(packageFolder, 'native', 'bin', 'postgres'));
    expect(await readFile(library(packageFolder), 'utf8')).toBe('library');
    expect(await findPostgresBinaries(join(folder, 'cache'), packageFolder)).toEqual(found);
  });

  it('are copied once where node_modules is read-only', async () => {
    await chmod(join(packageFolder, 'native', 'lib'), 0o555);
    const cache = join(folder, 'cache');
    await mkdir(cache, { mode: 0o777 });
    if (isRoot) {
      // Root writes everywhere; the system calls of nobody are refused.
      await chown(cache, 65_534, 65_534);
      process.seteuid?.(65_534);
    }
    try {
      const found = await findPostgresBinaries(cache, packageFolder);
      expect(found.initdb).toBe(join(cache, '18.4.0', 'native', 'bin', 'initdb'));
      expect(await readFile(library(join(cache, '18.4.0')), 'utf8')).toBe('library');
      expect(await findPostgresBinaries(cache, packageFolder)).toEqual(found);
      expect(await readdir(cache)).toEqual(['18.4.0']);
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });

  it('that are not installed are named', async () => {
    const { platform } = process;
    Object.defineProperty(process, 'platform', { value: 'sunos' });
    try {
      await expect(findPostgresBinaries(folder)).rejects.toMatchObject({
        code: 'SERVICE_UNAVAILABLE',
        message: expect.stringContaining(`@embedded-postgres/sunos-${process.arch} is missing`),
      });
    } finally {
      Object.defineProperty(process, 'platform', { value: platform });
    }
  });
});
