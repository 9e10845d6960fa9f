import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { fail } from '#schema/errors.ts';

/** How a server that lost its starter is asked to end, and how long each way may take: a fast shutdown writes a checkpoint. */
const ENDINGS = [
  { signal: 'SIGINT', withinMs: 30_000 },
  { signal: 'SIGQUIT', withinMs: 5_000 },
] as const;

interface RunningProcess {
  readonly parentPid: number;
  /** Every argument followed by a zero character, as /proc has it. */
  readonly command: string;
}

/** What `cluster_name` is set to on the server's command line, so that any process can tell whose it is. */
export function clusterName(starterPid: number): string {
  return `tenon-${starterPid}`;
}

/**
 * Ends a server that runs on the data folder though the process that started it is gone (killed with -9). Returns the
 * process id in its lock file where that is no PostgreSQL of this folder any more, else null. SERVICE_UNAVAILABLE
 * where the starter lives: the folder is in use.
 */
export async function endLeftover(dataDir: string): Promise<number | null> {
  const pid = await lockedBy(dataDir);
  if (pid === null) return null;
  const found = await serverProcess(pid, dataDir);
  if (found === null) return pid;
  // The system gives the child of a dead process another parent.
  if (found.command.includes(`cluster_name=${clusterName(found.parentPid)}\0`)) {
    fail('SERVICE_UNAVAILABLE', `${dataDir} is in use: process ${found.parentPid} runs a PostgreSQL on it.`);
  }
  for (const { signal, withinMs } of ENDINGS) {
    if (await endedBy(signal, { pid, dataDir, withinMs })) return null;
  }
  return fail(
    'SERVICE_UNAVAILABLE',
    `A PostgreSQL left over on ${dataDir} (process ${pid}) does not end; end it first.`,
  );
}

/** The first line of postmaster.pid is the process id. */
async function lockedBy(dataDir: string): Promise<number | null> {
  const lock = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number(lock.split('\n', 1)[0]);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : null;
}

async function endedBy(
  signal: NodeJS.Signals,
  { pid, dataDir, withinMs }: { pid: number; dataDir: string; withinMs: number },
): Promise<boolean> {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended in between, or is another user's: the look at its process tells.
  }
  for (let waitedMs = 0; waitedMs < withinMs; waitedMs += 20) {
    if ((await serverProcess(pid, dataDir)) === null) return true;
    await sleep(20);
  }
  return false;
}

/** Null where no such process lives or it is something else: process ids are used again. */
async function serverProcess(pid: number, dataDir: string): Promise<RunningProcess | null> {
  const found = process.platform === 'linux' ? await fromProc(pid) : await fromPs(pid);
  if (found === null) return null;
  return found.command.includes('postgres') && found.command.includes(dataDir) ? found : null;
}

async function fromProc(pid: number): Promise<RunningProcess | null> {
  try {
    const [stat, command] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ]);
    // "pid (name) state ppid": the name may hold spaces and parentheses.
    const parentPid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    return { parentPid, command };
  } catch {
    return null;
  }
}

async function fromPs(pid: number): Promise<RunningProcess | null> {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'ppid=,command=', '-p', String(pid)]);
    return { parentPid: Number.parseInt(stdout, 10), command: stdout.trim().replaceAll(' ', '\0') + '\0' };
  } catch {
    return null;
  }
}
