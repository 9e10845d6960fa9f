import type { Measured } from './measure.ts';

/** How long and how a benchmark runs. */
export interface BenchmarkOptions {
  /** Rounds that every case is measured in; medians and ranges are over them. */
  readonly rounds: number;
  /** Size of the log that is searched; null for the benchmark's own. */
  readonly events?: number | null;
  /** Schemas of a bridge that are made; null for the benchmark's own number. */
  readonly stores?: number | null;
  /** Folder whose stores are used again, or made and left; null for stores that are thrown away. */
  readonly keep?: string | null;
  /** Folder that keeps the archives which verify reads, for a later run; null for a temporary one. */
  readonly archiveFolder?: string | null;
  /** Folder that a CPU profile of every server is written to; figures taken with it are not to be quoted. */
  readonly profileFolder: string | null;
  readonly say: (line: string) => void;
}

/** One question put to all targets. The first is what is judged; the others, the leanest last, are what it is held against. */
export interface Case {
  readonly name: string;
  readonly targets: readonly Measured[];
}

/** A promise about a ratio, and what was found. */
export interface Bar {
  readonly promise: string;
  readonly limit: number;
  /** The worst median among the cases that the promise is about. */
  readonly found: number;
  readonly held: boolean;
}

/** How long it took until something had happened, under one condition; in ms. */
export interface Latencies {
  readonly name: string;
  readonly count: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly mostMs: number;
}

/** Figures that are no comparison: a table of its own. */
export interface FigureTable {
  readonly name: string;
  readonly columns: readonly string[];
  /** A value for each column; null where the system does not tell. */
  readonly rows: readonly { readonly name: string; readonly values: readonly (number | null)[] }[];
}

/** What a benchmark found. */
export interface Findings {
  readonly cases: readonly Case[];
  readonly figures?: readonly FigureTable[];
  readonly latencies?: readonly Latencies[];
  readonly bar: Bar | null;
}

/** A benchmark by name. */
export interface Benchmark {
  readonly name: string;
  /** The question it answers, in one line. */
  readonly asks: string;
  readonly run: (options: BenchmarkOptions) => Promise<Findings>;
}
