import { describe } from 'vitest';
import { BARBARA, ENTERPRISE, HOME, WORK, testPatchCases } from './scim-patch-cases.ts';
import type { ScimObject } from '../../../subgraphs/identity/scim/schema.ts';

const CORE = 'urn:ietf:params:scim:schemas:core:2.0:User';
const MANY: ScimObject = {
  ...BARBARA,
  phoneNumbers: [
    { value: '1', type: 'work' },
    { value: '2', type: 'work' },
    { value: '3', type: 'mobile', primary: true },
  ],
};

// Each case is what some client sends or what RFC 7644 section 3.5.2 says of an edge.
describe('the PATCH engine by section 3.5.2.3, replace', () => {
  testPatchCases(
    [
      {
        name: 'of what is not there adds it',
        operations: [{ op: 'replace', path: 'nickName', value: 'B' }],
        after: { nickName: 'B' },
      },
      {
        name: 'of one element alone',
        before: MANY,
        operations: [{ op: 'replace', path: 'phoneNumbers[value eq "2"]', value: { value: '9', type: 'fax' } }],
        after: {
          phoneNumbers: [
            { value: '1', type: 'work' },
            { value: '9', type: 'fax' },
            { value: '3', type: 'mobile', primary: true },
          ],
        },
      },
      {
        name: 'of the whole list by one element',
        operations: [{ op: 'replace', path: 'emails', value: { value: 'n@x.y' } }],
        after: { emails: [{ value: 'n@x.y' }] },
      },
      {
        name: 'of a part in every element',
        before: MANY,
        operations: [{ op: 'replace', path: 'phoneNumbers.type', value: 'other' }],
        after: {
          phoneNumbers: [
            { value: '1', type: 'other' },
            { value: '2', type: 'other' },
            { value: '3', type: 'other', primary: true },
          ],
        },
      },
      {
        name: 'of a list by two primary elements',
        operations: [
          {
            op: 'replace',
            path: 'emails',
            value: [
              { value: 'a', primary: true },
              { value: 'b', primary: true },
            ],
          },
        ],
        code: 'BAD_USER_INPUT',
      },
      {
        name: 'without a path leaves all others',
        operations: [{ op: 'replace', value: { title: 'T', userName: 'n' } }],
        after: { title: 'T', userName: 'n' },
      },
      {
        name: 'without a path of a list drops its elements',
        operations: [{ op: 'replace', value: { emails: [{ value: 'n@x.y' }] } }],
        after: { emails: [{ value: 'n@x.y' }] },
      },
      {
        name: 'with a dotted key',
        operations: [{ op: 'replace', value: { 'name.givenName': 'B' } }],
        after: { name: { givenName: 'B', familyName: 'Jensen' } },
      },
      {
        name: 'with a URN of the core schema in the key',
        operations: [{ op: 'replace', value: { [`${CORE}:title`]: 'T' } }],
        after: { title: 'T' },
      },
      {
        name: 'with a value path in the key',
        operations: [{ op: 'replace', value: { 'emails[type eq "home"].value': 'h@x.y' } }],
        after: { emails: [WORK, { ...HOME, value: 'h@x.y' }] },
      },
      {
        name: 'of the extension without a path merges it',
        operations: [{ op: 'replace', value: { [ENTERPRISE]: { department: 'R' } } }],
        after: { [ENTERPRISE]: { department: 'R', manager: { value: 'usr_boss', $ref: '/Users/usr_boss' } } },
      },
      {
        name: 'of one schema by another kind of value',
        operations: [{ op: 'replace', value: { [ENTERPRISE]: 'x' } }],
        code: 'BAD_USER_INPUT',
      },
      {
        name: 'of the manager by another forgets what described the old one',
        operations: [{ op: 'replace', path: `${ENTERPRISE}:manager`, value: { value: 'usr_2' } }],
        after: { [ENTERPRISE]: { department: 'Sales', manager: { value: 'usr_2' } } },
      },
      { name: 'of active by 1', operations: [{ op: 'replace', path: 'active', value: 1 }], code: 'BAD_USER_INPUT' },
      {
        name: 'of active by null locks the account',
        operations: [{ op: 'replace', path: 'active', value: null }],
        after: { active: false },
      },
      {
        name: 'of active by an array of one',
        operations: [{ op: 'replace', path: 'active', value: [false] }],
        after: { active: false },
      },
      {
        name: 'of active by a wrapped text',
        operations: [{ op: 'replace', path: 'active', value: [{ value: 'False' }] }],
        after: { active: false },
      },
      {
        name: 'of the userName by null',
        operations: [{ op: 'replace', path: 'userName', value: null }],
        code: 'BAD_USER_INPUT',
      },
      {
        name: 'of the path of nothing',
        operations: [{ op: 'replace', path: 'nosuch.value', value: 'x' }],
        code: 'INVALID_PATH',
      },
      {
        name: 'of a path with a space',
        operations: [{ op: 'replace', path: 'name givenName', value: 'x' }],
        code: 'INVALID_PATH',
      },
      {
        name: 'of a path with two parts',
        operations: [{ op: 'replace', path: 'name.givenName.x', value: 'x' }],
        code: 'INVALID_PATH',
      },
      {
        name: 'of a path that is a filter',
        operations: [{ op: 'replace', path: 'userName eq "x"', value: 'x' }],
        code: 'INVALID_PATH',
      },
      {
        name: 'of a path with an unknown URN',
        operations: [{ op: 'replace', path: 'urn:x:y:title', value: 'x' }],
        code: 'INVALID_PATH',
      },
      {
        name: 'several times, the last counts',
        operations: ['a', 'b', 'c'].map((value) => ({ op: 'replace', path: 'title', value })),
        after: { title: 'c' },
      },
      {
        name: 'and back again changes nothing',
        operations: [
          { op: 'replace', path: 'displayName', value: 'X' },
          { op: 'replace', path: 'displayName', value: 'Babs' },
        ],
      },
      {
        name: 'after a removal, of the element that is gone',
        operations: [
          { op: 'remove', path: 'emails[type eq "home"]' },
          { op: 'replace', path: 'emails[type eq "home"].value', value: 'x' },
        ],
        code: 'NO_TARGET',
      },
    ],
    'strict',
  );
});

