import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseFilter, printFilter } from '../../../subgraphs/identity/scim/filter.ts';
import { matches } from '../../../subgraphs/identity/scim/filter-match.ts';
import { GROUP, USER } from '../../../subgraphs/identity/scim/schema.ts';
import { ENTERPRISE_URN, type ScimBody } from './identity-platform.ts';
import { openFilterWorld, type FilterWorld } from './scim-filter-world.ts';

let filters: FilterWorld;
beforeAll(async () => {
  filters = await openFilterWorld();
});

const TEXTS = [
  '',
  'a',
  'Ann',
  'example',
  '@',
  '.',
  '%',
  '_',
  "'",
  "O'Neill",
  '\\',
  '"',
  'müller',
  'DÖRTE',
  'guide',
  'ext-1',
  'EXT-2',
  'work',
  'Home',
  'Sales',
  'R&D',
  '] or (',
  '\u{1f600}',
];
const TEXT_OPERATORS = ['eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le', 'EQ', 'Co'];

const literal = fc
  .oneof(fc.constantFrom(...TEXTS), fc.string({ unit: 'grapheme-ascii', maxLength: 4 }))
  .map((text) => JSON.stringify(text));
const comparison = (names: readonly string[]) =>
  fc.tuple(fc.constantFrom(...names), fc.constantFrom(...TEXT_OPERATORS), literal).map((parts) => parts.join(' '));
const truth = (names: readonly string[]) =>
  fc
    .tuple(fc.constantFrom(...names), fc.constantFrom('eq', 'ne'), fc.constantFrom('true', 'false', '"True"'))
    .map((parts) => parts.join(' '));
const presence = (names: readonly string[]) => fc.constantFrom(...names).map((name) => `${name} pr`);
const instant = fc
  .tuple(
    fc.constantFrom('meta.created', 'meta.lastModified'),
    fc.constantFrom('eq', 'gt', 'lt', 'ge'),
    fc.constantFrom('"2020-01-01T00:00:00Z"', '"2999-01-01T00:00:00+05:00"'),
  )
  .map((parts) => parts.join(' '));

function compound(leaf: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.letrec<{ filter: string }>((tie) => ({
    filter: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      leaf,
      fc
        .tuple(tie('filter'), fc.constantFrom('and', 'or', 'AND'), tie('filter'))
        .map(([left, word, right]) => `(${left}) ${word} (${right})`),
      fc
        .tuple(leaf, fc.constantFrom('and', 'or'), leaf, fc.constantFrom('and', 'or'), leaf)
        .map((parts) => parts.join(' ')),
      tie('filter').map((filter) => `not (${filter})`),
    ),
  })).filter;
}

const element = compound(
  fc.oneof(comparison(['value', 'type', 'display']), truth(['primary']), presence(['value', 'type', 'primary'])),
).map((filter) => `emails[${filter}]`);
const USER_FILTER = compound(
  fc.oneof(
    comparison([
      'userName',
      'externalId',
      'displayName',
      'title',
      'name.familyName',
      'emails',
      'emails.type',
      'manager',
      `${ENTERPRISE_URN}:department`,
      'groups.display',
    ]),
    truth(['active', 'emails.primary']),
    presence([
      'externalId',
      'displayName',
      'title',
      'name',
      'emails',
      'groups',
      'manager',
      'department',
      'active',
      'nickName',
      'addresses',
    ]),
    instant,
    element,
  ),
);
const GROUP_FILTER = compound(
  fc.oneof(comparison(['displayName', 'externalId']), presence(['members', 'externalId']), instant),
);

async function found(path: string, filter: string): Promise<string[]> {
  const { status, body } = await filters.world.acme.scim('POST', `${path}/.search`, {
    filter,
    count: 200,
    attributes: ['id'],
  });
  expect([filter, status, body.detail]).toEqual([filter, 200, undefined]);
  return body.Resources.map(({ id }) => id);
}

const chosen = (resources: readonly ScimBody[], test: (resource: ScimBody) => boolean) =>
  resources.filter(test).map(({ id }) => id);

describe('any filter', () => {
  it('finds the same users in SQL and in memory, and still does when it is printed', async () => {
    await fc.assert(
      fc.asyncProperty(USER_FILTER, async (filter) => {
        const parsed = parseFilter(filter, USER);
        const expected = chosen(filters.users, (user) => matches(parsed, user));
        expect(await found('/Users', filter)).toEqual(expected);
        const again = parseFilter(printFilter(parsed), USER);
        expect(chosen(filters.users, (user) => matches(again, user))).toEqual(expected);
      }),
      { numRuns: 250 },
    );
  });

  it('finds the same groups in SQL and in memory', async () => {
    await fc.assert(
      fc.asyncProperty(GROUP_FILTER, async (filter) => {
        const parsed = parseFilter(filter, GROUP);
        expect(await found('/Groups', filter)).toEqual(chosen(filters.groups, (group) => matches(parsed, group)));
      }),
      { numRuns: 80 },
    );
  });
});
