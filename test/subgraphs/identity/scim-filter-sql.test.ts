import { describe, expect, test } from 'vitest';
import { mintId, uuidOf } from '#schema/ids.ts';
import { parseFilter } from '../../../subgraphs/identity/scim/filter.ts';
import { compileFilter } from '../../../subgraphs/identity/scim/filter-sql.ts';
import type { FilterColumns } from '../../../subgraphs/identity/scim/filter-sql.ts';
import { GROUP, USER } from '../../../subgraphs/identity/scim/schema.ts';
import { CHOOSING } from './scim-filter-cases.ts';
import { ENTERPRISE, codeOf } from './scim-patch-cases.ts';

const USERS: FilterColumns = {
  resource: 'u.resource',
  columns: {
    id: { kind: 'id', expression: 'u.id', prefix: 'usr' },
    userName: { kind: 'text', expression: 'u.user_name' },
    externalId: { kind: 'text', expression: 'u.external_id' },
    active: { kind: 'boolean', expression: 'u.active' },
    'meta.created': { kind: 'timestamp', expression: 'u.created_at' },
    'meta.lastModified': { kind: 'timestamp', expression: 'u.updated_at' },
    [`${ENTERPRISE}:department`]: { kind: 'text', expression: 'u.department' },
    groups: {
      kind: 'rows',
      from: 'group_members m',
      where: 'm.user_id = u.id',
      columns: { value: { kind: 'id', expression: 'm.group_id', prefix: 'grp' } },
    },
  },
};

const GROUPS: FilterColumns = {
  resource: 'g.resource',
  columns: {
    members: {
      kind: 'rows',
      from: 'group_members m',
      where: 'm.group_id = g.id',
      columns: { value: { kind: 'id', expression: 'm.user_id', prefix: 'usr' } },
    },
  },
};

const ELEMENTS = (n: number): string =>
  `jsonb_array_elements(case jsonb_typeof(u.resource #> $${n}::text[]) when 'array' then u.resource #> $${n}::text[] end) as element(value)`;

const compileUser = (filter: string, first?: number) => compileFilter(parseFilter(filter, USER), USERS, first);