describe('the PATCH engine, where strict and lenient readings part,', () => {
  testPatchCases(
    [
      {
        name: 'takes back what it showed, for Okta',
        profile: 'okta',
        operations: [
          { op: 'replace', value: { id: 'usr_1', schemas: [CORE], meta: { resourceType: 'User' }, displayName: 'X' } },
        ],
        after: { displayName: 'X' },
        ignored: ['id', 'schemas', 'meta'],
      },
      {
        name: 'passes over what nobody knows, for Okta',
        profile: 'okta',
        operations: [{ op: 'replace', value: { oktaInternal: 1, active: false } }],
        after: { active: false },
        ignored: ['oktaInternal'],
      },
      {
        name: 'creates nothing for Okta where a replace selects nothing',
        profile: 'okta',
        operations: [{ op: 'replace', path: 'emails[type eq "other"].value', value: 'x@y.z' }],
        code: 'NO_TARGET',
      },
      {
        name: 'creates it for Entra',
        profile: 'entra',
        operations: [{ op: 'replace', path: 'emails[type eq "other"].value', value: 'x@y.z' }],
        after: { emails: [WORK, HOME, { type: 'other', value: 'x@y.z' }] },
      },
      {
        name: 'creates an element by two equalities for Entra',
        profile: 'entra',
        operations: [{ op: 'add', path: 'emails[type eq "other" and primary eq "True"].value', value: 'x@y.z' }],
        after: { emails: [{ ...WORK, primary: false }, HOME, { type: 'other', primary: true, value: 'x@y.z' }] },
      },
      {
        name: 'creates none that a filter leaves open',
        profile: 'entra',
        operations: [{ op: 'replace', path: 'emails[type sw "oth"].value', value: 'x@y.z' }],
        code: 'NO_TARGET',
      },
      {
        name: 'passes over the removal of nothing, for Entra',
        profile: 'entra',
        operations: [{ op: 'Remove', path: 'emails[type eq "other"]' }],
      },
      {
        name: 'never takes another id',
        profile: 'entra',
        operations: [{ op: 'replace', value: { id: 'usr_2', active: false } }],
        code: 'MUTABILITY',
      },
      {
        name: 'never writes groups by a path, for Entra',
        profile: 'entra',
        operations: [{ op: 'Add', path: 'groups', value: [{ value: 'g' }] }],
        code: 'MUTABILITY',
      },
      {
        name: 'drops a password in whatever case, for Okta',
        profile: 'okta',
        operations: [{ op: 'replace', value: { Password: 'secret', active: false } }],
        after: { active: false },
        ignored: ['password'],
      },
    ],
    'entra',
  );
});
