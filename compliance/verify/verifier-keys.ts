import { fail } from '#schema/errors.ts';
import { parseVerifierKey, type NoteVerifier } from '#schema/signed-note.ts';

/** Nobody has that many; a file with more is none of keys. */
const MAX_KEYS = 1000;

/**
 * Returns the verifier keys of a text: one a line, empty lines and lines that start with `#` passed over. A line that is
 * no key, more than 1,000, or none at all is BAD_USER_INPUT. Hostile input enters here; the caller bounds the length.
 */
export function parseVerifierKeys(text: string): NoteVerifier[] {
  return verifierKeyLines(text).map(parseVerifierKey);
}

/** Returns the lines of such a text that should be keys, at most 1,000; none is BAD_USER_INPUT. */
export function verifierKeyLines(text: string): string[] {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (lines.length === 0) refuse('there is no verifier key');
  return lines.length > MAX_KEYS ? refuse(`there are more than ${MAX_KEYS} verifier keys`) : lines;
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', reason, { hint: `Keys: ${reason}.` });
}
