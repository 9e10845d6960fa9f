import type { Checkpoint } from '#schema/checkpoint.ts';
import { ZERO_PREV } from '#schema/audit-event.ts';
import { Frontier, type FrontierState } from '#schema/merkle.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import type { FileSource } from './file-source.ts';
import { folderOf, listLog, type LogFiles, type LogPlace } from './log-files.ts';
import { outsideHeads, type OutsideHeads } from './log-heads.ts';
import { checkManifest, discontinuity, type CheckedManifest } from './manifest-check.ts';
import { createFindings, reasonOf, type CheckedLog, type Findings } from './report.ts';
import { checkSegment, MAX_PACKED_BYTES } from './segment-check.ts';
import type { SegmentLines } from './segment-lines.ts';

/** What is asked of a log. */
export interface LogQuestion {
  readonly source: FileSource;
  readonly log: LogPlace;
  readonly keys: readonly NoteVerifier[];
  /** Verified checkpoints from outside of the archive; those of other logs are passed over. */
  readonly heads: readonly Checkpoint[];
  /** Heads that a platform log committed to, and that somebody outside vouches for; entries behind may be unsealed. */
  readonly vouched?: readonly Checkpoint[];
  /** The tree before the first segment, where the archive does not begin at the first entry. */
  readonly start?: FrontierState;
  /** Is given each segment that was found in order. */
  readonly onSegment?: (segment: SegmentLines) => Promise<void> | void;
  /** Is told how much of the log is done, from 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/** What was found. */
export interface LogAnswer extends CheckedLog {
  readonly files: number;
  readonly segments: number;
  readonly entries: number;
  readonly assumptions: ReadonlySet<string>;
  /** `ts` of the first entry that was checked. */
  readonly firstTs: string | null;
  /** `ts` of the last one. */
  readonly lastTs: string | null;
  /** The end of the epoch before, as the first entry of this one names it; null where it names none. */
  readonly continues: EpochEnd | null;
}

/** Where an epoch is said to end; the root in lower-case hex. */
export interface EpochEnd {
  readonly origin: string;
  readonly size: number;
  readonly root: string;
}

const MAX_MANIFEST_BYTES = 64 * 1024;

/** A log on the way from its first manifest to its last. */
interface Walk {
  readonly question: LogQuestion;
  readonly files: LogFiles;
  readonly findings: Findings;
  readonly heads: OutsideHeads;
  /** Null behind a gap or a fault: there the entries can no more be joined to what was signed. */
  frontier: Frontier | null;
  prev: string;
  /** Null at the beginning, and behind a manifest that is missing or broken. */
  before: CheckedManifest | null;
  /** Entries up to the end of the last good manifest; null where the newest one is broken. */
  size: number | null;
  origin: string;
  /** The end of the last segment that was found in order. */
  proven: { readonly size: number; readonly root: string };
  segments: number;
  entries: number;
  firstTs: string | null;
  lastTs: string | null;
  continues: EpochEnd | null;
}

/**
 * Checks every manifest and segment of a log in their order, holding one segment at a time. The first fault is named by
 * its file and entry; behind it only what can be missing is still looked for.
 */
export async function verifyLog(question: LogQuestion): Promise<LogAnswer> {
  const walk = await begin(question);
  const numbers = [...walk.files.manifests.keys()].toSorted((left, right) => left - right);
  if (numbers.length === 0) noManifest(walk);
  for (const [index, number] of numbers.entries()) {
    await visit(walk, number, index === 0 ? null : (numbers[index - 1] ?? null));
    question.onProgress?.((index + 1) / numbers.length);
  }
  judgeUnnamedSegments(walk, numbers);
  walk.heads.ending(walk.size);
  return answerOf(walk);
}

async function begin(question: LogQuestion): Promise<Walk> {
  const { source, log, heads, start, vouched = [] } = question;
  const findings = createFindings();
  const files = await listLog(source, log);
  const suffix = `/audit/${log.tenant}/${log.epoch}`;
  for (const path of files.strangers) {
    findings.judge('integrity', 'fail', { file: path, sentence: 'it is no file of a log' });
  }
  return {
    question,
    files,
    findings,
    heads: outsideHeads(
      {
        heads: heads.filter(({ origin }) => origin.endsWith(suffix)),
        vouched: vouched.filter(({ origin }) => origin.endsWith(suffix)),
      },
      findings,
    ),
    frontier: Frontier.fromJSON(start),
    prev: ZERO_PREV,
    before: null,
    size: start?.size ?? 0,
    origin: `?${suffix}`,
    proven: { size: start?.size ?? 0, root: Frontier.fromJSON(start).root().toString('hex') },
    segments: 0,
    entries: 0,
    firstTs: null,
    lastTs: null,
    continues: null,
  };
}

function noManifest({ findings, question }: Walk): void {
  const place = { file: folderOf(question.log), sentence: 'the log has no manifest' };
  findings.judge('integrity', 'cannot say', place);
  findings.judge('completeness', 'cannot say', place);
}

async function visit(walk: Walk, number: number, previous: number | null): Promise<void> {
  const path = walk.files.manifests.get(number) ?? '';
  const expected = previous === null ? (walk.question.start === undefined ? 0 : number) : previous + 1;
  if (number > expected) {
    walk.findings.judge('completeness', 'fail', {
      file: path,
      seq: walk.size,
      sentence: `manifest ${expected} is missing before it`,
    });
    lose(walk, `manifest ${expected} is missing, so what follows cannot be joined to it`);
  }
  const checked = await readManifest(walk, path);
  if (checked === null) {
    lose(walk, 'the manifest is broken');
    walk.size = null;
    return;
  }
  const isFollowing = walk.before !== null || (number === 0 && previous === null);
  const fault = isFollowing ? discontinuity(checked, walk.before) : null;
  if (fault !== null)
    walk.findings.judge('integrity', 'fail', { file: path, seq: checked.manifest.first_seq, sentence: fault });
  if (walk.question.start !== undefined && previous === null) startLate(walk, checked);
  await visitSegment(walk, checked);
  walk.before = checked;
  walk.size = checked.manifest.size_after;
  walk.origin = checked.manifest.origin;
}

/** Entries behind this place are joined to no tree, thus to no signature. */
function lose(walk: Walk, sentence: string): void {
  walk.findings.judge('integrity', 'cannot say', { seq: walk.size, sentence });
  walk.frontier = null;
  walk.before = null;
}

/** What stands before the first segment is proved by the root behind it; only the chain's last leaf is taken from it. */
function startLate(walk: Walk, { manifest }: CheckedManifest): void {
  walk.prev = manifest.first_prev;
  const tree = walk.frontier;
  if (tree?.size === manifest.size_before && tree.root().toString('hex') === manifest.root_before) return;
  walk.findings.judge('integrity', 'fail', {
    seq: manifest.first_seq,
    sentence: 'the given tree is not the one before the first segment',
  });
}

async function readManifest(walk: Walk, path: string): Promise<CheckedManifest | null> {
  const checked = await tryManifest(walk, path);
  if (typeof checked !== 'string') return checked;
  walk.findings.judge('integrity', 'fail', { file: path, seq: walk.size, sentence: `manifest: ${checked}` });
  return null;
}

async function tryManifest({ question }: Walk, path: string): Promise<CheckedManifest | string> {
  const { source, log, keys } = question;
  try {
    return checkManifest(await source.read(path, MAX_MANIFEST_BYTES), { log, name: path, keys });
  } catch (thrown) {
    return reasonOf(thrown);
  }
}

async function visitSegment(walk: Walk, { manifest }: CheckedManifest): Promise<void> {
  const { question, findings } = walk;
  const path = question.log.root + manifest.segment.key;
  if (walk.files.segments.get(manifest.number) !== path) {
    const place = { file: path, seq: manifest.first_seq };
    findings.judge('completeness', 'fail', {
      ...place,
      sentence: `the segment of entries ${manifest.first_seq} to ${manifest.size_after - 1} is missing`,
    });
    lose(walk, 'a segment is missing, so what follows cannot be joined to it');
    return;
  }
  if (walk.frontier === null || findings.judged.integrity.verdict === 'fail') return;
  await foldSegment(walk, { manifest, path, frontier: walk.frontier });
}

async function foldSegment(
  walk: Walk,
  { manifest, path, frontier }: { manifest: CheckedManifest['manifest']; path: string; frontier: Frontier },
): Promise<void> {
  const { question, findings } = walk;
  const before = Frontier.fromJSON(frontier.toJSON());
  const packed = await question.source.read(path, MAX_PACKED_BYTES).catch((thrown: unknown) => reasonOf(thrown));
  const checked =
    typeof packed === 'string'
      ? { seq: manifest.first_seq, sentence: packed }
      : await checkSegment(packed, manifest, { frontier, prev: walk.prev });
  if (!('segment' in checked)) {
    findings.judge('integrity', 'fail', { file: path, seq: checked.seq, sentence: checked.sentence });
    return;
  }
  const { segment } = checked;
  walk.heads.passing(before, segment.leaves);
  if (manifest.first_seq === 0) walk.continues = epochBefore(segment);
  walk.prev = segment.lastLeaf;
  walk.proven = { size: manifest.size_after, root: manifest.root_after };
  walk.firstTs ??= segment.firstTs;
  walk.lastTs = segment.lastTs;
  walk.segments += 1;
  walk.entries += segment.count;
  await question.onSegment?.(segment);
}

/** What `log.epoch_opened` says of the epoch before; only the first entry of a log is asked. */
function epochBefore(segment: SegmentLines): EpochEnd | null {
  const { value: first } = segment.entries().next();
  if (first === undefined || first.entry.event.action !== EPOCH_OPENED) return null;
  const { previous_origin: origin, previous_size: size, previous_root: root } = first.entry.event.context;
  const isEnd = typeof origin === 'string' && typeof size === 'number' && typeof root === 'string';
  return isEnd ? { origin, size, root } : null;
}

const EPOCH_OPENED = 'log.epoch_opened';

/** A segment stands alone before its manifest is put, and so does the empty one that ends an epoch. */
function judgeUnnamedSegments({ files, findings }: Walk, numbers: readonly number[]): void {
  const last = numbers.at(-1) ?? -1;
  for (const [number, file] of files.segments) {
    if (files.manifests.has(number)) continue;
    if (number === last + 1) findings.assume(`no manifest names ${file}; it was not looked at`);
    else findings.judge('completeness', 'fail', { file, sentence: 'the manifest of this segment is missing' });
  }
}

function answerOf(walk: Walk): LogAnswer {
  const { findings, files } = walk;
  const { integrity, completeness } = findings.judged;
  const changed = integrity.verdict === 'fail' && completeness.verdict === 'pass';
  return {
    origin: walk.origin,
    ...walk.proven,
    integrity,
    completeness: changed
      ? {
          verdict: 'cannot say',
          place: {
            file: null,
            seq: null,
            row: null,
            sentence: 'what stands there was changed, so nobody can tell what is missing',
          },
        }
      : completeness,
    files: files.manifests.size + files.segments.size + files.strangers.length,
    segments: walk.segments,
    entries: walk.entries,
    assumptions: findings.assumptions,
    firstTs: walk.firstTs,
    lastTs: walk.lastTs,
    continues: walk.continues,
  };
}
