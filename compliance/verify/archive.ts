import type { Checkpoint } from '#schema/checkpoint.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import type { FileSource } from './file-source.ts';
import { parseRotations, trustedKeys } from '#schema/key-rotation.ts';
import { findLogs, findStatements, folderOf } from './log-files.ts';
import { verifyLog, type LogAnswer } from './log.ts';
import { judgePlatforms, type OutsideTrust } from './platform.ts';
import { createFindings, worse, type CheckedLog, type Findings, type Report } from './report.ts';

/** What is asked of the folder of an archive. */
export interface ArchiveQuestion {
  readonly source: FileSource;
  readonly path: string;
  readonly keys: readonly NoteVerifier[];
  readonly heads: readonly Checkpoint[];
  /** Who else is believed; nobody where it is left out. */
  readonly trust?: Pick<OutsideTrust, 'policy' | 'certificates'>;
  readonly onProgress: (fraction: number) => void;
  /** Tells that only a part of an archive is looked at, so that other logs may lie beside. */
  readonly isPart?: boolean;
}

/** Returns the keys that the given ones lead to through the statements of rotations in an archive or a pack. */
export async function keysWithRotations(
  source: FileSource,
  given: readonly NoteVerifier[],
): Promise<readonly NoteVerifier[]> {
  return trustedKeys(given, await readStatements(source)).keys;
}

async function readStatements(source: FileSource): Promise<string[]> {
  const statements: string[] = [];
  if ((await source.size(ROTATIONS)) !== null)
    statements.push(...parseRotations((await source.read(ROTATIONS, MAX_ROTATIONS_BYTES)).toString('utf8')));
  for (const path of await findStatements(source))
    statements.push((await source.read(path, MAX_STATEMENT_BYTES)).toString('utf8'));
  return statements;
}

/** Where a pack holds all statements. */
const ROTATIONS = 'verify/ROTATIONS';
const MAX_ROTATIONS_BYTES = 1024 * 1024;
const MAX_STATEMENT_BYTES = 64 * 1024;

/** Checks every log of an archive; the verdicts are the worst of any. */
export async function verifyArchive(question: ArchiveQuestion): Promise<Report> {
  const { source, path, keys, heads, onProgress } = question;
  const findings = createFindings();
  const { logs, strangers } = await findLogs(source);
  for (const folder of strangers)
    findings.judge('integrity', 'fail', { file: folder, sentence: 'it is no folder of a log' });
  const rotations = await readStatements(source);
  for (const fault of trustedKeys(keys, rotations).faults) findings.assume(`a rotation was not followed: ${fault}`);
  const trust = question.trust ?? { policy: null, certificates: [] };
  const vouched = await judgePlatforms({ source, keys, heads, rotations, ...trust }, findings);
  const answers: LogAnswer[] = [];
  for (const [index, log] of logs.entries()) {
    const answer = await verifyLog({
      source,
      log,
      keys,
      heads,
      vouched,
      onProgress: (part) => onProgress((index + part) / logs.length),
    });
    // With several logs the place must say which one it is in.
    answers.push(logs.length === 1 ? answer : located(answer, folderOf(log)));
  }
  if (logs.length === 0) nothingFound(findings);
  judgeAbsentLogs(findings, heads, answers);
  for (const answer of answers) judgeEpoch(findings, answer, { answers, isPart: question.isPart === true });
  findings.assume(
    `you trust ${keys.map(({ name, keyId }) => `${name}+${keyId}`).join(', ')}, and that nobody else signs with it`,
  );
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
    if (size === 0 || !origin.includes('/audit/') || found.has(origin.slice(origin.indexOf('/')))) continue;
    findings.judge('completeness', 'fail', {
      seq: 0,
      sentence: `a head of ${origin} was signed, but nothing of that log is there`,
    });
  }
}

/** An epoch that goes on from another one has to name the end that this has (docs/formats.md section 5.4). */
function judgeEpoch(
  findings: Findings,
  { origin, continues }: LogAnswer,
  { answers, isPart }: { answers: readonly LogAnswer[]; isPart: boolean },
): void {
  if (continues === null) return;
  const old = answers.find((answer) => answer.origin === continues.origin) ?? null;
  // What of the old epoch is changed or missing was said where it was found.
  if (old !== null && old.integrity.verdict !== 'pass') return;
  const said = `${origin} goes on from ${continues.size} entries of ${continues.origin}`;
  const { size, root } = old ?? { size: 0, root: continues.root };
  if (old === null && isPart) return findings.assume(`${said}, which is not looked at`);
  if (size < continues.size)
    findings.judge('completeness', 'fail', { seq: size, sentence: `${said}, and ${size} are there` });
  else if (size > continues.size || root !== continues.root)
    findings.judge('integrity', 'fail', { seq: continues.size, sentence: `${said}, which has another end` });
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
