import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import { FILTER_LIMITS, parseFilter, parsePath, printFilter } from '../../../subgraphs/identity/scim/filter.ts';
import type { CompareOperator, Filter } from '../../../subgraphs/identity/scim/filter.ts';
import { matches } from '../../../subgraphs/identity/scim/filter-match.ts';
import { COMMON_ATTRIBUTES, GROUP, USER, findAttribute, pathOf } from '../../../subgraphs/identity/scim/schema.ts';
import type { Attribute, AttributeReference } from '../../../subgraphs/identity/scim/schema.ts';
import { CHOOSING, PEOPLE, REFUSED } from './scim-filter-cases.ts';
import { codeOf } from './scim-patch-cases.ts';

describe('a filter', () => {
  test.each(CHOOSING)('%s chooses %s', (text, people) => {
    const filter = parseFilter(text, USER);
    const chosen = PEOPLE.filter((person) => matches(filter, person)).map(({ id }) => id.replace('usr_', ''));
    expect(chosen.join(' ')).toBe(people);
  });

  test.each(CHOOSING)('%s prints as what it means', (text) => {
    const filter = parseFilter(text, USER);
    expect(parseFilter(printFilter(filter), USER)).toStrictEqual(filter);
  });

  test.each(REFUSED)('%s is refused', (text) => {
    expect(codeOf(() => parseFilter(text, USER))).toBe('INVALID_FILTER');
  });

  test('of a group knows the attributes of groups', () => {
    const group = { id: 'grp_1', displayName: 'Sales', members: [{ value: 'usr_1', type: 'User' }] };
    expect(matches(parseFilter('id eq "grp_1" and members eq "usr_1"', GROUP), group)).toBe(true);
    expect(matches(parseFilter('members[value eq "usr_2"]', GROUP), group)).toBe(false);
    expect(matches(parseFilter('displayName eq "SALES"', GROUP), group)).toBe(true);
    expect(codeOf(() => parseFilter('userName eq "x"', GROUP))).toBe('INVALID_FILTER');
  });

  test('that is refused says where and why, in words about the input alone', () => {
    const thrown = (() => {
      try {
        return parseFilter('userName eq jsmith', USER);
      } catch (error) {
        return error;
      }
    })();
    expect(thrown).toBeInstanceOf(TenonError);
    expect(thrown).toMatchObject({
      hint: 'At character 13: A value is expected: text in double quotes, a number, true, false or null.',
    });
  });

  test('puts its literals into the type of the attribute', () => {
    expect(parseFilter('active eq "True"', USER)).toMatchObject({ value: true });
    expect(parseFilter('meta.created gt "2026-01-01T01:00:00+01:00"', USER)).toMatchObject({
      value: '2026-01-01T00:00:00.000Z',
    });
  });
});

describe('a hostile filter', () => {
  const { characters, depth, terms } = FILTER_LIMITS;
  const term = 'userName pr';
  const HOSTILE: readonly [what: string, text: string][] = [
    ['4 KB of opening parentheses', '('.repeat(characters)],
    ['parentheses around nothing', '('.repeat(characters / 2) + ')'.repeat(characters / 2)],
    ['200 nested parentheses', '('.repeat(200) + term + ')'.repeat(200)],
    ['one level too many', '('.repeat(depth + 1) + term + ')'.repeat(depth + 1)],
    ['nested not', 'not ('.repeat(800)],
    [
      'one comparison too many',
      Array(terms + 1)
        .fill(term)
        .join(' or '),
    ],
    ['an open text of backslash pairs', `userName eq "${'\\a'.repeat(30)}`],
    ['an open text of 4 KB of backslashes', `userName eq "${'\\'.repeat(characters - 13)}`],
    ['an open text of line breaks', `userName eq "${'\n'.repeat(4000)}`],
    ['spaces without end', `userName${' '.repeat(4000)}x`],
    ['spaces behind every level', '('.repeat(depth) + term + ' '.repeat(4000) + ')'],
    ['opening brackets', 'emails['.repeat(500)],
    ['dots', '.'.repeat(characters)],
    ['a name of 4 KB', 'a'.repeat(characters)],
    ['too many characters', `${term}${' '.repeat(characters)}`],
    ['a megabyte', '('.repeat(1_000_000)],
  ];

  test.each(HOSTILE)('of %s is refused at once', (_, text) => {
    const start = performance.now();
    expect(codeOf(() => parseFilter(text, USER))).toBe('INVALID_FILTER');
    expect(codeOf(() => parsePath(text, USER))).toBe('INVALID_PATH');
    expect(performance.now() - start).toBeLessThan(50);
  });

  test('at the bounds is taken', () => {
    expect(parseFilter('('.repeat(depth) + term + ')'.repeat(depth), USER)).toMatchObject({ kind: 'present' });
    expect(parseFilter(Array(terms).fill(term).join(' or '), USER)).toMatchObject({ kind: 'or' });
    expect(parseFilter(`userName eq "${'x'.repeat(characters - 14)}"`, USER)).toMatchObject({ kind: 'compare' });
  });
});

