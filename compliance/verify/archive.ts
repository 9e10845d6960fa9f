import type { Checkpoint } from '#schema/checkpoint.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import type { FileSource } from './file-source.ts';
import { findLogs, folderOf } from './log-files.ts';
import { verifyLog, type LogAnswer } from './log.ts';
import { createFindings, worse, type CheckedLog, type Findings, type Report } from './report.ts';

/** What is asked of the folder of an archive. */
export interface ArchiveQuestion {
  readonly source: FileSource;
  readonly path: string;
  readonly keys: readonly NoteVerifier[];
  readonly heads: readonly Checkpoint[];
  readonly onProgress: (fraction: number) => void;
}

/** Checks every log of an archive; the verdicts are the worst of any. */
export async function verifyArchive({ source, path, keys, heads, onProgress }: ArchiveQuestion): Promise<Report> {
  const findings = createFindings();
  const { logs, strangers } = await findLogs(source);
  for (const folder of strangers)
    findings.judge('integrity', 'fail', { file: folder, sentence: 'it is no folder of a log' });
  const answers: LogAnswer[] = [];
  for (const [index, log] of logs.entries()) {
    const answer = await verifyLog({
      source,
      log,
      keys,
      heads,
      onProgress: (part) => onProgress((index + part) / logs.length),
    });
    // With several logs the place must say which one it is in.
    answers.push(logs.length === 1 ? answer : located(answer, folderOf(log)));
  }
  if (logs.length === 0) nothingFound(findings);
  judgeAbsentLogs(findings, heads, answers);
  findings.assume(
    'the lock of the objects can be seen in the store alone; of the newest manifest its times and its lock are not signed',
  );
  const judged = answers.reduce(
    (sum, answer) => ({
      integrity: worse(sum.integrity, answer.integrity),
      completeness: worse(sum.completeness, answer.completeness),
    }),
    findings.judged,
  );
  return {
    target: { kind: 'archive', path },
    ...judged,
    assumptions: [...new Set([...findings.assumptions, ...answers.flatMap(({ assumptions }) => [...assumptions])])],
    counts: countsOf(answers),
    logs: answers.map(checkedLog),
  };
}

/** Returns what a report says of a log. */
export function checkedLog({ origin, size, root, integrity, completeness }: LogAnswer): CheckedLog {
  return { origin, size, root, integrity, completeness };
}

function located(answer: LogAnswer, folder: string): LogAnswer {
  const at = (judgement: LogAnswer['integrity']) =>
    judgement.place === null
      ? judgement
      : { ...judgement, place: { ...judgement.place, file: judgement.place.file ?? folder } };
  return { ...answer, integrity: at(answer.integrity), completeness: at(answer.completeness) };
}

function nothingFound(findings: Findings): void {
  const place = { sentence: 'there is no log below this folder (v1/<region>/<tenant>/<epoch>)' };
  findings.judge('integrity', 'cannot say', place);
  findings.judge('completeness', 'cannot say', place);
}

/** A head that was signed for a log of which nothing is there. */
function judgeAbsentLogs(findings: Findings, heads: readonly Checkpoint[], answers: readonly LogAnswer[]): void {
  const found = new Set(answers.map(({ origin }) => origin.slice(origin.indexOf('/'))));
  for (const { origin, size } of heads) {
    if (size === 0 || found.has(origin.slice(origin.indexOf('/')))) continue;
    findings.judge('completeness', 'fail', {
      seq: 0,
      sentence: `a head of ${origin} was signed, but nothing of that log is there`,
    });
  }
}

function countsOf(answers: readonly LogAnswer[]): Report['counts'] {
  const sum = (of: (answer: LogAnswer) => number) => answers.reduce((total, answer) => total + of(answer), 0);
  return {
    files: sum(({ files }) => files),
    logs: answers.length,
    segments: sum(({ segments }) => segments),
    entries: sum(({ entries }) => entries),
    populations: 0,
  };
}
