import type { AuditEntry, AuditEvent } from './audit-event.ts';
import type { JsonValue } from './canonical-json.ts';
import { isSealedField } from './sealed-field.ts';

/** The fields of an entry that a filter compares as a whole. */
export type WordField = 'actor' | 'action' | 'resourceType' | 'resource' | 'outcome';

/**
 * The most different words of text that one entry brings into the index. An entry with more stands under
 * `OVERFLOWING_WORD`, so that a search for text looks at it in any case.
 */
export const MAX_TEXT_WORDS = 512;

/** Scripts that are written without spaces: each of their characters is a word. */
const SINGLE = String.raw`\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}\p{scx=Myanmar}`;
const WORD = new RegExp(String.raw`(?=[\p{L}\p{N}\p{M}])(?:[${SINGLE}]|(?:(?![${SINGLE}])[\p{L}\p{N}\p{M}])+)`, 'gu');
const WORD_CHARACTER = /^[\p{L}\p{N}\p{M}]$/u;
const SINGLE_CHARACTER = new RegExp(`^[${SINGLE}]$`, 'u');
const NON_ASCII = /[^\0-\x7f]/;

/** FNV-1a begins with another number for every field, so that equal texts of two fields are two words. */
const SEEDS: Readonly<Record<WordField | 'text', number>> = {
  text: 0x811c9dc5,
  actor: 0x1b873593,
  action: 0x2545f491,
  resourceType: 0x3c6ef372,
  resource: 0x4f1bbcdc,
  outcome: 0x5bd1e995,
};

/** The word of entries that have more text than the index takes. */
export const OVERFLOWING_WORD = hashOf('overflowing', SEEDS.outcome);

/** Returns the text as it is compared: compatible forms and small and capital letters are the same (Unicode NFKC). */
export function foldText(text: string): string {
  return NON_ASCII.test(text) ? text.normalize('NFKC').toLowerCase() : text.toLowerCase();
}

/** Returns the words of a folded text: runs of letters and digits; in scripts without spaces every character is one. */
export function wordsOf(folded: string): string[] {
  return folded.match(WORD) ?? [];
}

/** True where the folded text holds the folded phrase so that neither end of it lies within a word. */
export function holdsPhrase(folded: string, phrase: string): boolean {
  for (let at = folded.indexOf(phrase); at !== -1; at = folded.indexOf(phrase, at + 1)) {
    if (isBoundary(folded, at) && isBoundary(folded, at + phrase.length)) return true;
  }
  return false;
}

/** Returns the hash of a word of text, which is folded. */
export function textWord(word: string): number {
  return hashOf(word, SEEDS.text);
}

/** Returns the hash of a field's value; for an action also of a pattern such as `identity.*`. */
export function fieldWord(field: WordField, value: string): number {
  return hashOf(value, SEEDS[field]);
}

/** Returns the patterns that an action fits: for `a.b.c` they are `a.*` and `a.b.*`. */
export function actionPatterns(action: string): string[] {
  const patterns: string[] = [];
  for (let dot = action.indexOf('.'); dot !== -1; dot = action.indexOf('.', dot + 1)) {
    patterns.push(`${action.slice(0, dot)}.*`);
  }
  return patterns;
}

/**
 * Returns the hashes of an entry's words: its fields, and the words of every text and number in its event but for the
 * tenant's id and the time. What is sealed has no words.
 */
export function entryWords({ outcome, event }: Pick<AuditEntry, 'outcome' | 'event'>): Set<number> {
  const words = new Set<number>();
  for (const value of eventTexts(event)) addTextWords(value, words);
  const overflows = words.size > MAX_TEXT_WORDS;
  if (overflows) words.clear();
  if (overflows) words.add(OVERFLOWING_WORD);
  const { actor, action, resource } = event;
  if (actor.id !== null) words.add(fieldWord('actor', actor.id));
  words.add(fieldWord('action', action));
  for (const pattern of actionPatterns(action)) words.add(fieldWord('action', pattern));
  words.add(fieldWord('resourceType', resource.type));
  words.add(fieldWord('resource', resource.id));
  words.add(fieldWord('outcome', outcome));
  return words;
}

/** Returns the texts of an event that a search for text looks at, as they are written there. */
export function eventTexts(event: AuditEvent): string[] {
  const { actor, action, resource } = event;
  const texts = [event.id, actor.type, action, resource.type, resource.id];
  for (const value of [actor.id, actor.ip, actor.ua, resource.name, event.session_id, event.request_id]) {
    addTexts(value, texts);
  }
  for (const value of Object.values(event.context)) addTexts(value, texts);
  return texts;
}

function addTexts(value: JsonValue, texts: string[]): void {
  if (typeof value === 'string') texts.push(value);
  else if (typeof value === 'number') texts.push(String(value));
  else if (Array.isArray(value)) for (const item of value as readonly JsonValue[]) addTexts(item, texts);
  else if (typeof value === 'object' && value !== null && !isSealedField(value)) {
    for (const item of Object.values(value)) addTexts(item, texts);
  }
}

/** As `textWord` of each of the `wordsOf` the folded text; ASCII, which is nearly all there is, without making them. */
function addTextWords(text: string, words: Set<number>): void {
  let hash = SEEDS.text;
  let isInside = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0x7f) {
      for (const word of wordsOf(foldText(text))) words.add(textWord(word));
      return;
    }
    if (isAsciiWordCode(code)) {
      hash = Math.imul(hash ^ (code >= 65 && code <= 90 ? code + 32 : code), 0x01000193);
      isInside = true;
    } else if (isInside) {
      words.add(finish(hash));
      hash = SEEDS.text;
      isInside = false;
    }
  }
  if (isInside) words.add(finish(hash));
}

function isAsciiWordCode(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 48 && code <= 57) || (code >= 65 && code <= 90);
}

function hashOf(text: string, seed: number): number {
  let hash = seed;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return finish(hash);
}

/** FNV alone leaves the high bits, which choose the partition, uneven (finalizer of MurmurHash3). */
function finish(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function isBoundary(text: string, at: number): boolean {
  if (at === 0 || at === text.length) return true;
  const [before, after] = [characterBefore(text, at), String.fromCodePoint(text.codePointAt(at) ?? 0)];
  if (!WORD_CHARACTER.test(before) || !WORD_CHARACTER.test(after)) return true;
  return SINGLE_CHARACTER.test(before) || SINGLE_CHARACTER.test(after);
}

function characterBefore(text: string, at: number): string {
  const isPair = at > 1 && /^[\uD800-\uDBFF][\uDC00-\uDFFF]$/.test(text.slice(at - 2, at));
  return text.slice(isPair ? at - 2 : at - 1, at);
}
