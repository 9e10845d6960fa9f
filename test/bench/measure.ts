/** One of the things compared. */
export interface Target {
  readonly name: string;
  /** Does the operation so many times and returns how long each took, in ms. */
  readonly run: (operations: number) => Promise<number[]>;
  /** CPU time spent so far by the process under test, and by the database where that can be told. */
  readonly cpu: () => Promise<CpuTimes>;
}

/** CPU times in ms. */
export interface CpuTimes {
  readonly processMs: number;
  readonly databaseMs: number | null;
}

/** Median with the least and the most of all rounds. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** What was measured of one target. */
export interface Measured {
  readonly name: string;
  /** CPU of the process under test, ms an operation. */
  readonly cpuMs: Spread;
  /** CPU of all processes of PostgreSQL, ms an operation; null where the system does not tell. */
  readonly databaseCpuMs: Spread | null;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** One for every other target. */
  readonly ratios: readonly Ratio[];
}

/** How a target compares with another, within each round. */
export interface Ratio {
  /** Name of the other target. */
  readonly over: string;
  /** Of the CPU of the processes under test. */
  readonly cpu: Spread;
  /** Of the CPU of process and database together. */
  readonly withDatabase: Spread | null;
}

/** How much is done in one comparison. */
export interface Effort {
  readonly rounds: number;
  /** Operations of one target in half a round. */
  readonly operations: number;
}

interface Round {
  readonly cpuMs: number;
  readonly databaseMs: number | null;
}

/**
 * Compares targets on a machine that others use too: each round runs every target twice, in an order and then in its
 * reverse (A B B A), so that what the machine does meanwhile falls on all alike, and ratios are taken within a round.
 * One round before the first warms everything up and counts for nothing.
 */
export async function compare(targets: readonly Target[], effort: Effort): Promise<Measured[]> {
  const rounds = targets.map((): Round[] => []);
  const latencies = targets.map((): number[] => []);
  for (let round = 0; round <= effort.rounds; round++) {
    const measured = await runRound(targets, effort.operations);
    if (round === 0) continue;
    measured.forEach(({ latenciesMs, ...spent }, index) => {
      rounds[index]?.push(spent);
      latencies[index]?.push(...latenciesMs);
    });
  }
  return targets.map(({ name }, index) => ({
    ...summary(name, rounds[index] ?? [], latencies[index] ?? []),
    ratios: targets.flatMap((other, place) =>
      place === index ? [] : [ratioOf(other.name, rounds[index] ?? [], rounds[place] ?? [])],
    ),
  }));
}

async function runRound(targets: readonly Target[], operations: number) {
  const sums = targets.map(() => ({ cpuMs: 0, databaseMs: 0 as number | null, latenciesMs: [] as number[] }));
  const order = targets.map((target, index) => ({ target, index }));
  for (const { target, index } of [...order, ...order.toReversed()]) {
    const before = await target.cpu();
    const latenciesMs = await target.run(operations);
    const after = await target.cpu();
    const sum = sums[index];
    if (sum === undefined) continue;
    sum.cpuMs += after.processMs - before.processMs;
    sum.databaseMs =
      sum.databaseMs === null || after.databaseMs === null || before.databaseMs === null
        ? null
        : sum.databaseMs + after.databaseMs - before.databaseMs;
    sum.latenciesMs.push(...latenciesMs);
  }
  return sums.map(({ cpuMs, databaseMs, latenciesMs }) => {
    const count = latenciesMs.length;
    return { cpuMs: cpuMs / count, databaseMs: databaseMs === null ? null : databaseMs / count, latenciesMs };
  });
}

function summary(name: string, rounds: readonly Round[], latenciesMs: readonly number[]): Omit<Measured, 'ratios'> {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  return {
    name,
    cpuMs: spreadOf(rounds.map(({ cpuMs }) => cpuMs)),
    databaseCpuMs: spreadOrNull(rounds.map(({ databaseMs }) => databaseMs)),
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
  };
}

function ratioOf(over: string, rounds: readonly Round[], others: readonly Round[]): Ratio {
  return {
    over,
    cpu: spreadOf(rounds.map(({ cpuMs }, round) => cpuMs / (others[round]?.cpuMs ?? Number.NaN))),
    withDatabase: spreadOrNull(rounds.map((spent, round) => overBoth(spent, others[round]))),
  };
}

function overBoth(spent: Round, base: Round | undefined): number | null {
  if (spent.databaseMs === null || base === undefined || base.databaseMs === null) return null;
  return (spent.cpuMs + spent.databaseMs) / (base.cpuMs + base.databaseMs);
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const median =
    sorted.length % 2 === 0
      ? ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
      : sorted[Math.floor(middle)];
  return { median: median ?? Number.NaN, least: sorted[0] ?? Number.NaN, most: sorted.at(-1) ?? Number.NaN };
}

function spreadOrNull(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((value) => value !== null);
  return known.length === values.length ? spreadOf(known) : null;
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
