import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from './programs.ts';

/** What must be installed: on Debian the package redis-server. */
export const REDIS_PROGRAMS = ['redis-server'] as const;

/** A Redis of the calling test's own; it keeps nothing on disk. */
export interface RedisServer {
  readonly url: string;
  /** Ends the server; what it held is gone. */
  end(): Promise<void>;
  /** Starts it on the same port, once it was ended. */
  start(): Promise<void>;
  /** Leaves it there with every connection, but it answers nothing until `resume`. */
  halt(): void;
  resume(): void;
  /** Ends it and removes its folder. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 10_000;

/** Starts a Redis on a free port of 127.0.0.1. */
export async function startRedis(): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'tenon-redis-'));
  const port = await freePort();
  let child: ChildProcess | null = null;
  process.once('exit', () => child?.kill('SIGKILL'));
  const end = async () => {
    if (child !== null) await ended(child);
    child = null;
  };
  const start = async () => {
    child = spawn(
      'redis-server',
      ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'],
      { stdio: 'ignore' },
    );
    await untilListening(port, child);
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    end,
    start,
    halt: () => child?.kill('SIGSTOP'),
    resume: () => child?.kill('SIGCONT'),
    stop: async () => {
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function untilListening(port: number, child: ChildProcess): Promise<void> {
  for (const deadline = performance.now() + START_TIMEOUT_MS; !(await listens(port)); await pause(10)) {
    if (child.exitCode !== null || performance.now() > deadline) throw new Error('redis-server does not start');
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    }).once('error', () => resolve(false));
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => void child.once('close', resolve));
  child.kill('SIGKILL');
  await gone;
}
