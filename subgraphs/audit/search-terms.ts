import type { AuditEvent } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import {
  eventTexts,
  fieldWord,
  foldText,
  holdsPhrase,
  OVERFLOWING_WORD,
  textWord,
  wordsOf,
  type WordField,
} from '#schema/search-words.ts';
import type { WordGroup, WordQuery } from '#kit/log-search.ts';
import type { AuditFilter } from './inputs.ts';

/** A condition on entries; `?` stands for the value. */
export interface Term {
  readonly sql: string;
  readonly value: unknown;
}

/** What a filter asks of entries. An entry fits where it fits every term and every phrase. */
export interface EntryQuery {
  /** Where entries that fit can be. */
  readonly words: WordQuery;
  readonly terms: readonly Term[];
  /** Those of the terms that ask for no text. */
  readonly fieldTerms: readonly Term[];
  /** Folded texts that stand in the values of the event. */
  readonly phrases: readonly string[];
}

/** Words that a search for text takes at most. */
const MAX_TEXT_WORDS = 20;
/** Words of a phrase, and phrases, that are looked up: the longest, which are likely to be the rarest. */
const LOOKED_UP = 4;
/** A word so long is an id, and enough by itself. */
const LONG_WORD = 12;

/** What a reading of the log is narrowed down by. */
export type ReadingFilter = AuditFilter & { readonly view?: string | null };

/** Returns the names of what is given, in snake case: how the audit log records a search whose contents stay private. */
export function filterNames(filter: ReadingFilter): string[] {
  return Object.keys(givenOf(filter))
    .map((name) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
    .sort();
}

type Given<T> = { [Name in keyof T]?: NonNullable<T[Name]> };

/** Returns the fields of a filter that ask for something. */
export function givenOf<T extends object>(filter: T): Given<T> {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value != null)) as Given<T>;
}

/** Returns what filters ask for that all have to fit; a text of too many words is BAD_USER_INPUT. */
export function entryQuery(filters: readonly AuditFilter[]): EntryQuery {
  const phrases = filters.flatMap(({ text }) => (text == null ? [] : phrasesOf(text)));
  const froms = filters.flatMap(({ from }) => (from == null ? [] : [from.getTime()]));
  const tos = filters.flatMap(({ to }) => (to == null ? [] : [to.getTime()]));
  const fields = filters.flatMap(fieldTerms);
  return {
    words: {
      groups: [...filters.flatMap(fieldGroups), ...phraseGroups(phrases)]
        .toSorted((a, b) => a.rank - b.rank)
        .map(({ group }) => group),
      from: froms.length === 0 ? null : new Date(Math.max(...froms)),
      to: tos.length === 0 ? null : new Date(Math.min(...tos)),
    },
    terms: [...fields, ...phrases.map(phraseTerm)],
    fieldTerms: fields,
    phrases,
  };
}

/** Returns what every entry is asked for in which one of these texts stands as a whole value, in small or capital letters. */
export function mentionQuery(texts: readonly string[]): EntryQuery {
  const sets = texts.map((text) => wordsOf(foldText(text)).map(textWord));
  return {
    words: { groups: [[...sets, [OVERFLOWING_WORD]]] },
    terms: [mentionTerm(texts)],
    fieldTerms: [],
    phrases: [],
  };
}

/** True where every phrase stands in the values of the event, or is held elsewhere. */
export function holdsPhrases(
  event: AuditEvent,
  phrases: readonly string[],
  isElsewhere: (phrase: string) => boolean = () => false,
): boolean {
  if (phrases.length === 0) return true;
  const texts = eventTexts(event).map(foldText);
  return phrases.every((phrase) => isElsewhere(phrase) || texts.some((text) => holdsPhrase(text, phrase)));
}

type FieldName = Exclude<keyof AuditFilter, 'text'>;

