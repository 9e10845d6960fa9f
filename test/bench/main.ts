import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Benchmark, BenchmarkOptions, Findings } from './benchmark.ts';
import { audit } from './audit.ts';
import { auditSearch } from './audit-search.ts';
import { fairness } from './fairness.ts';
import { fairnessWhole } from './fairness-whole.ts';
import { gateway } from './gateway.ts';
import { isolation } from './isolation.ts';
import { memory } from './memory.ts';
import { move } from './move.ts';
import { neighbours } from './neighbours.ts';
import { placements } from './placements.ts';
import { platform } from './platform.ts';
import { conditions, tableOf } from './report.ts';
import { revocation } from './revocation.ts';
import { scim } from './scim.ts';
import { tenantCount } from './tenant-count.ts';
import { verify } from './verify.ts';

// Measures what the platform costs, in ratios that a busy machine does not spoil; README.md says how to read them.

const BENCHMARKS: readonly Benchmark[] = [
  gateway,
  fairness,
  fairnessWhole,
  memory,
  move,
  platform,
  isolation,
  revocation,
  scim,
  audit,
  auditSearch,
  verify,
  tenantCount,
  neighbours,
  placements,
];

const USAGE = `usage: npm run bench [-- name ...] [-- options]

${BENCHMARKS.map(({ name, asks }) => `  ${name.padEnd(16)}${asks}`).join('\n')}

  --rounds <n>         rounds of every case, 3 to 100 (default: 7)
  --events <n>         events of the log that audit-search and neighbours load (default: 1000000) or verify reads (200000)
  --stores <n>         schemas of a bridge that placements makes (default: 1000)
  --archive <folder>   keeps the logs that verify reads, so that a later run need not write them
  --keep <folder>      audit-search leaves its log in the folder, or searches the one that it finds there
  --profile <folder>   writes a CPU profile of every server; its figures are not to be quoted
  --json               one JSON document instead of tables
  --help               this text
Exit code: 0 measured and every promise held, 1 one was not held, 2 used wrongly.`;

const FLAGS = {
  rounds: { type: 'string' },
  events: { type: 'string' },
  stores: { type: 'string' },
  archive: { type: 'string' },
  keep: { type: 'string' },
  profile: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

async function main(): Promise<number> {
  const { values, positionals } = readArguments();
  if (values.help === true) return print(USAGE, 0);
  const chosen = BENCHMARKS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const rounds = Number(values.rounds ?? 7);
  const known = positionals.every((name) => BENCHMARKS.some((benchmark) => benchmark.name === name));
  if (!known || !Number.isInteger(rounds) || rounds < 3 || rounds > 100) return print(USAGE, 2);
  const events = values.events === undefined ? null : Number(values.events);
  if (events !== null && (!Number.isInteger(events) || events < 1_000)) return print(USAGE, 2);
  const stores = values.stores === undefined ? null : Number(values.stores);
  if (stores !== null && (!Number.isInteger(stores) || stores < 1)) return print(USAGE, 2);
  const options: BenchmarkOptions = {
    rounds,
    events,
    stores,
    archiveFolder: values.archive === undefined ? null : resolve(values.archive),
    keep: values.keep === undefined ? null : resolve(values.keep),
    profileFolder: values.profile === undefined ? null : resolve(values.profile),
    say: (line) => void process.stderr.write(`${line}\n`),
  };
  const results: { benchmark: string; conditions: ReturnType<typeof conditions>; findings: Findings }[] = [];
  for (const benchmark of chosen) {
    const findings = await benchmark.run(options);
    const result = { benchmark: benchmark.name, conditions: conditions(options), findings };
    results.push(result);
    if (values.json !== true) print(`${tableOf(benchmark.name, findings, result.conditions)}\n`, 0);
  }
  const code = results.every(({ findings }) => findings.bar?.held !== false) ? 0 : 1;
  return values.json === true ? print(JSON.stringify(results, null, 2), code) : code;
}

function readArguments() {
  try {
    return parseArgs({ options: FLAGS, allowPositionals: true });
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return process.exit(print(USAGE, 2));
  }
}

function print(text: string, code: number): number {
  process.stdout.write(`${text}\n`);
  return code;
}

process.exitCode = await main();
