import { parseCheckpoint, type Checkpoint } from '#schema/checkpoint.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { trustedKeys } from '#schema/key-rotation.ts';
import { parseNote, verifyNote, type NoteVerifier } from '#schema/signed-note.ts';
import { isOriginOf } from '#schema/witness-policy.ts';
import { encodeAddCheckpoint, type AddCheckpoint } from './add-checkpoint.ts';
import type { Deployment } from './deployment.ts';
import type { SeenHead, WitnessState } from './state.ts';
import type { SeenCheckpoint, Witness } from './witness.ts';

/** What one look at the deployment has shown. */
export type PullResult =
  | {
      /** `unchanged`: the size is as it was, and so is the root. */
      readonly kind: 'cosigned' | 'unchanged';
      readonly origin: string;
      readonly size: number;
      readonly before: number;
      /** The file with the cosigned checkpoint. */
      readonly file: string;
    }
  /** Nothing is sealed yet. */
  | { readonly kind: 'empty' }
  | PullFault;

/** The log is not what it was: something that no correct deployment shows. */
export interface PullFault {
  readonly kind: 'truncated' | 'forked' | 'unproven' | 'unknown key' | 'other log';
  readonly sentence: string;
  /** The folder that holds both notes. */
  readonly evidence: string;
}

/** What looking needs. */
export interface PullOptions {
  readonly deployment: Deployment;
  readonly witness: Witness;
  readonly state: WitnessState;
  /** The keys that were trusted at the beginning. */
  readonly keys: readonly NoteVerifier[];
}

/** Returns the keys to trust now: those given, and those that statements seen so far lead to. */
export async function knownKeys({
  state,
  keys,
}: Pick<PullOptions, 'state' | 'keys'>): Promise<readonly NoteVerifier[]> {
  return trustedKeys(keys, await state.rotations()).keys;
}

/**
 * Looks at the tenant's newest checkpoint, verifies it and that it continues what was seen before, and cosigns it. A log
 * that is shorter than it was, another one of the same size, one without proof, and one that no trusted key has signed
 * are results with both notes kept as evidence. A deployment that is away is SERVICE_UNAVAILABLE.
 */
export async function pull(options: PullOptions): Promise<PullResult> {
  const heads = await seenHeads(options);
  const note = await options.deployment.checkpoint();
  if (note === null) return heads.length === 0 ? { kind: 'empty' } : gone(options, heads);
  const keys = await keysFor(options, note);
  if (keys === null)
    return fault(options, {
      kind: 'unknown key',
      shown: note,
      sentence: 'no trusted key has signed the newest checkpoint',
    });
  const shown = parseCheckpoint(parseNote(note).text);
  const place = placeOf(shown.origin);
  const strange = strangeness(options, { heads, shown, note, place });
  if (strange !== null) return strange;
  for (const older of heads.filter(({ origin }) => placeOf(origin).epoch < place.epoch)) {
    const result = await follow(options, { seen: older, keys });
    if (result !== null) return result;
  }
  return grow(options, { note, shown, keys, place });
}

interface Place {
  /** The origin without its epoch. */
  readonly log: string;
  readonly epoch: number;
}

function placeOf(origin: string): Place {
  const [, log = origin, epoch = '1'] = /^(.+)\/(\d{1,9})$/.exec(origin) ?? [];
  return { log, epoch: Number(epoch) };
}

async function seenHeads({ state, witness }: PullOptions): Promise<SeenCheckpoint[]> {
  const origins = (await state.heads()).map(originOf).filter((origin) => origin.includes('/audit/'));
  const seen = await Promise.all(origins.map((origin) => witness.seen(origin)));
  return seen.filter((head) => head !== null);
}

function originOf({ note }: SeenHead): string {
  return parseCheckpoint(parseNote(note).text).origin;
}

/** The keys that a note can be believed by, after asking for rotations where those known so far do not do. */
async function keysFor(options: PullOptions, note: string): Promise<readonly NoteVerifier[] | null> {
  const known = await knownKeys(options);
  if (isSigned(note, known)) return known;
  for (const statement of await options.deployment.rotations()) {
    if (trustedKeys(known, [statement]).followed.length > 0) await options.state.keepRotation(statement);
  }
  const newer = await knownKeys(options);
  return isSigned(note, newer) ? newer : null;
}

function isSigned(note: string, keys: readonly NoteVerifier[]): boolean {
  try {
    const { text, signers } = verifyNote(note, keys);
    return signers.some(({ name }) => isOriginOf(name, parseCheckpoint(text).origin));
  } catch {
    return false;
  }
}

function strangeness(
  options: PullOptions,
  { heads, shown, note, place }: { heads: readonly SeenCheckpoint[]; shown: Checkpoint; note: string; place: Place },
): Promise<PullFault> | null {
  const [first] = heads;
  if (first === undefined) return null;
  if (placeOf(first.origin).log !== place.log)
    return fault(options, {
      kind: 'other log',
      seen: first.note,
      shown: note,
      sentence: `the log was ${first.origin} and is now ${shown.origin}`,
    });
  const newer = heads.find(({ origin }) => placeOf(origin).epoch > place.epoch);
  if (newer === undefined) return null;
  return fault(options, {
    kind: 'truncated',
    seen: newer.note,
    shown: note,
    sentence: `the log went back from ${newer.origin} to ${shown.origin}`,
  });
}

