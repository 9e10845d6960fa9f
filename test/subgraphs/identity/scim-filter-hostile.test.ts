import { describe, expect, it } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import { parseFilter, parsePath } from '../../../subgraphs/identity/scim/filter.ts';
import { matches } from '../../../subgraphs/identity/scim/filter-match.ts';
import { compileFilter } from '../../../subgraphs/identity/scim/filter-sql.ts';
import { USER } from '../../../subgraphs/identity/scim/schema.ts';

const MAX = 4096;
const MAX_CPU_MS = 5;
const filled = (part: string, length = MAX): string => part.repeat(Math.ceil(length / part.length)).slice(0, length);
const within = (start: string, part: string, end: string): string =>
  `${start}${filled(part, MAX - start.length - end.length)}${end}`;
const terms = (term: string, count: number, word = ' or '): string =>
  Array.from({ length: count }, () => term).join(word);

/** Filters that have stopped other servers, and relatives of theirs; each of 4096 characters unless it cannot be. */
const HOSTILE: readonly [name: string, filter: string][] = [
  ['an open string of escapes', within('userName eq "', '\\a', '')],
  ['an open string of backslashes', within('userName eq "', '\\', '')],
  ['an open string of escaped quotes', within('userName eq "', '\\"', '')],
  ['an open string of unicode escapes', within('userName eq "', '\\u0041', '')],
  ['a string of unicode escapes', `userName eq "${'\\u0041'.repeat(680)}"`],
  ['a string of line breaks', within('userName eq "', '\n', '"')],
  ['a long string', within('userName eq "', 'x', '"')],
  ['a string of wildcards', within('userName co "', '%_', '"')],
  ['a string of quotes alone', filled('"')],
  ['open brackets', filled('(')],
  ['closed brackets', filled(')')],
  ['pairs of brackets', filled('()')],
  ['nested brackets around a term', `${'('.repeat(2040)}title pr${')'.repeat(2040)}`],
  ['negations within each other', `${'not ('.repeat(680)}title pr${')'.repeat(680)}`],
  ['negations without a term', filled('not ')],
  ['open element brackets', filled('emails[')],
  ['element brackets within each other', `${'emails['.repeat(400)}type pr${']'.repeat(400)}`],
  ['spaces', filled(' ')],
  ['spaces between the parts of a term', within('userName', ' ', 'eq "x"')],
  ['spaces before a joining word that never comes', within('title pr', ' ', 'an')],
  ['a long name', filled('a')],
  ['a long name of dots', filled('a.')],
  ['a long name of colons', filled('urn:')],
  ['a long operator', within('userName ', 'eq', ' "x"')],
  ['a long word for a literal', within('active eq ', 'true', '')],
  ['a long number', within('active eq ', '9', '')],
  ['more terms than are taken', terms('title pr', 340)],
  ['a dangling join', within('title pr and ', 'title pr and ', '')],
  ['sixty-four comparisons', terms(`userName co "${'x'.repeat(45)}"`, 64)],
  ['sixty-four comparisons of elements', terms(`emails[value co "${'y'.repeat(30)}"]`, 64)],
  ['one element filter of sixty-four', `emails[${terms(`value co "${'z'.repeat(40)}"`, 64)}]`],
  ['alternations of both words', terms('title pr and not (active eq true)', 30)],
  ['names of prototypes', terms('__proto__.constructor pr', 140)],
  ['characters beyond the plane', within('userName eq "', '\u{1f600}', '"')],
  ['a NUL and half pairs', within('userName eq "', '\\u0000\\ud800', '"')],
  ['a date that is none', within('meta.created gt "', '2026-01-01T', '"')],
];

const CROWD = {
  userName: 'x'.repeat(1024),
  emails: Array.from({ length: 100 }, (_, index) => ({ value: `${'y'.repeat(500)}${index}`, type: 'work' })),
};
const COLUMNS = { resource: 'u.resource', columns: {} };

function use(filter: string): void {
  try {
    const parsed = parseFilter(filter, USER);
    compileFilter(parsed, COLUMNS);
    matches(parsed, CROWD);
  } catch (error) {
    if (!(error instanceof TenonError)) throw error;
  }
}

function cpuMs(run: () => void, times: number): number {
  const before = process.cpuUsage();
  for (let time = 0; time < times; time++) run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / times;
}

describe('a filter of 4 KB', () => {
  it.each(HOSTILE)('costs little where it is %s', (_, filter) => {
    expect(filter.length).toBeLessThanOrEqual(MAX);
    cpuMs(() => use(filter), 3);
    expect(cpuMs(() => use(filter), 20)).toBeLessThan(MAX_CPU_MS);
  });

  it.each(HOSTILE)('costs as little as the path of a PATCH where it is %s', (_, filter) => {
    const path = `emails[${filter}].value`;
    const read = () => {
      try {
        parsePath(path, USER);
      } catch (error) {
        if (!(error instanceof TenonError)) throw error;
      }
    };
    cpuMs(read, 3);
    expect(cpuMs(read, 20)).toBeLessThan(MAX_CPU_MS);
  });

  it('leaves the prototypes alone', () => {
    for (const [, filter] of HOSTILE) use(filter);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});
