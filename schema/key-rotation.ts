import { fail } from './errors.ts';
import {
  encodeVerifierKey,
  isKeyName,
  noteVerifier,
  parseNote,
  parseVerifierKey,
  signNote,
  verifyNote,
  type NoteSigner,
  type NoteVerifier,
} from './signed-note.ts';

/** That a deployment signs with another key from a moment on; old and new key both say so. */
export interface KeyRotation {
  readonly deployment: string;
  /** Counts the rotations of the deployment from 1. */
  readonly number: number;
  readonly oldKey: NoteVerifier;
  readonly newKey: NoteVerifier;
  readonly at: Date;
}

/** Which keys are believed, and what spoke against it. */
export interface TrustedKeys {
  /** Those given, then those that statements lead to, in the order of the rotations. */
  readonly keys: readonly NoteVerifier[];
  /** The rotations that were followed. */
  readonly followed: readonly KeyRotation[];
  /** One sentence for each statement that is malformed, fails, or contradicts another. */
  readonly faults: readonly string[];
}

const MAX_STATEMENTS = 1000;
const STATEMENT =
  /^([^\n]+)\/keys\/([1-9][0-9]{0,8})\n([^\n]+)\n([^\n]+)\n(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z)\n$/u;

/** Returns the statement of a rotation as a signed note, signed by both keys; both carry the deployment's name. */
export function signRotation(rotation: {
  readonly number: number;
  readonly oldKey: NoteSigner;
  readonly newKey: NoteSigner;
  readonly at: Date;
}): string {
  const { number, oldKey, newKey, at } = rotation;
  if (oldKey.name !== newKey.name) refuse('the keys are of two deployments');
  const [before, after] = [oldKey, newKey].map(({ name, privateKey }) =>
    encodeVerifierKey(noteVerifier(name, privateKey)),
  );
  const text = `${oldKey.name}/keys/${number}\n${before}\n${after}\n${at.toISOString()}\n`;
  const note = signNote(text, oldKey, newKey);
  verifyRotation(note);
  return note;
}

/**
 * Returns what a statement says, having verified that both keys in it have signed it. That the old one is to be trusted
 * is not said by that. A malformed statement, a missing or failing signature are BAD_USER_INPUT.
 */
export function verifyRotation(note: string | Uint8Array): KeyRotation {
  const rotation = statementIn(parseNote(note).text);
  const { deployment, oldKey, newKey } = rotation;
  if (oldKey.name !== deployment || newKey.name !== deployment) refuse('the keys are of another deployment');
  if (encodeVerifierKey(oldKey) === encodeVerifierKey(newKey)) refuse('the key is the same');
  if (verifyNote(note, [oldKey, newKey]).signers.length !== 2) refuse('not both keys have signed it');
  return rotation;
}

function statementIn(text: string): KeyRotation {
  const [, deployment = '', number = '', oldKey = '', newKey = '', time = ''] = STATEMENT.exec(text) ?? [];
  const at = new Date(time);
  if (!isKeyName(deployment) || Number.isNaN(at.getTime())) refuse('it is no statement of a rotation');
  return { deployment, number: Number(number), oldKey: parseVerifierKey(oldKey), newKey: parseVerifierKey(newKey), at };
}

/**
 * Returns the keys that the given ones lead to through statements, of whatever order. A statement from a key that is not
 * trusted is passed over; two successors of one key contradict each other, and neither is followed. At most 1,000
 * statements are looked at.
 */
export function trustedKeys(given: readonly NoteVerifier[], statements: readonly (string | Uint8Array)[]): TrustedKeys {
  const faults: string[] = [];
  if (statements.length > MAX_STATEMENTS) faults.push(`there are more than ${MAX_STATEMENTS} statements of rotations`);
  const rotations = new Map<string, KeyRotation[]>();
  for (const statement of statements.slice(0, MAX_STATEMENTS)) {
    const rotation = readable(statement, faults);
    if (rotation !== null) addSuccessor(rotations, rotation);
  }
  const keys = new Map(given.map((key) => [encodeVerifierKey(key), key]));
  const followed: KeyRotation[] = [];
  for (const text of keys.keys()) {
    // A Map goes on with what is added on the way.
    const successors = rotations.get(text) ?? [];
    const [next, other] = successors;
    if (other !== undefined)
      faults.push(`key ${keys.get(text)?.keyId} has two successors, ${next?.newKey.keyId} and ${other.newKey.keyId}`);
    else if (next !== undefined) {
      followed.push(next);
      keys.set(encodeVerifierKey(next.newKey), next.newKey);
    }
  }
  return { keys: [...keys.values()], followed, faults };
}

/** Returns statements as one text, as packs carry them: parted by empty lines. */
export function encodeRotations(statements: readonly string[]): string {
  return statements.join('\n');
}

/** Returns the statements inside such a text, none of them verified; the caller bounds its length. */
export function parseRotations(text: string): string[] {
  // A note has an empty line of its own, before its signatures.
  const parts = text.trim().split(/\n\n(?!— )/u);
  return parts.filter((part) => part !== '').map((part) => `${part}\n`);
}

function readable(statement: string | Uint8Array, faults: string[]): KeyRotation | null {
  try {
    return verifyRotation(statement);
  } catch (error) {
    faults.push(error instanceof Error ? error.message : 'a statement cannot be read');
    return null;
  }
}

/** The same successor said twice is said once. */
function addSuccessor(rotations: Map<string, KeyRotation[]>, rotation: KeyRotation): void {
  const key = encodeVerifierKey(rotation.oldKey);
  const known = rotations.get(key) ?? [];
  if (known.some(({ newKey }) => encodeVerifierKey(newKey) === encodeVerifierKey(rotation.newKey))) return;
  rotations.set(key, [...known, rotation]);
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `key rotation: ${reason}`, { hint: `Rotation of a key: ${reason}.` });
}