describe('a path', () => {
  test.each([
    ['userName', 'userName'],
    ['NAME.GIVENNAME', 'name.givenName'],
    ['urn:ietf:params:scim:schemas:core:2.0:User:emails.value', 'emails.value'],
    ['manager', 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager'],
    [
      'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value',
      'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value',
    ],
    ['members.$ref', undefined],
    ['name.givenName.x', undefined],
    ['emails.', undefined],
    ['.value', undefined],
    ['userName eq "x"', undefined],
    ['', undefined],
  ])('%s names %s', (text, name) => {
    if (name === undefined) {
      expect(codeOf(() => parsePath(text, USER))).toBe('INVALID_PATH');
      return;
    }
    const path = parsePath(text, USER);
    expect(path.kind === 'attribute' && pathOf(path.target)).toBe(name);
  });

  test('may select elements and name one of their sub-attributes', () => {
    const emails = findAttribute(USER, 'emails');
    const value = findAttribute(USER, 'emails.value');
    const filter = {
      kind: 'compare',
      target: findAttribute(USER, 'emails.type'),
      operator: 'eq',
      value: 'a].b',
    };
    expect(parsePath('emails[type eq "a].b"]', USER)).toStrictEqual({ kind: 'attribute', target: emails, filter });
    expect(parsePath('emails[type eq "a].b"].value', USER)).toStrictEqual({ kind: 'attribute', target: value, filter });
  });

  test('may be a schema', () => {
    expect(parsePath('urn:ietf:params:scim:schemas:core:2.0:user', USER)).toStrictEqual({
      kind: 'schema',
      schema: USER.schema,
    });
  });
});

describe('every filter', () => {
  test('is the parsing of its print', () => {
    fc.assert(
      fc.property(filters(), (filter) => {
        const text = printFilter(filter);
        fc.pre(text.length <= FILTER_LIMITS.characters);
        expect(parseFilter(text, USER)).toStrictEqual(filter);
      }),
      { numRuns: 500 },
    );
  });

  test('matches any value or its negation does, without throwing', () => {
    const resources = fc.oneof(
      fc.anything(),
      fc.record({ emails: fc.anything(), name: fc.anything() }),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(filters(), resources, (filter, resource) => {
        expect(matches({ kind: 'not', term: filter }, resource)).toBe(!matches(filter, resource));
      }),
      { numRuns: 500 },
    );
  });

  test('is parsed or refused, whatever the text', () => {
    const pieces = fc.constantFrom(
      'userName',
      'emails',
      '[',
      ']',
      '(',
      ')',
      ' ',
      '"',
      '\\',
      'not',
      'eq',
      'pr',
      'and',
      '.',
      'é',
    );
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(pieces, { maxLength: 60 }).map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(texts, (text) => {
        expect([undefined, 'INVALID_FILTER']).toContain(codeOf(() => parseFilter(text, USER)));
        expect([undefined, 'INVALID_PATH']).toContain(codeOf(() => parsePath(text, USER)));
      }),
      { numRuns: 2000 },
    );
  });
});

const STORABLE = fc.string({ unit: 'binary', maxLength: 12 }).filter((text) => !/\0|\p{Surrogate}/u.test(text));
const PLAIN = { noNullPrototype: true } as const;
const TEXT_OPERATORS: readonly CompareOperator[] = ['eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le'];
const ORDER_OPERATORS: readonly CompareOperator[] = ['eq', 'ne', 'gt', 'ge', 'lt', 'le'];

function filters(): fc.Arbitrary<Filter> {
  const tops: AttributeReference[] = [...COMMON_ATTRIBUTES, ...USER.schema.attributes]
    .map((attribute): AttributeReference => ({ attribute }))
    .concat(
      USER.extensions.flatMap(({ id, attributes }) => attributes.map((attribute) => ({ attribute, extension: id }))),
    )
    .filter(({ attribute }) => attribute.returned !== 'never' && attribute.name !== 'schemas');
  const leaves = tops.flatMap((top) => [top, ...subsOf(top)]);
  const scoped = tops
    .filter(({ attribute }) => attribute.multiValued)
    .map((target) => tree(subsOf(target)).map((term): Filter => ({ kind: 'element', target, term })));
  return tree(leaves, scoped);
}

function subsOf(target: AttributeReference): AttributeReference[] {
  const { attribute, extension } = target;
  return (attribute.subAttributes ?? []).map((sub) =>
    extension === undefined ? { attribute, sub } : { attribute, sub, extension },
  );
}

function tree(
  targets: readonly AttributeReference[],
  more: readonly fc.Arbitrary<Filter>[] = [],
): fc.Arbitrary<Filter> {
  const present = fc.constantFrom(...targets).map((target): Filter => ({ kind: 'present', target }));
  const compare = fc.constantFrom(...targets.filter(isScalar)).chain(comparisons);
  const { filter } = fc.letrec<{ filter: Filter }>((tie) => ({
    filter: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      compare,
      present,
      ...more,
      fc.record({ kind: fc.constant('not' as const), term: tie('filter') }, PLAIN),
      fc.record(
        {
          kind: fc.constantFrom('and' as const, 'or' as const),
          terms: fc.array(tie('filter'), { minLength: 2, maxLength: 3 }),
        },
        PLAIN,
      ),
    ),
  }));
  return filter;
}

function isScalar({ attribute, sub }: AttributeReference): boolean {
  return (sub ?? attribute).type !== 'complex';
}

function comparisons(target: AttributeReference): fc.Arbitrary<Filter> {
  const { type }: Attribute = target.sub ?? target.attribute;
  const [operators, values] =
    type === 'boolean'
      ? [ORDER_OPERATORS.slice(0, 2), fc.boolean()]
      : type === 'dateTime'
        ? [
            ORDER_OPERATORS,
            fc
              .date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })
              .map((date) => date.toISOString()),
          ]
        : [TEXT_OPERATORS, STORABLE];
  return fc.record(
    {
      kind: fc.constant('compare' as const),
      target: fc.constant(target),
      operator: fc.constantFrom(...operators),
      value: values,
    },
    PLAIN,
  );
}