/** A log of an earlier epoch has ended, but what was seen of it still has to be there. */
async function follow(
  options: PullOptions,
  { seen, keys }: { seen: SeenCheckpoint; keys: readonly NoteVerifier[] },
): Promise<PullFault | null> {
  const { epoch } = placeOf(seen.origin);
  // Where it has no proof from there, whatever it still has of that log is the other half of the evidence.
  const request = (await proofOf(options, { from: seen.size, epoch })) ?? (await proofOf(options, { from: 0, epoch }));
  if (request === null) {
    const sentence = `the deployment no longer shows ${seen.origin}, of which ${seen.size} entries were seen`;
    return fault(options, { kind: 'truncated', seen: seen.note, sentence });
  }
  const shown = parseCheckpoint(parseNote(request.note).text);
  if (shown.origin !== seen.origin) return unproven(options, { seen, request, shown });
  const result = await compare(options, { note: request.note, shown, seen, request, keys });
  return 'evidence' in result ? result : null;
}

async function grow(
  options: PullOptions,
  { note, shown, keys, place }: { note: string; shown: Checkpoint; keys: readonly NoteVerifier[]; place: Place },
): Promise<PullResult> {
  const seen = await options.witness.seen(shown.origin);
  if (seen === null) return compare(options, { note, shown, seen, request: { oldSize: 0, proof: [], note }, keys });
  const question = { from: seen.size, to: shown.size, epoch: place.epoch };
  const request = shown.size > seen.size ? await proofOf(options, question) : { oldSize: seen.size, proof: [], note };
  return compare(options, { note, shown, seen, request, keys });
}

async function compare(
  options: PullOptions,
  head: {
    readonly note: string;
    readonly shown: Checkpoint;
    readonly seen: SeenCheckpoint | null;
    readonly request: AddCheckpoint | null;
    readonly keys: readonly NoteVerifier[];
  },
): Promise<PullResult> {
  const { note, shown, seen, request, keys } = head;
  const before = seen?.size ?? 0;
  const good = { origin: shown.origin, size: shown.size, before, file: options.state.newestFile(shown.origin) };
  if (seen !== null && shown.size < seen.size) {
    const sentence = `the log of ${shown.origin} had ${seen.size} entries and now has ${shown.size}`;
    return fault(options, { kind: 'truncated', seen: seen.note, shown: note, sentence });
  }
  if (seen !== null && shown.size === seen.size && Buffer.compare(seen.root, shown.root) === 0)
    return { kind: 'unchanged', ...good };
  if (request === null) return unproven(options, { seen, request: { oldSize: before, proof: [], note }, shown });
  const answer = await options.witness.add({ ...request, note }, keys);
  if (answer.status === 'cosigned') return { kind: 'cosigned', ...good };
  if (answer.status === 'forked') {
    const sentence = `two different logs of ${shown.size} entries were signed for ${shown.origin}`;
    return { kind: 'forked', sentence, evidence: answer.evidence };
  }
  if (answer.status === 'outdated') return fail('SERVICE_UNAVAILABLE', 'another process has looked at the same time');
  return unproven(options, { seen, request: { ...request, note }, shown });
}

async function proofOf(
  { deployment }: PullOptions,
  question: { from: number; to?: number; epoch: number },
): Promise<AddCheckpoint | null> {
  try {
    return await deployment.consistency(question);
  } catch (thrown) {
    // What is no proof at all proves nothing, whatever its form.
    if (asTenonError(thrown).code === 'BAD_USER_INPUT') return null;
    throw thrown;
  }
}

function unproven(
  options: PullOptions,
  { seen, request, shown }: { seen: SeenCheckpoint | null; request: AddCheckpoint; shown: Checkpoint },
): Promise<PullFault> {
  return fault(options, {
    kind: 'unproven',
    ...(seen === null ? {} : { seen: seen.note }),
    shown: encodeAddCheckpoint(request),
    sentence: `the ${shown.size} entries of ${shown.origin} are not proven to begin with the ${seen?.size ?? 0} that were seen`,
  });
}

function gone(options: PullOptions, heads: readonly SeenCheckpoint[]): Promise<PullFault> {
  const seen = heads.map(({ note }) => note).join('\n');
  return fault(options, { kind: 'truncated', seen, sentence: 'the deployment shows no checkpoint any more' });
}

async function fault(
  { state }: PullOptions,
  { kind, sentence, seen, shown }: { kind: PullFault['kind']; sentence: string; seen?: string; shown?: string },
): Promise<PullFault> {
  const files = {
    ...(seen === undefined ? {} : { 'seen.note': seen }),
    ...(shown === undefined ? {} : { 'shown.note': shown }),
    'what.txt': `${sentence}\n`,
  };
  return { kind, sentence, evidence: await state.keepEvidence(kind.replaceAll(' ', '-'), files) };
}
