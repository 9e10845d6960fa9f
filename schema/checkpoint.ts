import { fail } from './errors.ts';
import { decodeBase64, isKeyName } from './signed-note.ts';

/** The head of a log at one size: the text that a checkpoint's signatures cover (C2SP tlog-checkpoint). */
export interface Checkpoint {
  /** Names the log: `<deployment>/audit/<tenant id>/<epoch>`. */
  readonly origin: string;
  /** The number of leaves. */
  readonly size: number;
  /** The root of RFC 6962 over them, 32 bytes. */
  readonly root: Uint8Array;
}

const SIZE = /^(?:0|[1-9][0-9]{0,15})$/;
const ROOT_BYTES = 32;

/**
 * Returns the note text of a checkpoint, ready for `signNote`. An origin with white space or a plus is BAD_USER_INPUT,
 * so no checkpoint can be read as anything else that the same key signs.
 */
export function encodeCheckpoint({ origin, size, root }: Checkpoint): string {
  if (!isKeyName(origin)) refuse('the origin is empty or has white space, a control or a plus');
  if (!Number.isSafeInteger(size) || size < 0) refuse('the size is no count');
  if (root.length !== ROOT_BYTES) refuse('the root is not 32 bytes long');
  return `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`;
}

/**
 * Returns the checkpoint inside a note text whose signatures were verified. Extension lines are opaque by the
 * specification: they must not be empty and are passed over. All faults are BAD_USER_INPUT.
 */
export function parseCheckpoint(text: string): Checkpoint {
  if (!text.endsWith('\n')) refuse('it does not end in a newline');
  const lines = text.slice(0, -1).split('\n');
  const [origin = '', sizeText = '', rootText = ''] = lines;
  if (lines.includes('')) refuse('a line is empty');
  const size = SIZE.test(sizeText) ? Number(sizeText) : Number.NaN;
  if (!Number.isSafeInteger(size)) refuse('the size is no decimal count');
  const root = decodeBase64(rootText);
  if (root === null || root.length !== ROOT_BYTES) refuse('the root is not the base64 of 32 bytes');
  return { origin, size, root };
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `checkpoint: ${reason}`, { hint: `Checkpoint: ${reason}.` });
}
