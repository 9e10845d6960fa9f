import type { X509Certificate } from 'node:crypto';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { parseNote, type NoteVerifier } from '#schema/signed-note.ts';
import { applyWitnessPolicy, type WitnessPolicy } from '#schema/witness-policy.ts';
import type { FileSource } from '../verify/file-source.ts';
import { reasonOf, type Findings } from '../verify/report.ts';
import { MAX_ANSWER_BYTES, verifyTimestamp } from './timestamp.ts';

/** What is asked of the anchors of one epoch of a platform log. */
export interface AnchorQuestion {
  readonly source: FileSource;
  /** The folder of the epoch, such as `v1/eu/platform/1`, without a slash at its end. */
  readonly folder: string;
  /** The keys of the log, newer ones that statements lead to among them. */
  readonly keys: readonly NoteVerifier[];
  /** Who has to have cosigned; null asks for nobody. */
  readonly policy: WitnessPolicy | null;
  /** Statements of rotations, for a policy that names an older key of the log. */
  readonly rotations: readonly (string | Uint8Array)[];
  /** Certificates of time stamp authorities, or of who certifies them; empty takes whoever has signed. */
  readonly certificates: readonly X509Certificate[];
}

/** What the anchors show. */
export interface AnchorAnswer {
  readonly files: number;
  /** The newest checkpoint that an authority has stamped, and when it did: everything up to that size is as old. */
  readonly stamped: { readonly size: number; readonly time: Date; readonly authority: string } | null;
  /** The newest checkpoint for which the policy holds. */
  readonly cosigned: { readonly size: number; readonly seenBy: Date | null } | null;
}

/** The anchors beside a platform log on the way through its checkpoints. */
export interface AnchorWalk {
  /** Checks what is there of a checkpoint whose signature was verified before; those without an anchor may be left out. */
  passing(note: string): Promise<void>;
  /** Judges what belongs to no checkpoint that has passed, and what the policy asks for. */
  ending(): AnchorAnswer;
}

const TIMESTAMP = /^tsr\/([0-9]{16})\.tsr$/;
const COSIGNED = /^cosig\/([0-9]{16})\.note$/;
const MAX_NOTE_BYTES = 64 * 1024;

/**
 * Checks, without network, the time stamps and cosigned checkpoints beside a platform log, holding one at a time. An
 * anchor that does not verify, or that is of another checkpoint than the log has at that size, speaks against its
 * integrity; one of a size that the log does not have against its completeness, for somebody has seen more. A policy that
 * holds for no checkpoint leaves completeness open.
 */
export async function openAnchorWalk(question: AnchorQuestion, findings: Findings): Promise<AnchorWalk> {
  const found = await anchorFiles(question);
  const files = found.length;
  const left = new Map<number, AnchorFile[]>();
  for (const file of found) left.set(file.size, [...(left.get(file.size) ?? []), file]);
  const walk: Walk = { question, findings, left, stamped: null, cosigned: null };
  return {
    passing: (note) => pass(walk, note),
    ending: () => {
      for (const file of [...walk.left.values()].flat()) judgeMissing(walk, file);
      judgePolicy(walk);
      return { files, stamped: walk.stamped, cosigned: walk.cosigned };
    },
  };
}

interface AnchorFile {
  readonly path: string;
  readonly size: number;
  readonly isStamp: boolean;
}

interface Walk {
  readonly question: AnchorQuestion;
  readonly findings: Findings;
  /** Those that no checkpoint has asked for yet. */
  readonly left: Map<number, AnchorFile[]>;
  stamped: AnchorAnswer['stamped'];
  cosigned: AnchorAnswer['cosigned'];
}

async function pass(walk: Walk, note: string): Promise<void> {
  const { size } = parseCheckpoint(parseNote(note).text);
  const due = walk.left.get(size) ?? [];
  walk.left.delete(size);
  for (const file of due) {
    if (file.isStamp) walk.stamped = newer(walk.stamped, await checkStamp(walk, file, note));
    else walk.cosigned = newer(walk.cosigned, await checkCosigned(walk, file, note));
  }
}

