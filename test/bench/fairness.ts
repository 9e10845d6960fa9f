import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Benchmark, BenchmarkOptions, Case, Findings } from './benchmark.ts';
import { openLoad, type Load } from './load.ts';
import type { Measured, Spread } from './measure.ts';
import { startServer } from './server-process.ts';

/** One tenant's flood beside another tenant's steady work, over the budgets and the fair queue alone. */
export const fairness: Benchmark = {
  name: 'fairness',
  asks: 'how much slower is a tenant served while another floods the gateway over 40 connections?',
  run,
};

/** A running gateway and who must not feel what another does there. */
export interface WatchedTenant {
  readonly name: string;
  readonly url: string;
  readonly quietToken: string;
  /** JSON body of what she sends. */
  readonly quietBody: string;
  /** CPU time of the server so far; absent where it cannot be asked. */
  readonly cpuMs?: () => Promise<number>;
}

/** The same with whoever floods it. */
export interface FairnessTarget extends WatchedTenant {
  readonly floodToken: string;
  /** JSON body of what the flood sends. */
  readonly floodBody: string;
}

/** What another tenant does meanwhile. */
export interface Noise {
  /** Ends it and says how much it was. */
  readonly end: () => Promise<string>;
}

const LIMIT = 1.2;
const CONNECTIONS = 40;
const QUIET_PER_SECOND = 20;
/** How long the quiet tenant is watched, twice a round without and twice with the flood. */
const WATCH_MS = 3_000;
/** What a flood leaves behind is given so long to end. */
const PAUSE_MS = 500;
const BODY = JSON.stringify({ query: '{ __typename }' });

async function run(options: BenchmarkOptions): Promise<Findings> {
  const server = await startServer('./fairness-server.ts', { FAIRNESS: process.env['FAIRNESS'] ?? 'on' });
  try {
    const on = { url: server.url, quietToken: 'quiet', floodBody: BODY, quietBody: BODY, cpuMs: server.cpuMs };
    const cases: Case[] = [];
    for (const [name, floodToken] of [
      ['a flood within its budget', 'flood-within'],
      ['a flood beyond its budget', 'flood-beyond'],
    ] as const)
      cases.push(await measureFairness({ ...on, name, floodToken }, options));
    return { cases, bar: fairnessBar(cases) };
  } finally {
    await server.close();
  }
}

/** Measures what the quiet tenant waits, with and without the flood. */
export async function measureFairness(target: FairnessTarget, options: BenchmarkOptions): Promise<Case> {
  return measureBeside(target, () => startFlood(target), options);
}

/**
 * Measures what the quiet tenant waits, with and without the noise: the latencies of all rounds together, quiet and flooded
 * in turns (A B B A) so that what the machine does meanwhile falls on both. A refused request of hers ends the run.
 */
export async function measureBeside(
  target: WatchedTenant,
  startNoise: () => Promise<Noise>,
  { rounds, say }: BenchmarkOptions,
): Promise<Case> {
  const quiet = { latencies: [] as number[], cpu: [] as number[], name: 'quiet' };
  const flooded = { latencies: [] as number[], cpu: [] as number[], name: 'flooded' };
  const load = openLoad(target.url, 4);
  const watched = async (into: typeof quiet) => {
    const before = (await target.cpuMs?.()) ?? Number.NaN;
    into.latencies.push(...(await watchQuiet(load, target)));
    into.cpu.push((((await target.cpuMs?.()) ?? Number.NaN) - before) / WATCH_MS);
  };
  await watchQuiet(load, target);
  for (let round = 0; round < rounds; round++) {
    await watched(quiet);
    const noise = await startNoise();
    await watched(flooded);
    await watched(flooded);
    say(`${target.name}, round ${round + 1}: ${await noise.end()}`);
    await pause(PAUSE_MS);
    await watched(quiet);
  }
  await load.close();
  const [one, other] = [measuredOf(flooded), measuredOf(quiet)];
  say(
    `${target.name}: p99 ${other.p99Ms.toFixed(2)} ms quiet, ${one.p99Ms.toFixed(2)} ms flooded, ratio ${ratioOf([one, other]).toFixed(2)}`,
  );
  return { name: target.name, targets: [one, other] };
}

