import { canonicalBytes } from '#schema/canonical-json.ts';
import type { PackFiles } from './pack-files.ts';
import type { SealedLog } from './sealed-log.ts';
import { writeTable, type Row } from './table.ts';

/** Which entries of the window a population holds; null: whatever the value. */
export interface LogSelection {
  readonly actions: readonly string[] | null;
  readonly outcomes: readonly string[] | null;
}

/** A population to write: all the things of one kind that an auditor samples from. */
export interface PopulationDraft {
  /** Small letters and dashes. */
  readonly name: string;
  readonly title: string;
  /** What the entries of the log were selected by; null where the rows come from a database. */
  readonly select: LogSelection | null;
  readonly columns: readonly string[];
  readonly rows: AsyncIterable<Row> | Iterable<Row>;
  /** How somebody else gets the same rows. */
  readonly query: string;
  /** Counts the rows another way; asked after they were written. */
  readonly expected: () => Promise<number> | number;
}

/** A population as it was written. */
export interface Population {
  readonly name: string;
  readonly title: string;
  readonly source: 'log' | 'database';
  readonly count: number;
  readonly expected: number;
  readonly integrity: Verdict;
  readonly completeness: Verdict;
  readonly statement: string;
}

type Verdict = 'pass' | 'fail' | 'cannot say';

/** What a population is measured against: the sealed log, or null where nothing of it is sealed. */
export type PopulationLog = Pick<SealedLog, 'head' | 'from' | 'answer'> | null;

/** Writes the four files of a population below `populations/` and returns what they say. */
export async function writePopulation(
  files: PackFiles,
  draft: PopulationDraft,
  log: PopulationLog,
): Promise<Population> {
  const { name, title, select } = draft;
  const seqs = { first: null as number | null, last: null as number | null };
  const rows = select === null ? draft.rows : withSeqs(draft.rows, seqs);
  const count = await writeTable(files, { stem: `populations/${name}`, columns: draft.columns, rows });
  const expected = await draft.expected();
  const source = select === null ? 'database' : 'log';
  const verdicts = {
    integrity: integrityOf(source, log),
    completeness: completenessOf(source, { count, expected, log }),
  };
  const statement = statementOf(draft, { count, expected, log });
  await files.put(`populations/${name}.query.sql`, `${draft.query.trim()}\n`);
  await files.put(
    `populations/${name}.completeness.json`,
    canonicalBytes({
      v: 1,
      population: name,
      source,
      select: select === null ? null : { ...select },
      first_seq: seqs.first,
      last_seq: seqs.last,
      count,
      expected,
      gaps: [],
      head_from: log === null ? null : { ...log.from },
      head_to: log === null ? null : { size: log.head.size, root: log.head.root },
      ...verdicts,
      statement,
    }),
  );
  return { name, title, source, count, expected, ...verdicts, statement };
}

async function* withSeqs(
  rows: AsyncIterable<Row> | Iterable<Row>,
  seqs: { first: number | null; last: number | null },
): AsyncGenerator<Row, void, undefined> {
  for await (const row of rows) {
    const seq = Number(row['seq']);
    seqs.first ??= seq;
    seqs.last = seq;
    yield row;
  }
}

function integrityOf(source: Population['source'], log: PopulationLog): Verdict {
  if (source === 'database') return 'pass';
  return log === null ? 'cannot say' : log.answer.integrity.verdict;
}

function completenessOf(
  source: Population['source'],
  { count, expected, log }: { count: number; expected: number; log: PopulationLog },
): Verdict {
  if (count !== expected) return 'fail';
  if (source === 'database') return 'pass';
  return log === null ? 'cannot say' : log.answer.completeness.verdict;
}

function statementOf(
  { select }: PopulationDraft,
  { count, expected, log }: { count: number; expected: number; log: PopulationLog },
): string {
  const sentences =
    select === null
      ? [
          `The database gave ${count} rows and counted ${expected}. No log shows whether a row was changed before it was read.`,
        ]
      : log === null
        ? ['Nothing of the log is sealed yet, so there is no head to count against.']
        : [
            `The sealed log up to size ${log.head.size} gives ${count} entries; its searchable copy counts ${expected}.`,
            'Sequence numbers have no gap: each entry names the hash of the one before it.',
          ];
  return sentences.join(' ');
}
