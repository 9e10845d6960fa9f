import { ENTERPRISE_URN, GROUP_URN, patch, USER_URN } from './identity-platform.ts';

/** What a client sends through the life of one person in one group. */
export interface Client {
  readonly profile: string;
  /** What is recorded as read differently over the whole life. */
  readonly rewrites: readonly string[];
  readonly create: (name: string) => object;
  readonly update: (ids: Ids) => Sent;
  readonly disable: (ids: Ids) => Sent;
  readonly enable: (ids: Ids) => Sent;
  readonly createGroup: (name: string) => object;
  readonly join: (ids: Ids) => Sent;
  readonly leave: (ids: Ids) => Sent;
  readonly deleted: boolean;
}

/** Who is meant. */
export interface Ids {
  readonly name: string;
  readonly user: string;
  readonly group: string;
}
/** A request. */
export type Sent = readonly [method: string, path: string, body: object];

/** The schema that Entra adds to groups. */
export const LEGACY_GROUP = 'http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group';

/** Replaces the user. */
export const userPut =
  (change: object) =>
  ({ user, name }: Ids): Sent => [
    'PUT',
    `/Users/${user}`,
    {
      schemas: [USER_URN],
      id: user,
      userName: name,
      name: { givenName: 'Lee', familyName: 'New' },
      active: true,
      ...change,
    },
  ];
/** Changes the user. */
export const userPatch =
  (...operations: object[]) =>
  ({ user }: Ids): Sent => ['PATCH', `/Users/${user}`, patch(...operations)];
const groupPatch =
  (make: (ids: Ids) => object[]) =>
  (ids: Ids): Sent => ['PATCH', `/Groups/${ids.group}`, patch(...make(ids))];
/** A user as everybody sends her. */
export const plainUser = (name: string) => ({
  schemas: [USER_URN],
  userName: name,
  name: { givenName: 'Lee', familyName: 'Old' },
  emails: [{ value: `${name}@acme.example`, type: 'work', primary: true }],
  active: true,
});
/** A group as everybody sends it. */
export const plainGroup = (displayName: string) => ({ schemas: [GROUP_URN], displayName, members: [] });

