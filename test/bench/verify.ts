import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { keyOf, verifyArchive as verifyAlone } from '../../compliance/verifier/tenon-verify.mjs';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import type { Benchmark, BenchmarkOptions, Findings } from './benchmark.ts';
import { keptArchive, type BenchArchive } from './verify-archive.ts';

/** What both verifiers cost an entry, and whether their memory depends on the length of the log. */
export const verify: Benchmark = {
  name: 'verify',
  asks: 'what does verifying an entry cost, and does memory stay flat however long the log is?',
  run,
};

/** 100,000 entries a second of CPU. */
const MOST_CPU_US = 10;
const ENTRIES = 200_000;
const READINGS = 5;
const MB = 1024 * 1024;

async function run({ say, rounds, events, archiveFolder }: BenchmarkOptions): Promise<Findings> {
  const folder = archiveFolder ?? (await mkdtemp(join(tmpdir(), 'tenon-bench-verify-')));
  const entries = events ?? ENTRIES;
  try {
    const full = await keptArchive(folder, { entries, perSegment: 10_000 });
    say(describe('segments as full as they get', full));
    const small = await keptArchive(folder, { entries: Math.min(entries, 20_000), perSegment: 100 });
    say(describe('segments of 100 entries', small));
    const costs: number[] = [];
    for (const [name, verifier] of VERIFIERS) {
      costs.push(
        await measure(name, { archive: full, verifier, rounds: Math.min(rounds, entries > 1e6 ? 1 : rounds), say }),
      );
      await measure(`${name}, segments of 100`, { archive: small, verifier, rounds, say });
    }
    const found = Math.max(...costs);
    const promise = 'µs of CPU an entry, the slower of both verifiers';
    return { cases: [], bar: { promise, limit: MOST_CPU_US, found, held: found <= MOST_CPU_US } };
  } finally {
    if (archiveFolder == null) await rm(folder, { recursive: true, force: true });
  }
}

/** Checks an archive and returns how many entries it has found sound; is told at times how far it is. */
type Verifier = (archive: BenchArchive, onProgress: () => void) => Promise<number>;

const VERIFIERS: readonly (readonly [string, Verifier])[] = [
  [
    'tenon verify',
    async (archive, onProgress) => {
      const options = { keys: [TEST_SIGNING_KEY.verifierKey], checkpoints: [archive.checkpoint], onProgress };
      const report = await verifyTarget(archive.folder, options);
      return report.integrity.verdict === 'pass' && report.completeness.verdict === 'pass' ? report.counts.entries : 0;
    },
  ],
  [
    'tenon-verify.mjs',
    async (archive, onProgress) => {
      const options = { keys: [keyOf(TEST_SIGNING_KEY.verifierKey)], checkpoints: [archive.checkpoint] };
      const names = await readdir(archive.folder, { recursive: true, withFileTypes: true });
      const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
      const source = {
        paths: files.map((file) => relative(archive.folder, file)).toSorted(),
        read: (path: string) => {
          onProgress();
          return readFileSync(join(archive.folder, path));
        },
      };
      const found = verifyAlone(source, options);
      return found.integrity.verdict === 'pass' && found.completeness.verdict === 'pass' ? found.entries : 0;
    },
  ],
];

interface Measurement {
  readonly archive: BenchArchive;
  readonly verifier: Verifier;
  readonly rounds: number;
  readonly say: (line: string) => void;
}

/** The median over the rounds, in µs of CPU an entry; all threads of the process are counted. */
async function measure(name: string, { archive, verifier, rounds, say }: Measurement): Promise<number> {
  const costs: number[] = [];
  const residentMb: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    const found = await verifier(archive, () => void residentMb.push(Math.round(process.memoryUsage.rss() / MB)));
    const spent = process.cpuUsage(before);
    if (found !== archive.entries) throw new Error(`${name} found ${found} of ${archive.entries} entries sound`);
    costs.push((spent.user + spent.system) / archive.entries);
  }
  const sorted = costs.toSorted((left, right) => left - right);
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const readings = Array.from(
    { length: READINGS },
    (_, step) => residentMb[Math.floor((residentMb.length - 1) * (step / (READINGS - 1)))],
  );
  const range = `${sorted[0]?.toFixed(2)}-${sorted.at(-1)?.toFixed(2)}`;
  say(`${name}: ${median.toFixed(2)} µs an entry (${range}), ${Math.round(1e6 / median)} entries a second of CPU`);
  say(`  resident on the way: ${readings.join(', ')} MB`);
  return median;
}

function describe(name: string, { entries, segments, bytes, packedBytes }: BenchArchive): string {
  return `${name}: ${entries} entries of ${Math.round(bytes / entries)} bytes in ${segments} segments, ${Math.round(packedBytes / MB)} MB stored`;
}
