import { cpus, loadavg } from 'node:os';
import type { BenchmarkOptions, Findings, Latencies } from './benchmark.ts';
import type { Measured, Spread } from './measure.ts';

/** The machine and the conditions that figures were taken under. */
export interface Conditions {
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
  readonly cores: number;
  /** Processes that wanted to run, over the last minute: above the cores, latencies say more of others than of us. */
  readonly load: number;
  readonly rounds: number;
  readonly profiled: boolean;
}

/** Returns the conditions of this moment. */
export function conditions({ rounds, profileFolder }: BenchmarkOptions): Conditions {
  const [first] = cpus();
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: first?.model ?? 'unknown',
    cores: cpus().length,
    load: Number((loadavg()[0] ?? 0).toFixed(2)),
    rounds,
    profiled: profileFolder !== null,
  };
}

/** Returns the findings as a table for people. */
export function tableOf(name: string, findings: Findings, under: Conditions): string {
  const { cases, figures = [], latencies = [], bar } = findings;
  const lines = [
    `${name}: node ${under.node}, ${under.platform}, ${under.cores} x ${under.cpu}, load ${under.load}, ${under.rounds} rounds`,
  ];
  for (const { name: title, targets } of cases) {
    const others = targets.slice(1).map((target) => target.name);
    const headings = [
      '',
      'CPU ms',
      ...others.map((other) => `over ${other}`),
      'database CPU ms',
      'with database',
      'p50 ms',
      'p99 ms',
    ];
    lines.push('', title, ...aligned([headings, ...targets.map((target) => rowOf(target, others))]));
  }
  for (const { name: title, columns, rows } of figures)
    lines.push(
      '',
      title,
      ...aligned([['', ...columns], ...rows.map((row) => [row.name, ...row.values.map(figureText)])]),
    );
  if (latencies.length > 0)
    lines.push('', ...aligned([['', 'count', 'p50 ms', 'p95 ms', 'p99 ms', 'most ms'], ...latencies.map(latencyRow)]));
  if (bar !== null)
    lines.push(
      '',
      `${bar.promise}: ${bar.found.toFixed(2)}, promised at most ${bar.limit}: ${bar.held ? 'held' : 'NOT HELD'}`,
    );
  return lines.join('\n');
}

/** The ratio with the database's share is the one over the last target. */
function rowOf(target: Measured, others: readonly string[]): string[] {
  const ratios = others.map((other) => target.ratios.find(({ over }) => over === other));
  return [
    target.name,
    target.cpuMs.median.toFixed(3),
    ...ratios.map((ratio) => spreadText(ratio?.cpu)),
    target.databaseCpuMs?.median.toFixed(3) ?? '-',
    spreadText(ratios.at(-1)?.withDatabase),
    target.p50Ms.toFixed(2),
    target.p99Ms.toFixed(2),
  ];
}

function figureText(value: number | null): string {
  return value === null ? '-' : value.toFixed(value < 100 ? 1 : 0);
}

function latencyRow({ name, count, p50Ms, p95Ms, p99Ms, mostMs }: Latencies): string[] {
  return [name, String(count), ...[p50Ms, p95Ms, p99Ms, mostMs].map((ms) => ms.toFixed(1))];
}

function spreadText(spread: Spread | null | undefined): string {
  if (spread == null) return '-';
  return `${spread.median.toFixed(2)} (${spread.least.toFixed(2)}-${spread.most.toFixed(2)})`;
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map(
    (row) =>
      `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ')}`,
  );
}
