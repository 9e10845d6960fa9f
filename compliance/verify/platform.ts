import type { X509Certificate } from 'node:crypto';
import { basename } from 'node:path';
import { parseCheckpoint, type Checkpoint } from '#schema/checkpoint.ts';
import { parsePlatformEntry } from '#schema/platform-entry.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import type { WitnessPolicy } from '#schema/witness-policy.ts';
import { anchorPaths, openAnchorWalk } from '../anchors/verify-anchors.ts';
import { isEpochEnd, readTick, tickNumberOf } from '../platform/tick-object.ts';
import { verifyPlatform } from '../platform/verify-platform.ts';
import type { FileSource } from './file-source.ts';
import { findPlatforms } from './log-files.ts';
import type { Findings } from './report.ts';

/** Who outside of the deployment is believed about its platform log. */
export interface OutsideTrust {
  readonly policy: WitnessPolicy | null;
  /** Certificates of time stamp authorities; without any, a stamp proves nothing about who made it. */
  readonly certificates: readonly X509Certificate[];
  /** Statements of rotations, for a policy that names an older key of the log. */
  readonly rotations: readonly string[];
  /** Signed heads that were kept elsewhere, of platform logs among others. */
  readonly heads: readonly Checkpoint[];
}

/** What is asked of the platform logs of an archive. */
export interface PlatformsQuestion extends OutsideTrust {
  readonly source: FileSource;
  readonly keys: readonly NoteVerifier[];
}

const MAX_TICK_BYTES = 256 * 1024 * 1024;
const ANCHOR = /^(?:tsr|cosig)\/([0-9]{16})\.(?:tsr|note)$/;

/** A tick as anchors see it. */
interface AnchoredTick {
  readonly note: string;
  readonly at: string;
}

/**
 * Checks the platform log of every region with what was kept of it outside, and returns the heads of tenants' logs that
 * somebody outside vouches for: a head at a time before the newest trusted anchor.
 */
export async function judgePlatforms(question: PlatformsQuestion, findings: Findings): Promise<Checkpoint[]> {
  const vouched: Checkpoint[] = [];
  const places = await findPlatforms(question.source);
  if (places.length === 0)
    findings.assume('no platform log lies beside the logs, so nothing shows whether one is missing');
  for (const place of places) vouched.push(...(await judgePlatform(question, place, findings)));
  return vouched;
}

async function judgePlatform(
  question: PlatformsQuestion,
  { root, region }: { root: string; region: string },
  findings: Findings,
): Promise<Checkpoint[]> {
  const told = new Map<string, Checkpoint & { at: string }>();
  const answer = await verifyPlatform({
    source: question.source,
    root,
    region,
    keys: question.keys,
    onHead: ({ origin, size, root: hash, at }) => {
      const name = `${origin} ${size}`;
      if (!told.has(name)) told.set(name, { origin, size, root: Buffer.from(hash, 'hex'), at });
    },
  });
  for (const each of ['integrity', 'completeness'] as const) {
    const { verdict, place } = answer[each];
    if (place !== null) findings.judge(each, verdict, place);
  }
  for (const sentence of answer.assumptions) findings.assume(sentence);
  if (answer.integrity.verdict === 'fail') return [];
  const folder = `${root}v1/${region}/platform`;
  let until = '';
  for (const epoch of await question.source.folders(folder)) {
    const at = await judgeEpoch(question, { folder: `${folder}/${epoch}`, epoch }, findings);
    if (at > until) until = at;
  }
  if (until < (answer.to ?? '')) {
    findings.assume(
      `the platform log ends at ${answer.to}; up to ${until === '' ? 'no time' : until} somebody outside vouches for it`,
    );
  }
  return [...told.values()].filter(({ at }) => at <= until);
}

/** Returns the time up to which somebody outside vouches for an epoch; empty for none. */
async function judgeEpoch(
  question: PlatformsQuestion,
  { folder, epoch }: { folder: string; epoch: string },
  findings: Findings,
): Promise<string> {
  const { source, heads, policy, certificates, rotations, keys } = question;
  const own = heads.filter(({ origin }) => new RegExp(`/platform/[^/]+/${epoch}$`).test(origin));
  const anchored = (await anchorPaths({ source, folder }))
    .map((path) => ANCHOR.exec(path.slice(folder.length + 1))?.[1])
    .filter((size) => size !== undefined);
  const sizes = new Set([...anchored.map(Number), ...own.map(({ size }) => size)]);
  if (sizes.size === 0 && policy === null) return '';
  const ticks = await findTicks(source, { folder: `${folder}/cp`, sizes });
  const walk = await openAnchorWalk({ source, folder, keys, policy, rotations, certificates }, findings);
  for (const [, { note }] of [...ticks].toSorted(([left], [right]) => left - right)) await walk.passing(note);
  const answer = walk.ending();
  const trusted = [
    ...(policy !== null && answer.cosigned !== null ? [answer.cosigned.size] : []),
    ...(certificates.length > 0 && answer.stamped !== null ? [answer.stamped.size] : []),
    ...own.filter((head) => judgeHead(head, { ticks, folder }, findings)).map(({ size }) => size),
  ];
  return trusted.map((size) => ticks.get(size)?.at ?? '').reduce((most, at) => (at > most ? at : most), '');
}

function judgeHead(
  head: Checkpoint,
  { ticks, folder }: { ticks: ReadonlyMap<number, AnchoredTick>; folder: string },
  findings: Findings,
): boolean {
  const tick = ticks.get(head.size);
  if (tick === undefined) {
    const sentence = `a platform checkpoint of ${head.size} entries was signed, and no tick ends there`;
    findings.judge('completeness', 'fail', { file: folder, sentence });
    return false;
  }
  const isSame = Buffer.compare(parseCheckpoint(textOf(tick.note)).root, head.root) === 0;
  if (!isSame) {
    const sentence = `the outside head of ${head.size} platform entries was signed over other ones`;
    findings.judge('integrity', 'fail', { file: folder, sentence });
  }
  return isSame;
}

/** Finds the last tick, and those that end at these sizes; sizes grow with the ticks, so each takes a few readings and no walk. */
async function findTicks(
  source: FileSource,
  { folder, sizes }: { folder: string; sizes: ReadonlySet<number> },
): Promise<Map<number, AnchoredTick>> {
  const ticks = (await source.list(folder)).filter((path) => tickNumberOf(basename(path)) !== null);
  const found = new Map<number, AnchoredTick>();
  const load = async (path: string) => readTick(await source.read(path, MAX_TICK_BYTES));
  const read = async (path: string) => {
    const { checkpoint: note, entries } = await load(path);
    const { at } = parsePlatformEntry(Buffer.from(entries.at(-1) ?? ''));
    return { note, at, size: parseCheckpoint(textOf(note)).size };
  };
  const newest = ticks.at(-1);
  if (newest !== undefined && isEpochEnd(await load(newest))) ticks.pop();
  const last = ticks.at(-1);
  if (last !== undefined) {
    const { size, note, at } = await read(last);
    found.set(size, { note, at });
  }
  for (const size of sizes) {
    let [low, high] = [0, ticks.length - 1];
    while (low <= high && !found.has(size)) {
      const middle = Math.floor((low + high) / 2);
      const tick = await read(ticks[middle] ?? '');
      if (tick.size === size) found.set(size, { note: tick.note, at: tick.at });
      else if (tick.size < size) low = middle + 1;
      else high = middle - 1;
    }
  }
  return found;
}

function textOf(note: string): string {
  return note.slice(0, note.lastIndexOf('\n\n') + 1);
}