/** Returns the promise about the worst of the cases. */
export function fairnessBar(cases: readonly Case[]): NonNullable<Findings['bar']> {
  const found = Math.max(...cases.map(({ targets }) => ratioOf(targets)));
  return {
    promise: 'p99 of the quiet tenant, flooded over quiet, worst case',
    limit: LIMIT,
    found,
    held: found <= LIMIT,
  };
}

function ratioOf([flooded, quiet]: readonly Measured[]): number {
  return (flooded?.p99Ms ?? Number.NaN) / (quiet?.p99Ms ?? Number.NaN);
}

/** Sends at fixed times, whether the answer before has come or not: what waits is not left out of the figure. */
async function watchQuiet(load: Load, { quietToken, quietBody }: WatchedTenant): Promise<number[]> {
  const headers = { authorization: `Bearer ${quietToken}` };
  const latencies: Promise<number>[] = [];
  const started = performance.now();
  for (let dueMs = 0; dueMs < WATCH_MS; dueMs += 1_000 / QUIET_PER_SECOND) {
    // Off the beat of any timer of the server.
    await pause(started + dueMs + Math.random() * 10 - performance.now());
    latencies.push(timed(() => load.send({ headers, body: quietBody })));
  }
  return Promise.all(latencies);
}

async function timed(send: () => Promise<{ status: number; text: string }>): Promise<number> {
  const started = performance.now();
  const { status, text } = await send();
  if (status !== 200) throw new Error(`the quiet tenant was refused (${status}): ${text.slice(0, 300)}`);
  return performance.now() - started;
}

async function startFlood({ url, floodToken, floodBody }: FairnessTarget): Promise<Noise> {
  const child = fork(fileURLToPath(new URL('./fairness-flood.ts', import.meta.url)), { execArgv: ['--import', 'tsx'] });
  child.send({ url, token: floodToken, body: floodBody, connections: CONNECTIONS });
  await once(child, 'message');
  return {
    end: async () => {
      const counts = once(child, 'message');
      child.send('end');
      const [{ answered, throttled }] = (await counts) as [{ answered: number; throttled: number }];
      return `the flood was answered ${answered} times, throttled ${throttled}`;
    },
  };
}

function measuredOf({ name, latencies, cpu }: { name: string; latencies: number[]; cpu: number[] }): Measured {
  const sorted = latencies.toSorted((one, other) => one - other);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
  return { name, cpuMs: spreadOf(cpu), databaseCpuMs: null, p50Ms: at(0.5), p99Ms: at(0.99), ratios: [] };
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((one, other) => one - other);
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  return { median, least: sorted[0] ?? Number.NaN, most: sorted.at(-1) ?? Number.NaN };
}

const USAGE = `usage: node --import tsx test/bench/fairness.ts [--url URL --flood TOKEN --quiet TOKEN]
  --flood-body JSON --quiet-body JSON   what they send  (default: { __typename })
  --rounds N                            (default: 5)`;

const FLAGS = {
  url: { type: 'string' },
  flood: { type: 'string' },
  quiet: { type: 'string' },
  'flood-body': { type: 'string', default: BODY },
  'quiet-body': { type: 'string', default: BODY },
  rounds: { type: 'string', default: '5' },
} as const;

async function main(): Promise<number> {
  const { values } = parseArgs({ options: FLAGS });
  const options: BenchmarkOptions = {
    rounds: Number(values.rounds),
    profileFolder: null,
    say: (line) => void process.stdout.write(`${line}\n`),
  };
  const { url, flood, quiet } = values;
  if (url === undefined) return (await run(options)).bar?.held === true ? 0 : 1;
  if (flood === undefined || quiet === undefined) {
    options.say(USAGE);
    return 2;
  }
  const [floodBody, quietBody] = [values['flood-body'], values['quiet-body']];
  const target = { name: url, url, floodToken: flood, quietToken: quiet, floodBody, quietBody };
  return fairnessBar([await measureFairness(target, options)]).held ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
