import pg from 'pg';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { createSealer } from '../../compliance/sealer.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

// A sealer in a process of its own that stops dead at one operation of its archive, for tests that kill it there:
// `node --import tsx sealing-process.ts <JSON: auditDatabase, folder, name, call, when>`.
const { auditDatabase, folder, name, call, when } = JSON.parse(process.argv[2] ?? '') as {
  auditDatabase: string;
  folder: string;
  name: 'put' | 'list' | 'head';
  call: number;
  when: 'before' | 'after';
};
const clock = () => new Date();
const archive = await filesystemArchive({ folder, clock });
let calls = 0;

async function through<T>(of: string, operation: () => Promise<T>): Promise<T> {
  const isIt = of === name && ++calls === call;
  if (isIt && when === 'before') return stop();
  const result = await operation();
  return isIt ? stop() : result;
}

function stop(): Promise<never> {
  process.stdout.write('stopped\n');
  // The timer keeps the process there until it is killed.
  setInterval(() => undefined, 60_000);
  return new Promise(() => undefined);
}

const stopping: Archive = {
  ...archive,
  put: (...args) => through('put', () => archive.put(...args)),
  head: (key) => through('head', () => archive.head(key)),
  list: async function* (prefix) {
    yield* await through('list', async () => {
      const keys: string[] = [];
      for await (const key of archive.list(prefix)) keys.push(key);
      return keys;
    });
  },
};

await createSealer({
  audit: new pg.Pool({ connectionString: auditDatabase, max: 3 }),
  archive: stopping,
  region: 'eu',
  signer: TEST_SIGNING_KEY,
  clock,
  sealIntervalMs: 0,
  retentionMs: 90 * 86_400_000,
})();
process.stdout.write('ended\n');
