import { fail } from '#schema/errors.ts';
import { decodeBase64 } from '#schema/signed-note.ts';

/** What a witness is asked to cosign: a checkpoint, and the proof that it continues the one of `oldSize` entries. */
export interface AddCheckpoint {
  readonly oldSize: number;
  /** RFC 6962 section 2.1.2. */
  readonly proof: readonly Buffer[];
  /** The signed note, verbatim. */
  readonly note: string;
}

/** A note of 16 signatures and 63 hashes are far smaller. */
export const MAX_REQUEST_BYTES = 64 * 1024;

const OLD_LINE = /^old (0|[1-9][0-9]{0,15})$/;
const MAX_PROOF_LINES = 63;
const HASH_BYTES = 32;

/** Returns the body of an add-checkpoint request (C2SP tlog-witness). */
export function encodeAddCheckpoint({ oldSize, proof, note }: AddCheckpoint): string {
  return `${[`old ${oldSize}`, ...proof.map((hash) => hash.toString('base64'))].join('\n')}\n\n${note}`;
}

/**
 * Returns the parts of such a body without verifying any. Hostile input enters here: more than 64 KiB, more than 63
 * hashes, and every departure from the format are BAD_USER_INPUT.
 */
export function parseAddCheckpoint(body: string | Uint8Array): AddCheckpoint {
  const text = utf8(body);
  const split = text.indexOf('\n\n');
  if (split < 0) refuse('it has no blank line before the checkpoint');
  const [first = '', ...lines] = text.slice(0, split).split('\n', MAX_PROOF_LINES + 2);
  const oldSize = Number(OLD_LINE.exec(first)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(oldSize)) refuse('its first line is not the old size');
  if (lines.length > MAX_PROOF_LINES) refuse(`it has more than ${MAX_PROOF_LINES} hashes`);
  return { oldSize, proof: lines.map(hashOf), note: text.slice(split + 2) };
}

function utf8(body: string | Uint8Array): string {
  if (Buffer.byteLength(body) > MAX_REQUEST_BYTES) refuse(`it is longer than ${MAX_REQUEST_BYTES} bytes`);
  if (typeof body === 'string') return body;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch (cause) {
    return refuse('it is not UTF-8', cause);
  }
}

function hashOf(line: string): Buffer {
  const hash = decodeBase64(line);
  return hash?.length === HASH_BYTES ? hash : refuse('a line of the proof is not the base64 of 32 bytes');
}

function refuse(reason: string, cause?: unknown): never {
  return fail('BAD_USER_INPUT', `add-checkpoint: ${reason}`, { hint: `Request: ${reason}.`, cause });
}
