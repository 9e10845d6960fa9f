import { parseCanonical } from '#schema/canonical-json.ts';
import type { Checkpoint } from '#schema/checkpoint.ts';
import type { FrontierState } from '#schema/merkle.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import type { FileSource } from './file-source.ts';
import { findLogs, type LogPlace } from './log-files.ts';
import { readCheckpoint } from './log-heads.ts';
import { verifyLog, type LogAnswer } from './log.ts';
import { isShape, listOf, type PackManifest } from './pack-manifest.ts';
import { openPopulations, type Populations } from './population.ts';
import { reasonOf, worse, type Findings } from './report.ts';

/** What is asked of the log inside a pack. */
export interface LogOfPack {
  readonly source: FileSource;
  readonly keys: readonly NoteVerifier[];
  /** From outside of the pack. */
  readonly heads: readonly Checkpoint[];
  readonly manifest: PackManifest;
  readonly onProgress: (fraction: number) => void;
}

const MANIFEST = 'manifest.json';
const FRONTIER = 'log/frontier.json';
const MAX_FRONTIER_BYTES = 64 * 1024;

/**
 * Checks the log of a pack whose files are those of its manifest: against the head that the manifest names, and the
 * populations against the log. Null where there is no log, or no head to count it against.
 */
export async function checkLog(
  pack: LogOfPack,
  findings: Findings,
): Promise<{ log: LogAnswer | null; populations: number }> {
  const populations = await openPopulations(pack, findings);
  try {
    const log = await replayLog(pack, populations, findings);
    if (log !== null && worse(log.integrity, findings.judged.integrity).verdict === 'pass') await populations.end();
    return { log, populations: populations.count };
  } finally {
    await populations.close();
  }
}

async function replayLog(pack: LogOfPack, populations: Populations, findings: Findings): Promise<LogAnswer | null> {
  const log = await findOwnLog(pack, findings);
  const head = readHead(pack, findings);
  if (log === null || head === null) {
    judgeAbsence(pack.manifest, findings);
    return null;
  }
  const start = await readStart(pack.source, findings);
  const answer = await verifyLog({
    source: pack.source,
    log,
    keys: pack.keys,
    heads: [head, ...pack.heads],
    ...(start === null ? {} : { start }),
    onSegment: (segment) => populations.replay(segment),
    onProgress: pack.onProgress,
  });
  for (const question of ['integrity', 'completeness'] as const) {
    const { verdict, place } = answer[question];
    if (place !== null) findings.judge(question, verdict, place);
  }
  for (const sentence of answer.assumptions) findings.assume(sentence);
  if (answer.origin !== head.origin)
    findings.judge('integrity', 'fail', { file: MANIFEST, sentence: 'the head is of another log than the pack holds' });
  judgeWindow({ start, answer, manifest: pack.manifest }, findings);
  return answer;
}

/** One log at most, and the tenant's. */
async function findOwnLog({ source, manifest }: LogOfPack, findings: Findings): Promise<LogPlace | null> {
  const { logs, strangers } = await findLogs(source);
  const [log, ...others] = logs;
  const isOwn = log === undefined || (log.root === 'log/' && log.tenant === manifest.tenant.id);
  if (isOwn && others.length + strangers.length === 0) return log ?? null;
  findings.judge('integrity', 'fail', {
    file: 'log',
    sentence: 'the pack holds another log than the one of its tenant',
  });
  return null;
}

/** The log speaks of other people too, so an access export goes without. */
function judgeAbsence({ kind }: PackManifest, findings: Findings): void {
  if (kind === 'gdpr_access') {
    findings.assume(
      'the stores were read by the deployment itself; no log shows that it found every row about the person',
    );
  } else {
    const sentence = 'the pack holds no signed head with its log, so nothing can be counted against it';
    findings.judge('completeness', 'cannot say', { file: MANIFEST, sentence });
  }
}

function readHead({ manifest, keys }: Pick<LogOfPack, 'manifest' | 'keys'>, findings: Findings): Checkpoint | null {
  if (manifest.head === null) return null;
  const { origin, size, root, checkpoint } = manifest.head;
  try {
    const head = readCheckpoint(checkpoint, keys);
    if (head.origin === origin && head.size === size && Buffer.from(head.root).toString('hex') === root) return head;
    findings.judge('integrity', 'fail', { file: MANIFEST, sentence: 'its head is not the one that was signed' });
  } catch (thrown) {
    findings.judge('integrity', 'fail', { file: MANIFEST, sentence: reasonOf(thrown) });
  }
  return null;
}

const isFrontier = isShape<FrontierState>({
  size: (value) => Number.isSafeInteger(value) && Number(value) > 0,
  nodes: listOf((node) => typeof node === 'string'),
});

/** The tree before the first segment, where the pack does not begin at the log's first entry. */
async function readStart(source: FileSource, findings: Findings): Promise<FrontierState | null> {
  if ((await source.size(FRONTIER)) === null) return null;
  try {
    const state: unknown = parseCanonical(await source.read(FRONTIER, MAX_FRONTIER_BYTES));
    if (isFrontier(state)) return state;
    findings.judge('integrity', 'fail', { file: FRONTIER, sentence: 'it is no state of a tree' });
  } catch (thrown) {
    findings.judge('integrity', 'fail', { file: FRONTIER, sentence: reasonOf(thrown) });
  }
  return null;
}

/** Whether the part of the log in the pack reaches over the window at both ends. */
function judgeWindow(
  { start, answer, manifest }: { start: FrontierState | null; answer: LogAnswer; manifest: PackManifest },
  findings: Findings,
): void {
  const [fromMs, toMs] = [Date.parse(manifest.window.from), Date.parse(manifest.window.to)];
  if (answer.lastTs !== null && Date.parse(answer.lastTs) < toMs) {
    findings.assume(
      `the log in the pack ends at ${answer.lastTs}, within the window; what was sealed later is not in it`,
    );
  }
  if (start === null) return;
  findings.assume(
    `the entries before seq ${start.size} are not in the pack; that their clock ran ahead of the window's beginning is taken for impossible`,
  );
  if (answer.firstTs !== null && Date.parse(answer.firstTs) < fromMs) return;
  findings.judge('completeness', 'cannot say', {
    seq: start.size,
    sentence: 'the first entry in the pack is not older than the window, so earlier ones of the window may be missing',
  });
}
