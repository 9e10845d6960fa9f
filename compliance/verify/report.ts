import { TenonError } from '#schema/errors.ts';

/** What can be said of a claim: it holds, it does not, or what was given is not enough to tell. */
export type Verdict = 'pass' | 'fail' | 'cannot say';

/** Where a fault is, or what keeps a verdict from being given. */
export interface Place {
  /** Relative to the target, with slashes; null where no single file is at fault. */
  readonly file: string | null;
  /** The first entry that cannot be relied upon; null where the fault is not in entries. */
  readonly seq: number | null;
  /** Row of a population, from 1; null elsewhere. */
  readonly row: number | null;
  readonly sentence: string;
}

/** A verdict and, unless it is `pass`, the first place that led to it. */
export interface Judgement {
  readonly verdict: Verdict;
  readonly place: Place | null;
}

/** What was looked at. */
export interface Counts {
  readonly files: number;
  readonly logs: number;
  readonly segments: number;
  readonly entries: number;
  readonly populations: number;
}

/** One log of the target. */
export interface CheckedLog {
  readonly origin: string;
  /** Entries up to the last that was checked, and the root over them in lower-case hex. */
  readonly size: number;
  readonly root: string;
  readonly integrity: Judgement;
  readonly completeness: Judgement;
}

/** Two answers about a target: nothing in it was changed (integrity), and nothing is missing from it (completeness). */
export interface Report {
  readonly target: {
    readonly kind: 'archive' | 'pack' | 'proof' | 'export' | 'certificate' | 'isolation';
    readonly path: string;
  };
  readonly integrity: Judgement;
  readonly completeness: Judgement;
  /** What the verdicts rest on and no file could show. */
  readonly assumptions: readonly string[];
  readonly counts: Counts;
  readonly logs: readonly CheckedLog[];
}

/** The two questions. */
export type Question = 'integrity' | 'completeness';

/** Verdicts on their way: each starts with `pass`, only gets worse, and keeps the first place of its worst. */
export interface Findings {
  readonly judged: Readonly<Record<Question, Judgement>>;
  readonly assumptions: ReadonlySet<string>;
  judge(question: Question, verdict: Verdict, place: PlaceParts): void;
  assume(sentence: string): void;
}

/** A place of which only what is known has to be written. */
export type PlaceParts = Partial<Place> & Pick<Place, 'sentence'>;

const ORDER: readonly Verdict[] = ['pass', 'cannot say', 'fail'];

/** Starts findings. */
export function createFindings(): Findings {
  const judged: Record<Question, Judgement> = {
    integrity: { verdict: 'pass', place: null },
    completeness: { verdict: 'pass', place: null },
  };
  const assumptions = new Set<string>();
  return {
    judged,
    assumptions,
    judge: (question, verdict, place) => {
      if (ORDER.indexOf(verdict) <= ORDER.indexOf(judged[question].verdict)) return;
      judged[question] = { verdict, place: { file: null, seq: null, row: null, ...place } };
    },
    assume: (sentence) => void assumptions.add(sentence),
  };
}

/** Returns the worse of both verdicts, the first where they are alike. */
export function worse(left: Judgement, right: Judgement): Judgement {
  return ORDER.indexOf(right.verdict) > ORDER.indexOf(left.verdict) ? right : left;
}

/** Returns 0 where both verdicts are `pass`, 1 where one is `fail`, else 2. */
export function exitCodeOf({ integrity, completeness }: Pick<Report, Question>): 0 | 1 | 2 {
  const { verdict } = worse(integrity, completeness);
  if (verdict === 'fail') return 1;
  return verdict === 'pass' ? 0 : 2;
}

/** Returns why a check refused its input, for the person who asked for it: she holds the input herself. */
export function reasonOf(thrown: unknown): string {
  if (thrown instanceof TenonError && thrown.code === 'INTERNAL_SERVER_ERROR') throw thrown;
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Returns the report as short lines: the verdicts, the place of each first fault, what the verdicts rest on. */
export function reportLines(report: Report): string[] {
  const { counts, logs } = report;
  const looked = [
    plural(counts.files, 'file'),
    ...(counts.logs > 0 ? [plural(counts.logs, 'log'), plural(counts.segments, 'segment')] : []),
    plural(counts.entries, 'entry', 'entries'),
    ...(counts.populations > 0 ? [plural(counts.populations, 'population')] : []),
  ];
  return [
    ...judgementLines('integrity', report.integrity),
    ...judgementLines('completeness', report.completeness),
    `checked: ${report.target.kind} ${report.target.path} (${looked.join(', ')})`,
    ...logs.map(
      ({ origin, size, root }) => `log: ${origin}, proven up to ${plural(size, 'entry', 'entries')}, root ${root}`,
    ),
    ...report.assumptions.map((sentence) => `assumed: ${sentence}`),
  ];
}

function judgementLines(question: Question, { verdict, place }: Judgement): string[] {
  const line = `${question.padEnd(12)} ${verdict.toUpperCase()}`;
  if (place === null) return [line];
  const where = [
    ...(place.file === null ? [] : [place.file]),
    ...(place.seq === null ? [] : [`seq ${place.seq}`]),
    ...(place.row === null ? [] : [`row ${place.row}`]),
  ];
  return [line, `  ${where.length === 0 ? '' : `${where.join(', ')}: `}${place.sentence}`];
}

function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}
