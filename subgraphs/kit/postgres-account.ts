import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { lchown, lstat, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fail } from '#schema/errors.ts';

/** `nobody` on Linux: the account that root's PostgreSQL runs as, since PostgreSQL refuses to run as root. */
const NOBODY = 65_534;

/** A program as an account may start it: pass the three to `spawn` or `execFile`. */
export interface AccountCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly options: { readonly cwd: string; readonly env?: Record<string, string>; uid?: number; gid?: number };
}

/** The operating system account that the database programs run as, and how to start a program as it. */
export interface PostgresAccount {
  /** Set where files must be handed over to the account, that is where this process is root. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
  readonly command: (file: string, args: readonly string[]) => AccountCommand;
}

type Launcher = PostgresAccount['command'];

/**
 * Chooses the account with the fewest rights that can run `initdb` and reach the folder of `dataDir`. An ordinary user
 * stays herself; root becomes the owner of an existing `dataDir`, else nobody. On Linux the program gets SIGINT when
 * the starting thread ends, however it ends. SERVICE_UNAVAILABLE with the reason where no way works.
 */
export async function choosePostgresAccount({
  dataDir,
  initdb,
}: {
  dataDir: string;
  initdb: string;
}): Promise<PostgresAccount> {
  const found = await stat(dataDir).catch(() => null);
  const root = process.getuid?.() === 0;
  if (!root && found !== null && process.getuid !== undefined && found.uid !== process.getuid()) {
    fail('SERVICE_UNAVAILABLE', `${dataDir} belongs to the user with id ${found.uid}; start as that user or as root.`);
  }
  const owner = root ? { uid: found?.uid || NOBODY, gid: found?.gid || NOBODY } : null;
  let reason = '';
  for (const command of launchers(owner)) {
    reason = await trial(command, { folder: dirname(dataDir), initdb });
    if (reason === '') return { owner, command };
  }
  return fail(
    'SERVICE_UNAVAILABLE',
    `The embedded PostgreSQL cannot run${owner ? ` as user ${owner.uid}` : ''}: ${reason}`,
  );
}

/** Gives a file, or a folder with all that it holds, to the account; does nothing for an ordinary user. */
export async function giveTo(account: PostgresAccount, path: string): Promise<void> {
  if (account.owner === null) return;
  const { uid, gid } = account.owner;
  if ((await lstat(path)).isDirectory()) {
    for (const entry of await readdir(path)) await giveTo(account, join(path, entry));
  }
  await lchown(path, uid, gid);
}

/**
 * From the least right to the most. A capability lets nobody pass through a folder like /root that is closed to it,
 * and the secure bit makes access(2), by which PostgreSQL finds its own files, count the capability too.
 */
function* launchers(owner: PostgresAccount['owner']): Generator<Launcher> {
  const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => existsSync(path));
  if (setpriv !== undefined) {
    const dies = ['--pdeathsig', 'INT'];
    if (owner === null) yield viaSetpriv(setpriv, dies);
    else {
      const drop = [...dies, `--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
      yield viaSetpriv(setpriv, [...drop, '--inh-caps=-all']);
      for (const right of ['dac_read_search', 'dac_override']) {
        const caps = `-all,+${right}`;
        yield viaSetpriv(setpriv, [
          ...drop,
          '--securebits=+no_setuid_fixup',
          `--inh-caps=${caps}`,
          `--ambient-caps=${caps}`,
        ]);
      }
    }
  }
  yield (file, args) => ({ file, args, options: { ...surroundings(), ...owner } });
}

function viaSetpriv(setpriv: string, flags: readonly string[]): Launcher {
  return (file, args) => ({ file: setpriv, args: [...flags, '--', file, ...args], options: surroundings() });
}

/**
 * Neither the caller's secrets nor her PG* variables reach the server, and the working folder is one that every
 * account can enter. A program on Windows needs what Windows set, and finds the rest by the folder it is in.
 */
function surroundings(): { cwd: string; env?: Record<string, string> } {
  return process.platform === 'win32' ? { cwd: process.cwd() } : { cwd: '/', env: { LC_ALL: 'C', TZ: 'UTC' } };
}

/** Enters the folder and lets initdb find its files, for real; empty where both succeed, else the reason. */
function trial(command: Launcher, { folder, initdb }: { folder: string; initdb: string }): Promise<string> {
  if (process.platform === 'win32') return Promise.resolve('');
  const { file, args, options } = command('/bin/sh', ['-c', 'cd "$1" && exec "$0" --show -D "$1"', initdb, folder]);
  return new Promise((resolve) => {
    execFile(file, args, { ...options, timeout: 10_000 }, (error, _stdout, stderr) => {
      if (error === null) resolve('');
      else
        resolve(
          explain(
            stderr
              .trim()
              .split('\n')[0]
              ?.replace(/^\S+: \d+: /, '') || error.message,
          ),
        );
    });
  });
}

function explain(line: string): string {
  if (/ermission denied|EACCES|can't cd/.test(line)) {
    return `${line} (open the folders on the way for passing through, or install setpriv of util-linux).`;
  }
  return /not found/.test(line) ? `${line} (it needs a Linux with glibc 2.27 or newer).` : line;
}