describe('the SQL of a filter', () => {
  test.each<[filter: string, text: string, values: unknown[]]>([
    ['userName eq "BJensen"', 'lower(u.user_name) = lower($1::text)', ['BJensen']],
    ['userName ne "x"', 'lower(u.user_name) is distinct from lower($1::text)', ['x']],
    ['externalId eq "A1"', 'u.external_id = $1::text', ['A1']],
    ['externalId pr', "u.external_id <> ''", []],
    ['not (externalId pr)', "(u.external_id <> '') is not true", []],
    ['active eq "True"', 'u.active = $1::boolean', [true]],
    ['active pr', 'u.active is not null', []],
    ['userName sw "a%_\\\\b"', "lower(u.user_name) like lower($1::text) escape '\\'", ['a\\%\\_\\\\b%']],
    ['userName co "%"', "lower(u.user_name) like lower($1::text) escape '\\'", ['%\\%%']],
    ['externalId ew "_"', "u.external_id like $1::text escape '\\'", ['%\\_']],
    ['externalId gt "A"', 'u.external_id collate "C" > $1::text collate "C"', ['A']],
    ['userName le "A"', 'lower(u.user_name) collate "C" <= lower($1::text) collate "C"', ['A']],
    ['meta.created ge "2026-01-01T00:00:00Z"', 'u.created_at >= $1::timestamptz', ['2026-01-01T00:00:00.000Z']],
    [
      'userName eq "a" and (active eq true or externalId eq "b")',
      '(lower(u.user_name) = lower($1::text)) and ((u.active = $2::boolean) or (u.external_id = $3::text))',
      ['a', true, 'b'],
    ],
    ['title eq "Guide"', 'lower((u.resource #>> $1::text[])) = lower($2::text)', [['title'], 'Guide']],
    [
      'name.familyName eq "Jensen"',
      'lower((u.resource #>> $1::text[])) = lower($2::text)',
      [['name', 'familyName'], 'Jensen'],
    ],
    ['name pr', `(u.resource #> $1::text[]) not in ('null'::jsonb, '""'::jsonb, '{}'::jsonb, '[]'::jsonb)`, [['name']]],
    ['department eq "Sales"', 'lower(u.department) = lower($1::text)', ['Sales']],
    ['manager eq "usr_2"', '(u.resource #>> $1::text[]) = $2::text', [[ENTERPRISE, 'manager', 'value'], 'usr_2']],
    [
      'emails eq "a@b.c"',
      `exists (select 1 from ${ELEMENTS(1)} where (lower((element.value ->> $2::text)) = lower($3::text)))`,
      [['emails'], 'value', 'a@b.c'],
    ],
    [
      'emails[type eq "work"].value eq "a@b.c"',
      `exists (select 1 from ${ELEMENTS(1)} where ((lower((element.value ->> $2::text)) = lower($3::text))` +
        ' and (lower((element.value ->> $4::text)) = lower($5::text))))',
      [['emails'], 'type', 'work', 'value', 'a@b.c'],
    ],
    [
      'roles[primary eq "True"]',
      `exists (select 1 from ${ELEMENTS(1)} where ((element.value ->> $2::text) = $3::text))`,
      [['roles'], 'primary', 'true'],
    ],
    ['emails pr', `exists (select 1 from ${ELEMENTS(1)})`, [['emails']]],
    ['groups pr', 'exists (select 1 from group_members m where m.user_id = u.id)', []],
    ['id eq "nobody"', 'false', []],
    ['id ne "nobody"', 'true', []],
  ])('%s', (filter, text, values) => {
    expect(compileUser(filter)).toStrictEqual({ text, values });
  });

  test('turns a public id into its UUID', () => {
    const id = mintId('usr');
    expect(compileUser(`id eq "${id}"`)).toStrictEqual({ text: 'u.id = $1::uuid', values: [uuidOf('usr', id)] });
    expect(compileUser(`id eq "${mintId('grp')}"`)).toStrictEqual({ text: 'false', values: [] });
  });

  test('looks for members in their rows', () => {
    const id = mintId('usr');
    const text = 'exists (select 1 from group_members m where m.group_id = g.id and (m.user_id = $1::uuid))';
    for (const filter of [`members eq "${id}"`, `members.value eq "${id}"`, `members[value eq "${id}"]`]) {
      expect(compileFilter(parseFilter(filter, GROUP), GROUPS)).toStrictEqual({ text, values: [uuidOf('usr', id)] });
    }
  });

  test('counts its placeholders from the one that it is given', () => {
    expect(compileUser('userName eq "a" or active eq false', 4)).toStrictEqual({
      text: '(lower(u.user_name) = lower($4::text)) or (u.active = $5::boolean)',
      values: ['a', false],
    });
  });

  test.each([
    'groups.display eq "x"',
    'meta.version eq "1"',
    'meta.location pr',
    'manager.displayName eq "x"',
    'id sw "usr"',
  ])('refuses %s, which it could only answer with nothing', (filter) => {
    expect(codeOf(() => compileUser(filter))).toBe('INVALID_FILTER');
  });

  test.each(['id eq "x"', 'groups pr', 'meta pr'])('refuses %s where no column holds it', (filter) => {
    const bare = { resource: 'u.resource', columns: {} };
    expect(codeOf(() => compileFilter(parseFilter(filter, USER), bare))).toBe('INVALID_FILTER');
  });

  test('refuses members that no row holds', () => {
    const filter = parseFilter('members eq "x"', GROUP);
    expect(codeOf(() => compileFilter(filter, { resource: 'g.resource', columns: {} }))).toBeUndefined();
    const scalar = { members: { kind: 'text', expression: 'g.members' } } as const;
    expect(codeOf(() => compileFilter(filter, { resource: 'g.resource', columns: scalar }))).toBe('INVALID_FILTER');
  });

  test('holds nothing that the caller wrote', () => {
    const injected = `'; drop table users; --`;
    for (const filter of [
      `userName eq "${injected}"`,
      `title co "${injected}"`,
      `emails[type eq "${injected}"].value sw "${injected}"`,
      `manager eq "${injected}"`,
      `id eq "${injected}"`,
    ]) {
      expect(compileUser(filter).text).not.toContain('drop');
    }
  });

  test.each(CHOOSING)('%s has a value for each placeholder', (filter) => {
    const { text, values } = compileUser(filter);
    const used = new Set([...text.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number)));
    expect([...used].toSorted((a, b) => a - b)).toEqual(values.map((_, index) => index + 1));
  });
});
