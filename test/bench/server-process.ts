import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { fileURLToPath } from 'node:url';

/** What the bench asks of a server under test. */
type Question =
  | { readonly ask: 'cpu' }
  | { readonly ask: 'memory' }
  | { readonly ask: 'heap' }
  | { readonly ask: 'reload'; readonly times: number }
  | { readonly ask: 'profile' }
  | { readonly ask: 'write profile'; readonly file: string };
type Reply =
  | { readonly url: string }
  | { readonly cpuMs: number }
  | { readonly memoryMb: number }
  | { readonly done: true };

/** A server under test in a process of its own. */
export interface ServerProcess {
  readonly url: string;
  readonly cpuMs: () => Promise<number>;
  /** Resident memory now, in MB. */
  readonly memoryMb: () => Promise<number>;
  /** Memory that is in use after a collection, in MB; the server was started with `--expose-gc`. */
  readonly heapMb: () => Promise<number>;
  /** Loads the supergraph so many times again; for servers that `serveBench` was told how. */
  readonly reload: (times: number) => Promise<void>;
  /** Starts a CPU profile. */
  readonly profile: () => Promise<void>;
  /** Ends the profile and writes it where a browser's developer tools can open it. */
  readonly writeProfile: (file: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Starts a server of this folder, as `npm start` would but in production's settings of the libraries. */
export async function startServer(
  file: string,
  env: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): Promise<ServerProcess> {
  const child = fork(fileOf(file), {
    execArgv: [...flags, '--import', 'tsx', '--import', fileOf('../../subgraphs/kit/source-maps-register.ts')],
    env: { ...process.env, NODE_ENV: 'production', APOLLO_TELEMETRY_DISABLED: '1', ...env },
  });
  const first = await replyOf(child);
  if (!('url' in first)) throw new Error('a server says first where it is');
  const ask = async (question: Question): Promise<Reply> => {
    const reply = replyOf(child);
    child.send(question);
    return reply;
  };
  return {
    url: first.url,
    cpuMs: async () => {
      const reply = await ask({ ask: 'cpu' });
      return 'cpuMs' in reply ? reply.cpuMs : Number.NaN;
    },
    memoryMb: async () => {
      const reply = await ask({ ask: 'memory' });
      return 'memoryMb' in reply ? reply.memoryMb : Number.NaN;
    },
    heapMb: async () => {
      const reply = await ask({ ask: 'heap' });
      return 'memoryMb' in reply ? reply.memoryMb : Number.NaN;
    },
    reload: async (times) => void (await ask({ ask: 'reload', times })),
    profile: async () => void (await ask({ ask: 'profile' })),
    writeProfile: async (path) => void (await ask({ ask: 'write profile', file: path })),
    close: async () => {
      const gone = once(child, 'exit');
      child.disconnect();
      await gone;
    },
  };
}

function fileOf(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** Says where the server of this process is and answers the bench from now on; ends with the bench. */
export function serveBench(url: string, reload: () => Promise<void> = nothing): void {
  const session = new Session();
  const reply = (message: Reply) => process.send?.(message);
  process.on('message', (question: Question) => void answer({ session, reload }, question).then(reply));
  process.once('disconnect', () => process.exit(0));
  reply({ url });
}

interface Answering {
  readonly session: Session;
  readonly reload: () => Promise<void>;
}

async function nothing(): Promise<void> {}

async function answer({ session, reload }: Answering, question: Question): Promise<Reply> {
  if (question.ask === 'cpu') {
    const { user, system } = process.cpuUsage();
    return { cpuMs: (user + system) / 1000 };
  }
  if (question.ask === 'memory') return { memoryMb: megabytes(process.memoryUsage.rss()) };
  if (question.ask === 'heap') {
    globalThis.gc?.();
    return { memoryMb: megabytes(process.memoryUsage().heapUsed) };
  }
  if (question.ask === 'reload') {
    for (let time = 0; time < question.times; time++) await reload();
    return { done: true };
  }
  if (question.ask === 'profile') {
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    return { done: true };
  }
  const { profile } = await session.post('Profiler.stop');
  writeFileSync(question.file, JSON.stringify(profile));
  session.disconnect();
  return { done: true };
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}

async function replyOf(child: ChildProcess): Promise<Reply> {
  const gone = new AbortController();
  const ended = () => gone.abort();
  child.once('exit', ended);
  try {
    const [reply] = (await once(child, 'message', { signal: gone.signal })) as [Reply];
    return reply;
  } catch (cause) {
    throw new Error('a server under test has ended', { cause });
  } finally {
    child.off('exit', ended);
  }
}