/** Each identity provider, with what it sends. */
export const CLIENTS: readonly Client[] = [
  {
    profile: 'strict',
    rewrites: [],
    create: plainUser,
    update: userPatch({ op: 'replace', path: 'name.familyName', value: 'New' }),
    disable: userPatch({ op: 'replace', path: 'active', value: false }),
    enable: userPatch({ op: 'replace', value: { active: true } }),
    createGroup: plainGroup,
    join: groupPatch(({ user }) => [{ op: 'add', path: 'members', value: [{ value: user }] }]),
    leave: groupPatch(({ user }) => [{ op: 'remove', path: `members[value eq "${user}"]` }]),
    deleted: true,
  },
  {
    profile: 'okta_oin',
    rewrites: ['password_dropped', 'read_only_dropped'],
    create: (name) => ({ ...plainUser(name), externalId: '00u1', locale: 'en-US', groups: [], password: '1mz050nq' }),
    update: userPut({}),
    disable: userPatch({ op: 'replace', value: { active: false } }),
    enable: userPatch({ op: 'replace', value: { active: true } }),
    createGroup: plainGroup,
    join: groupPatch(({ user, group, name }) => [
      { op: 'replace', value: { id: group, displayName: `group of ${name}` } },
      { op: 'add', path: 'members', value: [{ value: user, display: name }] },
    ]),
    leave: groupPatch(({ user }) => [{ op: 'remove', path: `members[value eq "${user}"]` }]),
    deleted: false,
  },
  {
    profile: 'okta_aiw',
    rewrites: ['password_dropped'],
    create: (name) => ({ ...plainUser(name), groups: [], password: '1mz050nq' }),
    update: userPut({ groups: [] }),
    disable: userPut({ active: false, groups: [] }),
    enable: userPut({ active: true, groups: [] }),
    createGroup: plainGroup,
    join: ({ user, group, name }) => [
      'PUT',
      `/Groups/${group}`,
      { schemas: [GROUP_URN], id: group, displayName: `group of ${name}`, members: [{ value: user, display: name }] },
    ],
    leave: ({ group, name }) => [
      'PUT',
      `/Groups/${group}`,
      { schemas: [GROUP_URN], id: group, displayName: `group of ${name}`, members: [] },
    ],
    deleted: false,
  },
  {
    profile: 'entra',
    rewrites: ['bare_value', 'legacy_schema', 'op_case', 'remove_by_value', 'replace_as_add', 'string_boolean'],
    create: (name) => ({
      ...plainUser(name),
      schemas: [USER_URN, ENTERPRISE_URN],
      addresses: null,
      roles: [{ primary: 'True', value: 'Reader' }],
    }),
    update: userPatch(
      { op: 'Replace', path: 'name.familyName', value: 'New' },
      { op: 'Replace', path: 'emails[type eq "work"].value', value: 'new@acme.example' },
      { op: 'Add', path: `${ENTERPRISE_URN}:manager`, value: 'usr_boss' },
    ),
    disable: userPatch({ op: 'Replace', path: 'active', value: 'False' }),
    enable: userPatch({ op: 'Replace', path: 'active', value: 'True' }),
    createGroup: (displayName) => ({ schemas: [GROUP_URN, LEGACY_GROUP], displayName, externalId: '8aa1' }),
    join: groupPatch(({ user }) => [{ op: 'Add', path: 'members', value: [{ $ref: null, value: user }] }]),
    leave: groupPatch(({ user }) => [{ op: 'Remove', path: 'members', value: [{ $ref: null, value: user }] }]),
    deleted: true,
  },
  {
    profile: 'entra_flagged',
    rewrites: ['dotted_key', 'legacy_schema', 'replace_as_add', 'urn_key'],
    create: plainUser,
    update: userPatch(
      { op: 'replace', path: 'emails[type eq "work"].value', value: 'new@acme.example' },
      { op: 'replace', value: { 'name.familyName': 'New', [`${ENTERPRISE_URN}:department`]: 'Sales', title: 'Head' } },
    ),
    disable: userPatch({ op: 'replace', path: 'active', value: false }),
    enable: userPatch({ op: 'replace', path: 'active', value: true }),
    createGroup: (displayName) => ({ schemas: [GROUP_URN, LEGACY_GROUP], displayName }),
    join: groupPatch(({ user }) => [{ op: 'add', path: 'members', value: [{ $ref: null, value: user }] }]),
    leave: groupPatch(({ user }) => [{ op: 'remove', path: `members[value eq "${user}"]` }]),
    deleted: true,
  },
  {
    profile: 'google',
    rewrites: ['string_boolean'],
    create: (name) => ({
      ...plainUser(name),
      emails: [{ value: `${name}@acme.example`, type: 'work', primary: 'true' }],
    }),
    update: userPatch({ op: 'replace', value: { name: { familyName: 'New' } } }),
    disable: userPatch({ op: 'replace', path: 'active', value: false }),
    enable: userPatch({ op: 'replace', path: 'active', value: true }),
    createGroup: plainGroup,
    join: groupPatch(({ user }) => [{ op: 'add', path: 'members', value: [{ value: user }] }]),
    leave: groupPatch(({ user }) => [{ op: 'remove', path: `members[value eq "${user}"]` }]),
    deleted: true,
  },
  {
    profile: 'onelogin',
    rewrites: ['schemas_added', 'unknown_dropped', 'unqualified_extension'],
    create: (name) => ({ ...plainUser(name), schemas: undefined }),
    update: userPut({ department: 'Sales', samAccountName: 'lee' }),
    disable: userPut({ active: false }),
    enable: userPut({ active: true }),
    createGroup: plainGroup,
    join: groupPatch(({ user }) => [{ op: 'add', path: 'members', value: [{ value: user }] }]),
    leave: groupPatch(({ user }) => [{ op: 'remove', path: `members[value eq "${user}"]` }]),
    deleted: true,
  },
  {
    profile: 'jumpcloud',
    rewrites: ['remove_by_value'],
    create: plainUser,
    update: userPut({}),
    disable: userPut({ active: false }),
    enable: userPut({ active: true }),
    createGroup: plainGroup,
    join: groupPatch(({ user }) => [{ op: 'add', path: 'members', value: [{ value: user }] }]),
    leave: groupPatch(({ user }) => [{ op: 'remove', path: 'members', value: [{ value: user }] }]),
    deleted: true,
  },
  {
    profile: 'ping',
    rewrites: ['string_boolean'],
    create: plainUser,
    update: userPut({}),
    disable: userPut({ active: 'false' }),
    enable: userPatch({ op: 'replace', path: 'active', value: true }),
    createGroup: plainGroup,
    join: groupPatch(({ user }) => [{ op: 'add', path: 'members', value: [{ value: user }] }]),
    leave: groupPatch(({ user }) => [{ op: 'remove', path: `members[value eq "${user}"]` }]),
    deleted: true,
  },
];