/** What the fields compare with; `?` stands for the value. */
const FIELD_TERMS: Readonly<Record<FieldName, string>> = {
  actorId: 'actor_id = any(?::text[])',
  action: `exists (select from unnest(?::text[]) as asked
    where action = asked or (right(asked, 2) = '.*' and starts_with(action, left(asked, -1))))`,
  resourceType: 'resource_type = any(?::text[])',
  resourceId: 'resource_id = any(?::text[])',
  outcome: 'outcome = any(?::text[])',
  from: 'ts >= ?',
  to: 'ts < ?',
};

/** What the index knows of the fields, those first of whose values few entries hold one. */
const FIELD_WORDS: readonly { readonly name: FieldName; readonly field: WordField; readonly rank: number }[] = [
  { name: 'resourceId', field: 'resource', rank: 0 },
  { name: 'actorId', field: 'actor', rank: 2 },
  { name: 'action', field: 'action', rank: 4 },
  { name: 'resourceType', field: 'resourceType', rank: 5 },
  { name: 'outcome', field: 'outcome', rank: 6 },
];

interface RankedGroup {
  readonly rank: number;
  readonly group: WordGroup;
}

function mentionTerm(texts: readonly string[]): Term {
  const sql = 'exists (select from unnest(?::text[]) as part where position(part in lower(entry)) > 0)';
  return { sql, value: texts.map((text) => JSON.stringify(text).toLowerCase()) };
}

function fieldTerms(filter: AuditFilter): Term[] {
  return (Object.keys(FIELD_TERMS) as FieldName[])
    .filter((name) => filter[name] != null)
    .map((name) => ({ sql: FIELD_TERMS[name], value: filter[name] }));
}

function fieldGroups(filter: AuditFilter): RankedGroup[] {
  return FIELD_WORDS.flatMap(({ name, field, rank }) => {
    const values = filter[name];
    // Nearly every run holds a success.
    if (!Array.isArray(values) || (name === 'outcome' && values.some((value) => value === 'success'))) return [];
    return [{ rank, group: values.map((value) => [fieldWord(field, value)]) }];
  });
}

/**
 * Returns the folded phrases of a text: what stands between double quotes is one; else every piece without a space is. Too
 * many words, and none, are BAD_USER_INPUT.
 */
export function phrasesOf(text: string): string[] {
  const pieces = [...foldText(text).matchAll(/"([^"]*)"|[^\s"]+/g)].map(([piece, quoted]) => (quoted ?? piece).trim());
  const phrases = [...new Set(pieces)].filter((piece) => piece !== '');
  const words = phrases.flatMap(wordsOf);
  if (words.length > MAX_TEXT_WORDS) {
    fail('BAD_USER_INPUT', 'too many words', { hint: `"text" takes at most ${MAX_TEXT_WORDS} words.` });
  }
  if (words.length === 0) fail('BAD_USER_INPUT', 'no word', { hint: '"text" needs a word: letters or digits.' });
  return phrases;
}

/** The longer the longest word, the fewer entries hold it. */
function phraseGroups(phrases: readonly string[]): RankedGroup[] {
  return phrases
    .map((phrase) => wordsOf(phrase).toSorted((a, b) => b.length - a.length))
    .filter((words) => words.length > 0)
    .toSorted(([a = ''], [b = '']) => b.length - a.length)
    .slice(0, LOOKED_UP)
    .map((words) => {
      const isLong = (words[0]?.length ?? 0) >= LONG_WORD;
      return {
        rank: isLong ? 1 : 3,
        group: [words.slice(0, isLong ? 1 : LOOKED_UP).map(textWord), [OVERFLOWING_WORD]],
      };
    });
}

/**
 * Lets through every entry in whose values the phrase can stand, at the price of some others: ASCII is found as JSON
 * writes it, and whatever else there is in an entry may be another form of what is looked for.
 */
function phraseTerm(phrase: string): Term {
  const written = JSON.stringify(phrase).slice(1, -1);
  const isAscii = /^[\0-\x7f]*$/.test(phrase);
  const isForeign = 'octet_length(entry) > length(entry)';
  return isAscii
    ? { sql: `(position(? in lower(entry collate "C")) > 0 or ${isForeign})`, value: written }
    : { sql: `(${isForeign} and ?::text is not null)`, value: written };
}
