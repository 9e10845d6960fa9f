import { beforeAll, describe, expect, it } from 'vitest';
import { parseFilter } from '../../../subgraphs/identity/scim/filter.ts';
import { matches } from '../../../subgraphs/identity/scim/filter-match.ts';
import { GROUP, USER } from '../../../subgraphs/identity/scim/schema.ts';
import { ENTERPRISE_URN, type IdentityPlatform, type ScimBody } from './identity-platform.ts';
import { CHOOSING } from './scim-filter-cases.ts';
import { openFilterWorld } from './scim-filter-world.ts';

let world: IdentityPlatform;
let users: readonly ScimBody[];
let groups: readonly ScimBody[];

beforeAll(async () => {
  ({ world, users, groups } = await openFilterWorld());
});

const USER_FILTERS = [
  'userName eq "ann.0@ACME.example"',
  'userName ne "ann.0@acme.example"',
  'userName co "."',
  'userName co "%"',
  'userName co "_"',
  'userName sw "a_b"',
  'userName sw "A"',
  'userName ew ".EXAMPLE"',
  `userName co "o'neill"`,
  'userName co "dörte"',
  'userName gt "c"',
  'userName ge "cyd.2@acme.example"',
  'userName lt "D"',
  'userName le "dörte.3@acme.example"',
  'userName pr',
  'not (userName pr)',
  'externalId eq "EXT-2"',
  'externalId eq "ext-2"',
  'externalId ne "EXT-2"',
  'externalId pr',
  'not (externalId pr)',
  'externalId eq null',
  'externalId sw "EXT"',
  'externalId gt "EXT-9"',
  'displayName eq "BOB 1"',
  'displayName pr',
  'not (displayName co "a")',
  'active eq true',
  'active eq false',
  'active eq "False"',
  'active ne true',
  'active pr',
  'title eq "GUIDE"',
  'title ne "guide"',
  'title pr',
  'title eq ""',
  'title co "\\\\"',
  'title co "\\""',
  'title gt "guide"',
  'name.familyName eq "jensen"',
  'name.familyName co "üLL"',
  'name pr',
  'not (name pr)',
  'name.givenName pr and name.familyName ne "Jensen"',
  'emails pr',
  'not (emails pr)',
  'emails eq "p2@acme.example"',
  'emails.value co "HOME"',
  'emails.type eq "work"',
  'emails[type eq "work"]',
  'emails[type eq "work" and value co "p"]',
  'emails[type eq "home" and primary eq true]',
  'emails[not (primary eq true)]',
  'emails[type eq "work"].value sw "w"',
  'emails.primary eq true and emails.type eq "home"',
  'emails ne "p2@acme.example"',
  'not (emails[type eq "home"])',
  `${ENTERPRISE_URN}:department eq "SALES"`,
  'department eq "r&d" or title eq "guide"',
  'manager eq "usr_m"',
  'manager pr',
  'not (manager pr) and department pr',
  'groups.display eq "SOME"',
  'groups[display eq "Some"]',
  'groups pr',
  'not (groups.display co "some")',
  'meta.created ge "2020-01-01T00:00:00Z"',
  'meta.created lt "2020-01-01T00:00:00Z"',
  'meta.lastModified pr',
  'id eq "no id"',
  'id ne "no id"',
  'userName sw "a" and (active eq false or title pr) and not (emails pr)',
  '(externalId pr or displayName pr) and active eq true',
  'not (not (active eq true))',
];

const GROUP_FILTERS = [
  'displayName eq "EVERYBODY"',
  'displayName co "some"',
  'displayName sw "some_"',
  'displayName ew "100%"',
  'externalId pr',
  'externalId eq "g-1"',
  'members pr',
  'not (members pr)',
  'members eq "nobody"',
];

const idsOf = (resources: readonly ScimBody[]) => resources.map(({ id }) => id);

async function found(path: string, filter: string): Promise<string[]> {
  const { status, body } = await world.acme.scim('GET', `${path}?count=200&filter=${encodeURIComponent(filter)}`);
  expect([status, body.detail]).toEqual([200, undefined]);
  return idsOf(body.Resources);
}

describe('SQL and memory', () => {
  it.each([...USER_FILTERS, ...CHOOSING.map(([filter]) => filter)])('find the same users by %s', async (filter) => {
    const parsed = parseFilter(filter, USER);
    expect(await found('/Users', filter)).toEqual(idsOf(users.filter((user) => matches(parsed, user))));
  });

  it.each(GROUP_FILTERS)('find the same groups by %s', async (filter) => {
    const parsed = parseFilter(filter, GROUP);
    expect(await found('/Groups', filter)).toEqual(idsOf(groups.filter((group) => matches(parsed, group))));
  });

  it('find the same by ids and times of what is there', async () => {
    const [user, group] = [users[7], groups[1]];
    const own: [string, string, ScimBody | undefined][] = [
      ['/Users', `id eq "${user?.id}"`, user],
      ['/Users', `groups.value eq "${group?.id}"`, user],
      ['/Users', `meta.created eq "${user?.meta.created}"`, user],
      ['/Users', `meta.lastModified ge "${user?.meta.lastModified}"`, user],
      ['/Groups', `members eq "${user?.id}"`, group],
      ['/Groups', `id eq "${group?.id}" and members.value eq "${user?.id}"`, group],
    ];
    for (const [path, filter, expected] of own) {
      const [all, type] = path === '/Users' ? [users, USER] : [groups, GROUP];
      const parsed = parseFilter(filter, type);
      const hits = await found(path, filter);
      expect(hits).toEqual(idsOf(all.filter((resource) => matches(parsed, resource))));
      expect(hits).toContain(expected?.id);
    }
  });

  it('are asked for filters that choose: no half of them finds all or nobody', () => {
    const sizes = USER_FILTERS.map((filter) => users.filter((user) => matches(parseFilter(filter, USER), user)).length);
    expect(sizes.filter((size) => size > 0 && size < users.length).length).toBeGreaterThan(sizes.length / 2);
  });
});
