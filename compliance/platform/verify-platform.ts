import { isId } from '#schema/ids.ts';
import { Frontier } from '#schema/merkle.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import { parseManifest } from '../manifest.ts';
import type { FileSource } from '../verify/file-source.ts';
import { findLogs, folderOf, listLog, type LogPlace } from '../verify/log-files.ts';
import { createFindings, type Findings, type Judgement } from '../verify/report.ts';
import { checkTick, type CheckedTick, type TickWalk } from './tick-check.ts';
import { newHeadTree } from './head-tree.ts';
import { tickNumberOf } from './tick-object.ts';

/** What is asked of the platform logs of an archive. */
export interface PlatformQuestion {
  readonly source: FileSource;
  /** The folder of the source that holds `v1`, with a slash at its end; empty for the root. */
  readonly root: string;
  readonly region: string;
  readonly keys: readonly NoteVerifier[];
  /** Is given each head of a tenant log that a tick has changed, in the order of the ticks. */
  readonly onHead?: (head: CommittedHead) => void;
  /** Is told how much of the work is done, from 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/** The head of a tenant log, and when a platform log has committed to it. */
export interface CommittedHead {
  readonly origin: string;
  readonly size: number;
  /** Lower-case hex. */
  readonly root: string;
  readonly at: string;
}

/** What was found. */
export interface PlatformAnswer {
  readonly integrity: Judgement;
  readonly completeness: Judgement;
  readonly assumptions: ReadonlySet<string>;
  /** Of the newest epoch; null where there is no platform log. */
  readonly origin: string | null;
  readonly epochs: number;
  readonly ticks: number;
  readonly entries: number;
  /** When the first and the last tick were planned; null without ticks. */
  readonly from: string | null;
  readonly to: string | null;
  /** The newest head of every tenant log, by its origin. */
  readonly heads: ReadonlyMap<string, CommittedHead>;
}

/** How long a platform log may be silent at most: one beat may come late, as where a worker is exchanged. */
export const MAX_SILENCE_MS = 120_000;
/** Within that time what a log holds is sealed, or the platform shows an alarm. */
const MAX_UNSEALED_MS = 7_200_000;
/** Reading the heads of 100,000 logs and the clocks of two workers. */
const CLOCK_SLACK_MS = 5_000;

/** The head of a log on the way through the ticks. */
interface SeenHead extends CommittedHead {
  /** When it first was longer than what the archive holds sealed; null where it never was. */
  unsealedSince: string | null;
}

/** What the archive holds of a tenant log, by the name of its newest manifest. */
interface SealedLog {
  readonly origin: string;
  readonly file: string;
  readonly size: number;
  readonly root: string;
  readonly plannedAt: string;
}

interface Walk {
  readonly question: PlatformQuestion;
  readonly findings: Findings;
  readonly sealed: ReadonlyMap<string, SealedLog>;
  readonly seen: Map<string, SeenHead>;
  before: CheckedTick | null;
  origin: string | null;
  from: string | null;
  ticks: number;
  entries: number;
}

const EPOCH = /^[1-9][0-9]{0,8}$/;

/**
 * Checks the platform log of a region, epoch by epoch, holding one tick at a time: that its ticks are gap-free, signed and
 * each continues the one before; that it was never silent for longer than two minutes; that the heads of tenants' logs
 * never shrink; and that what is sealed of every tenant log is covered by its last heads, and the other way round. Online
 * services are not asked.
 */
export async function verifyPlatform(question: PlatformQuestion): Promise<PlatformAnswer> {
  const { source, root, region } = question;
  const findings = createFindings();
  const walk: Walk = {
    question,
    findings,
    sealed: await sealedLogs(question, findings),
    seen: new Map(),
    before: null,
    origin: null,
    from: null,
    ticks: 0,
    entries: 0,
  };
  const folder = `${root}v1/${region}/platform`;
  const epochs = (await source.folders(folder))
    .filter((name) => EPOCH.test(name))
    .map(Number)
    .toSorted((a, b) => a - b);
  for (const [index, epoch] of epochs.entries()) {
    if (epoch !== index + 1 && (index === 0 || epoch !== (epochs[index - 1] ?? 0) + 1)) {
      findings.judge('completeness', 'fail', { file: folder, sentence: `an epoch before ${epoch} is missing` });
    }
    await visitEpoch(walk, `${folder}/${epoch}/cp`, epoch);
    question.onProgress?.((index + 1) / epochs.length);
  }
  if (walk.before === null) {
    findings.judge('completeness', 'cannot say', { file: folder, sentence: 'there is no platform log of this region' });
  } else {
    judgeSealed(walk, walk.before.at);
    judgeUnsealed(walk, walk.before.at);
  }
  return {
    ...findings.judged,
    assumptions: findings.assumptions,
    origin: walk.origin,
    epochs: epochs.length,
    ticks: walk.ticks,
    entries: walk.entries,
    from: walk.from,
    to: walk.before?.at ?? null,
    heads: walk.seen,
  };
}

async function visitEpoch(walk: Walk, folder: string, epoch: number): Promise<void> {
  const { source } = walk.question;
  const files: { number: number; file: string }[] = [];
  for (const file of await source.list(folder)) {
    const number = tickNumberOf(file.slice(folder.length + 1));
    if (number === null) {
      walk.findings.judge('integrity', 'fail', { file, sentence: 'it is no tick of a platform log' });
    } else files.push({ number, file });
  }
  const tickWalk: TickWalk = {
    keys: walk.question.keys,
    epoch,
    origin: null,
    frontier: new Frontier(),
    prev: null,
    tree: newHeadTree(),
    before: walk.before,
  };
  for (const [index, { number, file }] of files.entries()) {
    if (number !== index) {
      const sentence = `tick ${index} is missing before it, so what follows cannot be joined`;
      walk.findings.judge('completeness', 'fail', { file, sentence });
      return;
    }
    if (!(await visitTick(walk, tickWalk, { file, behind: files[index + 1]?.file }))) return;
  }
}

/** False where nothing behind the tick can be joined any more. */
async function visitTick(
  walk: Walk,
  tickWalk: TickWalk,
  { file, behind }: { file: string; behind: string | undefined },
): Promise<boolean> {
  const { findings, question } = walk;
  const checked = await checkTick(tickWalk, { source: question.source, file });
  if (checked === null) {
    const sentence = 'it stands behind the end of its epoch';
    if (behind !== undefined) findings.judge('integrity', 'fail', { file: behind, sentence });
    return false;
  }
  if ('fault' in checked) {
    findings.judge('integrity', 'fail', { file, sentence: checked.fault });
    findings.judge('completeness', 'cannot say', { file, sentence: 'what follows a broken tick cannot be joined' });
    return false;
  }
  judgeSilence(walk, checked, file);
  for (const head of checked.heads) visitHead(walk, { ...head, at: checked.at }, file);
  walk.from ??= checked.at;
  walk.origin = tickWalk.origin;
  walk.ticks += 1;
  walk.entries += checked.entries;
  walk.before = checked;
  tickWalk.before = checked;
  return true;
}

function judgeSilence({ findings, before }: Walk, tick: CheckedTick, file: string): void {
  if (before === null) return;
  const silentMs = Date.parse(tick.at) - Date.parse(before.at);
  if (silentMs <= MAX_SILENCE_MS) return;
  const span = `between ${before.at} and ${tick.at}`;
  if (before.isStopped) findings.assume(`${span} the platform was stopped, as its own log says`);
  else findings.judge('completeness', 'cannot say', { file, sentence: `the platform log was silent ${span}` });
}

function visitHead(walk: Walk, head: CommittedHead, file: string): void {
  const before = walk.seen.get(head.origin);
  const archived = walk.sealed.get(head.origin);
  judgeHead(walk, head, file);
  const isUnsealed = head.size > (archived?.size ?? 0);
  walk.seen.set(head.origin, { ...head, unsealedSince: isUnsealed ? (before?.unsealedSince ?? head.at) : null });
  walk.question.onHead?.(head);
}

/** Holds a head against the one before it and against what is sealed. */
function judgeHead({ findings, seen, sealed }: Walk, head: CommittedHead, file: string): void {
  const before = seen.get(head.origin);
  const archived = sealed.get(head.origin);
  if (before !== undefined && before.size > head.size) {
    const sentence = `${head.origin} had ${before.size} entries at ${before.at} and ${head.size} at ${head.at}`;
    findings.judge('completeness', 'fail', { file, seq: head.size, sentence });
  }
  if (before?.size === head.size && before.root !== head.root) {
    const sentence = `${head.origin} has two roots over ${head.size} entries, at ${before.at} and at ${head.at}`;
    findings.judge('integrity', 'fail', { file, seq: head.size, sentence });
  }
  if (archived?.size === head.size && archived.root !== head.root) {
    const sentence = `the platform log has another root over ${head.size} entries of ${head.origin} than ${archived.file}`;
    findings.judge('integrity', 'fail', { file, seq: head.size, sentence });
  }
}

/** What is sealed has to be in a head that was read later. */
function judgeSealed({ findings, sealed, seen }: Walk, endsAt: string): void {
  for (const { origin, file, size, plannedAt } of sealed.values()) {
    if ((seen.get(origin)?.size ?? 0) >= size) continue;
    const lateMs = Date.parse(endsAt) - Date.parse(plannedAt);
    const covered = `the platform log covers ${seen.get(origin)?.size ?? 0} of ${size} sealed entries`;
    if (lateMs > CLOCK_SLACK_MS) findings.judge('completeness', 'fail', { file, sentence: covered });
    else if (lateMs < -MAX_SILENCE_MS) {
      findings.judge('completeness', 'fail', { file, sentence: `the platform log ends at ${endsAt}, before it` });
    } else findings.assume(`of what was sealed after ${endsAt} the platform log says nothing yet`);
  }
}

/** What a head counts has to be sealed after a while; until then it may be on its way. */
function judgeUnsealed({ findings, sealed, seen }: Walk, endsAt: string): void {
  for (const { origin, size, unsealedSince } of seen.values()) {
    if (unsealedSince === null) continue;
    const held = sealed.get(origin)?.size ?? 0;
    if (Date.parse(endsAt) - Date.parse(unsealedSince) > MAX_UNSEALED_MS) {
      const sentence = `${origin} had more than ${held} entries at ${unsealedSince}, and the archive does not hold them`;
      findings.judge('completeness', 'fail', { seq: held, sentence });
    } else findings.assume(`entries ${held} to ${size - 1} of ${origin} were not sealed yet at ${endsAt}`);
  }
}

/** The newest manifest of every tenant log, by its name alone: whether it is sound is for who verifies that log. */
async function sealedLogs(question: PlatformQuestion, findings: Findings): Promise<Map<string, SealedLog>> {
  const sealed = new Map<string, SealedLog>();
  const { logs } = await findLogs(question.source);
  for (const log of logs.filter(({ root, region }) => root === question.root && region === question.region)) {
    const newest = await newestManifest(question.source, log).catch(() => null);
    if (newest !== null) sealed.set(newest.origin, newest);
    else findings.assume(`the newest manifest of ${folderOf(log)} cannot be read`);
  }
  return sealed;
}

const MAX_MANIFEST_BYTES = 64 * 1024;

async function newestManifest(source: FileSource, log: LogPlace): Promise<SealedLog | null> {
  if (!isId('tnt', log.tenant)) return null;
  const { manifests } = await listLog(source, log);
  const file = manifests.get(Math.max(...manifests.keys()));
  if (file === undefined) return null;
  const {
    origin,
    size_after: size,
    root_after: root,
    planned_at: plannedAt,
  } = parseManifest(await source.read(file, MAX_MANIFEST_BYTES));
  return { origin, file, size, root, plannedAt };
}
