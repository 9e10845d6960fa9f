import { parseCheckpoint, type Checkpoint } from '#schema/checkpoint.ts';
import { cosign, cosignatureVerifier, encodeCosignerKey, verifyCosignatures } from '#schema/cosignature.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { EMPTY_ROOT, verifyConsistency } from '#schema/merkle.ts';
import { encodeSignatureLine, parseNote, verifyNote, type NoteSigner, type NoteVerifier } from '#schema/signed-note.ts';
import { isOriginOf } from '#schema/witness-policy.ts';
import type { AddCheckpoint } from './add-checkpoint.ts';
import type { WitnessState } from './state.ts';

/** Sees that a log only grows, and says so by cosigning its checkpoints (C2SP tlog-witness). */
export interface Witness {
  /** For those who are to trust it. */
  readonly verifierKey: string;
  /**
   * Cosigns a checkpoint that one of the keys has signed and that continues what was cosigned before; remembers it durably
   * before it answers. Of two requests that would continue the same checkpoint only one is cosigned.
   */
  add(request: AddCheckpoint, keys: readonly NoteVerifier[]): Promise<WitnessAnswer>;
  /** Returns the newest checkpoint of a log that was cosigned; null where none was. A damaged one is CONFLICT. */
  seen(origin: string): Promise<SeenCheckpoint | null>;
}

/** A checkpoint that was cosigned, and its note with the cosignature. */
export interface SeenCheckpoint extends Checkpoint {
  readonly note: string;
}

/** What became of a request. */
export type WitnessAnswer =
  | {
      readonly status: 'cosigned';
      readonly cosignature: string;
      readonly checkpoint: Checkpoint;
      readonly before: number;
    }
  /** The old size is not that of the newest cosigned checkpoint, which is `size`. */
  | { readonly status: 'outdated'; readonly size: number }
  /** Another root of the same size was cosigned: both notes are kept, each signed by the log. */
  | { readonly status: 'forked'; readonly size: number; readonly evidence: string }
  /** The proof does not lead from the one tree to the other. */
  | { readonly status: 'unproven' }
  | { readonly status: 'unknown log' }
  | { readonly status: 'unknown key' }
  | { readonly status: 'malformed'; readonly reason: string };

/** What a witness needs. */
export interface WitnessOptions {
  readonly state: WitnessState;
  readonly key: NoteSigner;
  readonly clock: () => Date;
}

/** Returns a witness over a state. */
export function createWitness(options: WitnessOptions): Witness {
  return {
    verifierKey: encodeCosignerKey(cosignatureVerifier(options.key)),
    add: (request, keys) => add(options, request, keys),
    seen: async (origin) => (await seenOf(options, origin))?.checkpoint ?? null,
  };
}

async function add(
  options: WitnessOptions,
  request: AddCheckpoint,
  keys: readonly NoteVerifier[],
): Promise<WitnessAnswer> {
  const checkpoint = readCheckpoint(request.note);
  if (typeof checkpoint === 'string') return { status: 'malformed', reason: checkpoint };
  const known = keys.filter(({ name }) => isOriginOf(name, checkpoint.origin));
  if (known.length === 0) return { status: 'unknown log' };
  const note = signedPart(request.note, known);
  if (note === null) return { status: 'unknown key' };
  if (request.oldSize > checkpoint.size) return { status: 'malformed', reason: 'the old size is above the new one' };
  const seen = await seenOf(options, checkpoint.origin);
  const size = seen?.checkpoint.size ?? 0;
  if (request.oldSize !== size) return { status: 'outdated', size };
  if (seen !== null && size === checkpoint.size && Buffer.compare(seen.checkpoint.root, checkpoint.root) !== 0) {
    const files = { 'seen.note': seen.checkpoint.note, 'shown.note': note };
    return { status: 'forked', size, evidence: await options.state.keepEvidence('forked', files) };
  }
  if (!continues(request, checkpoint, seen?.checkpoint ?? null)) return { status: 'unproven' };
  return remember(options, { note, checkpoint, seen });
}

interface Known {
  readonly head: Awaited<ReturnType<WitnessState['read']>>;
  readonly checkpoint: SeenCheckpoint;
}

/** The own cosignature shows that nobody has put another checkpoint into its place. */
async function seenOf({ state, key }: WitnessOptions, origin: string): Promise<Known | null> {
  const head = await state.read(origin);
  if (head === null) return null;
  try {
    const { checkpoint, cosignatures } = verifyCosignatures(head.note, [cosignatureVerifier(key)]);
    if (cosignatures.length === 1 && checkpoint.origin === origin)
      return { head, checkpoint: { ...checkpoint, note: head.note } };
  } catch {
    // Told below: a note that cannot be read and one that is not ours are the same.
  }
  return fail('CONFLICT', `the stored checkpoint of ${origin} is not what this witness has cosigned`);
}

function continues({ oldSize, proof }: AddCheckpoint, checkpoint: Checkpoint, seen: Checkpoint | null): boolean {
  return verifyConsistency({
    oldSize,
    newSize: checkpoint.size,
    oldRoot: seen?.root ?? EMPTY_ROOT,
    newRoot: checkpoint.root,
    proof,
  });
}

async function remember(
  options: WitnessOptions,
  { note, checkpoint, seen }: { note: string; checkpoint: Checkpoint; seen: Known | null },
): Promise<WitnessAnswer> {
  const { state, key, clock } = options;
  const cosignature = cosign(note, key, clock());
  if (await state.advance(checkpoint.origin, seen?.head ?? null, note + cosignature))
    return { status: 'cosigned', cosignature, checkpoint, before: seen?.checkpoint.size ?? 0 };
  return { status: 'outdated', size: (await seenOf(options, checkpoint.origin))?.checkpoint.size ?? 0 };
}

function readCheckpoint(note: string): Checkpoint | string {
  try {
    return parseCheckpoint(parseNote(note).text);
  } catch (thrown) {
    return asTenonError(thrown).hint ?? 'the checkpoint cannot be read';
  }
}

/** The note with the signatures of known keys alone, or null without one: what strangers put below it is not kept. */
function signedPart(note: string, keys: readonly NoteVerifier[]): string | null {
  try {
    const { signers } = verifyNote(note, keys);
    const { text, signatures } = parseNote(note);
    const lines = signers.map(({ name, keyId }) =>
      signatures.find((line) => line.name === name && line.keyId === keyId),
    );
    return `${text}\n${lines.map((line) => (line === undefined ? '' : encodeSignatureLine(line))).join('')}`;
  } catch {
    return null;
  }
}
