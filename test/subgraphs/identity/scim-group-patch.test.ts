import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '#schema/errors.ts';
import { applyGroupPatch } from '../../../subgraphs/identity/scim/group-patch.ts';
import { readOperations } from '../../../subgraphs/identity/scim/patch-steps.ts';
import type { Profile } from '../../../subgraphs/identity/scim/patch-steps.ts';
import { GROUP } from '../../../subgraphs/identity/scim/schema.ts';
import { codeOf, patchBody } from './scim-patch-cases.ts';

const SALES = { id: 'grp_1', displayName: 'Sales', externalId: 'g1' };

interface GroupCase {
  readonly name: string;
  readonly profile: Profile;
  readonly operations: readonly unknown[];
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
  readonly replace?: readonly string[];
  readonly attributes?: Readonly<Record<string, string>>;
  readonly code?: ErrorCode;
}

const CASES: readonly GroupCase[] = [
  {
    name: 'Entra adds a member with a null $ref',
    profile: 'entra',
    operations: [{ op: 'Add', path: 'members', value: [{ $ref: null, value: 'usr_a' }] }],
    add: ['usr_a'],
  },
  {
    name: 'Entra without the flag removes one member by a value, and one alone',
    profile: 'entra',
    operations: [{ op: 'Remove', path: 'members', value: [{ $ref: null, value: 'usr_a' }] }],
    remove: ['usr_a'],
  },
  {
    name: 'Entra with the flag removes one member by a filter',
    profile: 'entra',
    operations: [{ op: 'remove', path: 'members[value eq "usr_a"]' }],
    remove: ['usr_a'],
  },
  {
    name: 'the Entra validator replaces the members',
    profile: 'entra',
    operations: [{ op: 'replace', path: 'members', value: [{ value: 'usr_a' }] }],
    replace: ['usr_a'],
  },
  {
    name: 'the Entra validator replaces the externalId without a path',
    profile: 'entra',
    operations: [{ op: 'replace', value: { externalId: 'g2' } }],
    attributes: { externalId: 'g2' },
  },
  {
    name: 'the Entra validator adds and removes the same member',
    profile: 'entra',
    operations: [
      { op: 'add', path: 'members', value: [{ value: 'usr_a' }] },
      { op: 'remove', path: 'members[value eq "usr_a"]' },
    ],
    remove: ['usr_a'],
  },
  {
    name: 'members in another case',
    profile: 'entra',
    operations: [{ op: 'Add', path: 'Members', value: [{ Value: 'usr_a' }] }],
    add: ['usr_a'],
  },
  {
    name: 'Okta renames with its id and changes members in one request',
    profile: 'okta',
    operations: [
      { op: 'replace', value: { id: 'grp_1', displayName: 'Sales EU' } },
      { op: 'remove', path: 'members[value eq "usr_a"]' },
      { op: 'add', path: 'members', value: [{ value: 'usr_b', display: 'b@example.com' }] },
    ],
    attributes: { displayName: 'Sales EU' },
    add: ['usr_b'],
    remove: ['usr_a'],
  },
  {
    name: 'Okta pushes the full list',
    profile: 'okta',
    operations: [{ op: 'replace', path: 'members', value: [{ value: 'usr_a' }, { value: 'usr_b' }] }],
    replace: ['usr_a', 'usr_b'],
  },
  {
    name: 'members without a path are added',
    profile: 'strict',
    operations: [{ op: 'add', value: { members: [{ value: 'usr_a' }, 'usr_b'] } }],
    add: ['usr_a', 'usr_b'],
  },
  {
    name: 'members without a path are replaced',
    profile: 'strict',
    operations: [{ op: 'replace', value: { members: [], displayName: 'Empty' } }],
    replace: [],
    attributes: { displayName: 'Empty' },
  },
  {
    name: 'a removal of the attribute empties the group',
    profile: 'strict',
    operations: [{ op: 'remove', path: 'members' }],
    replace: [],
  },
  {
    name: 'a removal of an empty list removes nobody',
    profile: 'entra',
    operations: [{ op: 'remove', path: 'members', value: [] }],
  },
  {
    name: 'a replacement swallows what came before and takes what follows',
    profile: 'strict',
    operations: [
      { op: 'add', path: 'members', value: [{ value: 'usr_lost' }] },
      { op: 'replace', path: 'members', value: [{ value: 'usr_a' }, { value: 'usr_b' }] },
      { op: 'add', path: 'members', value: [{ value: 'usr_c' }] },
      { op: 'remove', path: 'members[value eq "usr_a"]' },
    ],
    replace: ['usr_b', 'usr_c'],
  },
  {
    name: 'the last word on a member counts',
    profile: 'strict',
    operations: [
      { op: 'remove', path: 'members[value eq "usr_a"]' },
      { op: 'add', path: 'members', value: [{ value: 'usr_a' }, { value: 'usr_a' }] },
    ],
    add: ['usr_a'],
  },
  {
    name: 'several members by one filter',
    profile: 'strict',
    operations: [{ op: 'remove', path: 'members[value eq "usr_a" or value eq "usr_b"]' }],
    remove: ['usr_a', 'usr_b'],
  },
  {
    name: 'an added member by a filter',
    profile: 'entra',
    operations: [{ op: 'add', path: 'members[value eq "usr_a"]', value: {} }],
    add: ['usr_a'],
  },
  {
    name: 'the full URN of members',
    profile: 'strict',
    operations: [{ op: 'add', path: 'urn:ietf:params:scim:schemas:core:2.0:Group:members', value: 'usr_a' }],
    add: ['usr_a'],
  },
  {
    name: 'an unreadable removal does not empty the group: no value',
    profile: 'entra',
    operations: [{ op: 'Remove', path: 'members', value: [{ $ref: null }] }],
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'an unreadable removal does not empty the group: a null value',
    profile: 'entra',
    operations: [{ op: 'Remove', path: 'members', value: [{ $ref: null, value: null }] }],
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'an unreadable removal does not empty the group: the empty text',
    profile: 'entra',
    operations: [{ op: 'Remove', path: 'members', value: '' }],
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'an unreadable removal does not empty the group: another attribute',
    profile: 'entra',
    operations: [{ op: 'remove', path: 'members[display eq "Babs"]' }],
    code: 'INVALID_PATH',
  },
  {
    name: 'an unreadable removal does not empty the group: another operator',
    profile: 'entra',
    operations: [{ op: 'remove', path: 'members[value ne "usr_a"]' }],
    code: 'INVALID_PATH',
  },
  {
    name: 'an unreadable removal does not empty the group: a broken filter',
    profile: 'entra',
    operations: [{ op: 'remove', path: 'members[value eq usr_a]' }],
    code: 'INVALID_PATH',
  },
  {
    name: 'a replacement by null does not empty the group',
    profile: 'entra',
    operations: [{ op: 'replace', value: { members: null } }],
    code: 'BAD_USER_INPUT',
  },
  {
    name: 'a member cannot be edited',
    profile: 'entra',
    operations: [{ op: 'replace', path: 'members[value eq "usr_a"].value', value: 'usr_b' }],
    code: 'MUTABILITY',
  },
  {
    name: 'the name of a group is required',
    profile: 'entra',
    operations: [{ op: 'remove', path: 'displayName' }],
    code: 'MUTABILITY',
  },
  {
    name: 'a fault behind a change of members is a fault of the whole',
    profile: 'okta',
    operations: [
      { op: 'add', path: 'members', value: ['usr_a'] },
      { op: 'add', path: 'nope', value: 'x' },
    ],
    code: 'INVALID_PATH',
  },
  {
    name: 'more members than one request takes',
    profile: 'entra',
    operations: [{ op: 'add', path: 'members', value: Array.from({ length: 10_001 }, (_, n) => `usr_${n}`) }],
    code: 'TOO_MANY',
  },
  {
    name: 'more members than one request takes, in two operations',
    profile: 'entra',
    operations: [
      { op: 'add', path: 'members', value: Array.from({ length: 6000 }, (_, n) => `usr_${n}`) },
      { op: 'remove', path: 'members', value: Array.from({ length: 6000 }, (_, n) => `usr_x${n}`) },
    ],
    code: 'TOO_MANY',
  },
];

describe('a PATCH of a group', () => {
  test.each(CASES)('$name', ({ profile, operations, add, remove, replace, attributes, code }) => {
    const run = () => applyGroupPatch(SALES, readOperations(patchBody(operations)), { type: GROUP, profile });
    if (code !== undefined) {
      expect(codeOf(run)).toBe(code);
      return;
    }
    const result = run();
    expect([...result.membersAdd]).toEqual(add ?? []);
    expect([...result.membersRemove]).toEqual(remove ?? []);
    expect(result.membersReplace && [...result.membersReplace]).toEqual(replace);
    expect(result.resource).toStrictEqual({ ...SALES, ...attributes });
    expect(result.changed).toBe(attributes !== undefined);
  });

  test('of 10,000 members is a matter of milliseconds', () => {
    const ids = Array.from({ length: 10_000 }, (_, n) => ({ $ref: null, value: `usr_${n}` }));
    const operations = readOperations(patchBody([{ op: 'Add', path: 'members', value: ids }]));
    const start = performance.now();
    expect(applyGroupPatch(SALES, operations, { type: GROUP, profile: 'entra' }).membersAdd.size).toBe(10_000);
    expect(performance.now() - start).toBeLessThan(500);
  });
});
