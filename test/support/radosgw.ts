import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { AwsCredentials } from '../../compliance/archive/aws-signature.ts';
import { freePorts } from './programs.ts';

/** What must be installed: on Debian the packages radosgw, ceph-mon and ceph-osd. */
export const RADOSGW_PROGRAMS = ['radosgw', 'ceph-mon', 'ceph-osd', 'radosgw-admin', 'ceph', 'monmaptool'] as const;

/** An S3 server with Object Lock of the calling test's own. */
export interface Radosgw {
  /** `http://127.0.0.1:port`. */
  readonly endpoint: string;
  readonly credentials: AwsCredentials;
  /** Runs radosgw-admin, as only the operator of the storage can. */
  admin(...args: readonly string[]): Promise<void>;
  /** Ends its processes and removes its folder. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 50_000;

/**
 * Starts Ceph on 127.0.0.1, as small as it goes: one monitor, one OSD that keeps everything in memory, one gateway; no
 * manager, no authentication among them, all in one temporary folder. Takes one to three seconds.
 */
export async function startRadosgw(): Promise<Radosgw> {
  const folder = await mkdtemp(join(tmpdir(), 'tenon-radosgw-'));
  const daemons: ChildProcess[] = [];
  const stop = async () => {
    for (const daemon of daemons.toReversed()) await ended(daemon);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    return { ...(await start(folder, daemons)), stop };
  } catch (error) {
    const logs = await tails(folder);
    await stop();
    throw new Error(`radosgw does not start: ${String(error)}\n${logs}`, { cause: error });
  }
}

async function start(folder: string, daemons: ChildProcess[]): Promise<Omit<Radosgw, 'stop'>> {
  const [v2 = 0, v1 = 0, s3 = 0] = await freePorts(3);
  const ports = { v2, v1, s3 };
  const conf = join(folder, 'ceph.conf');
  const fsid = randomUUID();
  const run = (program: string, ...args: string[]) => promisify(execFile)(program, args, { timeout: START_TIMEOUT_MS });
  const daemon = async (program: string, ...args: string[]) => {
    const child = spawn(program, ['-c', conf, ...args, '-f'], { stdio: 'ignore' });
    // A test run that is broken off must leave nothing behind.
    process.once('exit', () => child.kill('SIGKILL'));
    daemons.push(child);
    return child;
  };
  for (const name of ['run', 'log', 'mon', 'osd', 'rgw', 'crash']) await mkdir(join(folder, name));
  await writeFile(conf, configuration(folder, { fsid, ...ports }));

  const monmap = join(folder, 'monmap');
  await run('monmaptool', '--create', '--fsid', fsid, '--addv', 'a', addresses(ports), monmap);
  await run('ceph-mon', '-c', conf, '--mkfs', '-i', 'a', '--monmap', monmap, '--mon-data', join(folder, 'mon'));
  await untilListening(ports.v2, await daemon('ceph-mon', '-i', 'a', '--mon-data', join(folder, 'mon')));

  const osd = randomUUID();
  await run('ceph', '-c', conf, 'osd', 'new', osd, '0');
  await run('ceph-osd', '-c', conf, '-i', '0', '--mkfs', '--osd-uuid', osd, '--osd-data', join(folder, 'osd'));
  await daemon('ceph-osd', '-i', '0', '--osd-data', join(folder, 'osd'));

  const credentials = { accessKeyId: 'tenon', secretAccessKey: randomUUID() };
  const keys = ['--access-key', credentials.accessKeyId, '--secret-key', credentials.secretAccessKey];
  await run(
    'radosgw-admin',
    '-c',
    conf,
    '-n',
    'client.rgw',
    'user',
    'create',
    '--uid',
    'tenon',
    '--display-name',
    'tenon',
    ...keys,
  );
  await untilListening(ports.s3, await daemon('radosgw', '-n', 'client.rgw'));
  const admin = async (...args: readonly string[]) => {
    await run('radosgw-admin', '-c', conf, '-n', 'client.rgw', ...args);
  };
  return { endpoint: `http://127.0.0.1:${ports.s3}`, credentials, admin };
}

function addresses({ v1, v2 }: { v1: number; v2: number }): string {
  return `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`;
}

function configuration(
  folder: string,
  { fsid, s3, ...monitor }: { fsid: string; v1: number; v2: number; s3: number },
): string {
  return `
[global]
fsid = ${fsid}
mon host = ${addresses(monitor)}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
# The gateway's own default asks for encryption, which needs authentication.
ms mon client mode = crc
auth cluster required = none
auth service required = none
auth client required = none
keyring = /dev/null
run dir = ${folder}/run
admin socket = ${folder}/run/$name.asok
pid file = ${folder}/run/$name.pid
log file = ${folder}/log/$name.log
mon cluster log file = ${folder}/log/cluster.log
crash dir = ${folder}/crash
debug default = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon warn on pool no redundancy = false
mon allow pool size one = true
mon max pg per osd = 2000
# A client that asks before its placement group exists would wait five seconds.
objecter tick interval = 0.25
[mon]
mon data = ${folder}/mon
mon data avail crit = 1
mon data avail warn = 2
mon initial members = a
paxos propose interval = 0.05
paxos min wait = 0.01
mon cpu threads = 1
[osd]
osd data = ${folder}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd mclock skip benchmark = true
osd op num shards = 1
osd op num threads per shard = 2
[client.rgw]
rgw data = ${folder}/rgw
# Without tcp_nodelay every error takes 40 ms more.
rgw frontends = beast endpoint=127.0.0.1:${s3} tcp_nodelay=1
rgw thread pool size = 32
rgw num rados handles = 1
rgw enable gc threads = false
rgw enable lc threads = false
rgw enable quota threads = false
rgw run sync thread = false
rgw override bucket index max shards = 1
rgw dynamic resharding = false
`;
}

async function untilListening(port: number, daemon: ChildProcess): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!(await listens(port))) {
    if (hasEnded(daemon)) throw new Error(`${daemon.spawnfile} ended`);
    if (performance.now() > deadline) throw new Error(`nobody listens on port ${port}`);
    await pause(25);
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** Nothing of it is wanted any more, so no daemon is given time to tidy up. */
async function ended(daemon: ChildProcess): Promise<void> {
  if (hasEnded(daemon)) return;
  const gone = new Promise((resolve) => void daemon.once('close', resolve));
  daemon.kill('SIGKILL');
  await gone;
}

async function tails(folder: string): Promise<string> {
  const names = await readdir(join(folder, 'log')).catch(() => []);
  const texts = await Promise.all(
    names.map(async (name) => `${name}: ${(await readFile(join(folder, 'log', name), 'utf8')).slice(-800)}`),
  );
  return texts.join('\n');
}