function newer<T extends { readonly size: number }>(before: T | null, found: T | null): T | null {
  return found !== null && found.size >= (before?.size ?? 0) ? found : before;
}

/** Returns the paths of what lies in the folders of the anchors of an epoch. */
export async function anchorPaths({ source, folder }: Pick<AnchorQuestion, 'source' | 'folder'>): Promise<string[]> {
  return [...(await source.list(`${folder}/cosig`)), ...(await source.list(`${folder}/tsr`))];
}

async function anchorFiles({ source, folder }: AnchorQuestion): Promise<AnchorFile[]> {
  const found = (await anchorPaths({ source, folder })).map((path) => {
    const name = path.slice(folder.length + 1);
    const [stamp, cosignature] = [TIMESTAMP.exec(name)?.[1], COSIGNED.exec(name)?.[1]];
    const size = stamp ?? cosignature;
    return size === undefined ? null : { path, size: Number(size), isStamp: stamp !== undefined };
  });
  return found.filter((file) => file !== null);
}

async function checkStamp(
  { question, findings }: Walk,
  { path, size }: AnchorFile,
  note: string,
): Promise<AnchorAnswer['stamped']> {
  try {
    const answer = await question.source.read(path, MAX_ANSWER_BYTES);
    const checked = verifyTimestamp({ answer, data: Buffer.from(note), trusted: question.certificates });
    return { size, time: checked.time, authority: checked.authority };
  } catch (thrown) {
    findings.judge('integrity', 'fail', { file: path, sentence: reasonOf(thrown) });
    return null;
  }
}

async function checkCosigned(
  { question, findings }: Walk,
  { path, size }: AnchorFile,
  own: string,
): Promise<AnchorAnswer['cosigned']> {
  const { source, keys, policy, rotations } = question;
  try {
    const note = await source.read(path, MAX_NOTE_BYTES);
    const { holds, seenBy } = applyWitnessPolicy(policy ?? NOBODY, { note, logs: keys, rotations });
    if (parseNote(own).text === parseNote(note).text) return policy !== null && holds ? { size, seenBy } : null;
    const sentence = `the log forks: another checkpoint was signed and cosigned than its own of ${size} entries`;
    findings.judge('integrity', 'fail', { file: path, sentence });
  } catch (thrown) {
    findings.judge('integrity', 'fail', { file: path, sentence: reasonOf(thrown) });
  }
  return null;
}

const NOBODY: WitnessPolicy = { logs: [], witnesses: [], quorum: { kind: 'none' } };

function judgeMissing({ findings }: Walk, { path, size }: AnchorFile): void {
  findings.judge('completeness', 'fail', {
    file: path,
    sentence: `somebody outside has seen a platform log of ${size} entries, and no checkpoint of that size is there`,
  });
}

function judgePolicy({ question, findings, stamped, cosigned }: Walk): void {
  const { policy, folder, certificates } = question;
  if (policy !== null && cosigned === null) {
    findings.judge('completeness', 'cannot say', {
      file: folder,
      sentence: 'the policy holds for no checkpoint, so nobody outside vouches that this is the only log',
    });
  }
  if (stamped === null) findings.assume('no outside time stamp shows when the platform log was written');
  else if (certificates.length === 0)
    findings.assume(
      `the time stamps are by ${stamped.authority}, whom nobody was asked to trust; give its certificate`,
    );
  else
    findings.assume(
      `the clock of ${stamped.authority}, which stamped the first ${stamped.size} entries at ${stamped.time.toISOString()}`,
    );
  if (policy === null)
    findings.assume('no policy says which witnesses have to vouch that everybody is shown the same log');
  else if (cosigned !== null)
    findings.assume(
      `the witnesses of the policy, who vouch for the first ${cosigned.size} entries of the platform log and no more`,
    );
}
