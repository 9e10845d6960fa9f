import { describe } from 'vitest';
import { BARBARA, ENTERPRISE, HOME, WORK, testPatchCases } from './scim-patch-cases.ts';

describe('the PATCH engine understands Okta', () => {
  testPatchCases(
    [
      {
        name: 'deactivates without a path',
        operations: [{ op: 'replace', value: { active: false } }],
        after: { active: false },
      },
      {
        name: 'activates without a path',
        before: { ...BARBARA, active: false },
        operations: [{ op: 'replace', value: { active: true } }],
        after: { active: true },
      },
      {
        name: 'a password is accepted and dropped',
        operations: [{ op: 'replace', value: { password: 'dummy', active: false } }],
        after: { active: false },
        ignored: ['password'],
      },
      {
        name: 'a password by path is dropped too',
        operations: [{ op: 'replace', path: 'password', value: 'dummy' }],
        ignored: ['password'],
      },
      {
        name: 'its own id beside the change is passed over',
        operations: [{ op: 'replace', value: { id: 'usr_1', displayName: 'New' } }],
        after: { displayName: 'New' },
        ignored: ['id'],
      },
      {
        name: 'empty groups beside the change are passed over',
        operations: [{ op: 'replace', value: { groups: [], schemas: [], active: false } }],
        after: { active: false },
        ignored: ['groups', 'schemas'],
      },
      {
        name: 'another id is refused',
        operations: [{ op: 'replace', value: { id: 'usr_2', displayName: 'New' } }],
        code: 'MUTABILITY',
      },
      {
        name: 'replace on a filter that selects nothing is refused',
        operations: [{ op: 'replace', path: 'phoneNumbers[type eq "mobile"].value', value: '1' }],
        code: 'NO_TARGET',
      },
    ],
    'okta',
  );
});

describe('the PATCH engine follows RFC 7644', () => {
  testPatchCases(
    [
      {
        name: 'add without a path merges a complex value',
        operations: [{ op: 'add', value: { name: { middleName: 'J' }, nickName: 'B' } }],
        after: { name: { givenName: 'Barbara', familyName: 'Jensen', middleName: 'J' }, nickName: 'B' },
      },
      {
        name: 'replace without a path keeps the siblings of a complex value',
        operations: [{ op: 'replace', value: { name: { givenName: 'B' } } }],
        after: { name: { givenName: 'B', familyName: 'Jensen' } },
      },
      {
        name: 'replace of a complex value by path keeps its siblings',
        operations: [{ op: 'replace', path: 'name', value: { givenName: 'B' } }],
        after: { name: { givenName: 'B', familyName: 'Jensen' } },
      },
      {
        name: 'a null sub-attribute is unassigned',
        operations: [{ op: 'replace', path: 'name', value: { givenName: null } }],
        after: { name: { familyName: 'Jensen' } },
      },
      {
        name: 'replace of a complex value by nothing changes nothing',
        operations: [{ op: 'replace', path: 'name', value: {} }],
      },
      {
        name: 'replace by null unassigns',
        operations: [{ op: 'replace', path: 'displayName', value: null }],
        after: { displayName: undefined },
      },
      { name: 'add of null adds nothing', operations: [{ op: 'add', path: 'displayName', value: null }] },
      { name: 'remove of an attribute', operations: [{ op: 'remove', path: 'name' }], after: { name: undefined } },
      {
        name: 'remove of a sub-attribute',
        operations: [{ op: 'remove', path: 'name.givenName' }],
        after: { name: { familyName: 'Jensen' } },
      },
      {
        name: 'remove of the last sub-attributes',
        operations: [
          { op: 'remove', path: 'name.givenName' },
          { op: 'remove', path: 'name.familyName' },
        ],
        after: { name: undefined },
      },
      { name: 'remove of what is not there', operations: [{ op: 'remove', path: 'title' }] },
      {
        name: 'remove of active is no way back to life',
        before: { ...BARBARA, active: false },
        operations: [{ op: 'remove', path: 'active' }],
      },
      {
        name: 'remove of an active account locks it',
        operations: [{ op: 'remove', path: 'active' }],
        after: { active: false },
      },
      {
        name: 'add appends to a multi-valued attribute',
        operations: [{ op: 'add', path: 'emails', value: [{ value: 'x@y.z', type: 'other' }] }],
        after: { emails: [WORK, HOME, { value: 'x@y.z', type: 'other' }] },
      },
      {
        name: 'add of a single element without an array',
        operations: [{ op: 'add', path: 'emails', value: { value: 'x@y.z' } }],
        after: { emails: [WORK, HOME, { value: 'x@y.z' }] },
      },
      {
        name: 'add of an existing element updates it and doubles nothing',
        operations: [{ op: 'add', path: 'emails', value: [{ type: 'HOME', value: 'BABS@home.example' }, WORK] }],
        after: { emails: [WORK, { value: 'BABS@home.example', type: 'HOME' }] },
      },
      {
        name: 'add of exactly what is there changes nothing',
        operations: [{ op: 'add', path: 'emails', value: [{ type: 'home', value: 'babs@home.example' }] }],
      },
      {
        name: 'a new primary element demotes the old one',
        operations: [{ op: 'add', path: 'emails', value: [{ value: 'x@y.z', primary: true }] }],
        after: { emails: [{ ...WORK, primary: false }, HOME, { value: 'x@y.z', primary: true }] },
      },
      {
        name: 'primary set through a filter demotes the old one',
        operations: [{ op: 'replace', path: 'emails[type eq "home"].primary', value: true }],
        after: {
          emails: [
            { ...WORK, primary: false },
            { ...HOME, primary: true },
          ],
        },
      },
      {
        name: 'primary set for all is refused',
        operations: [{ op: 'replace', path: 'emails.primary', value: true }],
        code: 'BAD_USER_INPUT',
      },
      {
        name: 'replace of a multi-valued attribute drops what was there',
        operations: [{ op: 'replace', path: 'emails', value: [{ value: 'x@y.z' }] }],
        after: { emails: [{ value: 'x@y.z' }] },
      },
      {
        name: 'replace by an empty array unassigns',
        operations: [{ op: 'replace', path: 'emails', value: [] }],
        after: { emails: undefined },
      },
      {
        name: 'replace of a selected element keeps what selected it',
        operations: [{ op: 'replace', path: 'emails[type eq "work"]', value: { value: 'x@y.z' } }],
        after: { emails: [{ type: 'work', value: 'x@y.z' }, HOME] },
      },
      {
        name: 'replace of a selected element by nothing that is known removes nothing',
        operations: [{ op: 'replace', path: 'emails[type eq "work"]', value: { unknown: 1 } }],
        code: 'BAD_USER_INPUT',
      },
      {
        name: 'replace of a selected element by null unassigns it',
        operations: [{ op: 'replace', path: 'emails[type eq "work"]', value: null }],
        after: { emails: [HOME] },
      },
      {
        name: 'add on a filter whose literal is larger than a value may be',
        operations: [{ op: 'add', path: `emails[type eq "${'x'.repeat(2000)}"].value`, value: 'a' }],
        code: 'BAD_USER_INPUT',
      },
      {
        name: 'add to a selected element merges',
        operations: [{ op: 'add', path: 'emails[type eq "work"]', value: { display: 'W' } }],
        after: { emails: [{ ...WORK, display: 'W' }, HOME] },
      },
      {
        name: 'add on a compound filter that selects nothing creates the element',
        operations: [{ op: 'add', path: 'emails[type eq "other" and primary eq false].value', value: 'x@y.z' }],
        after: { emails: [WORK, HOME, { type: 'other', primary: false, value: 'x@y.z' }] },
      },
      {
        name: 'add on a filter that describes no element is refused',
        operations: [{ op: 'add', path: 'emails[type eq "a" or type eq "b"].value', value: 'x@y.z' }],
        code: 'NO_TARGET',
      },
      {
        name: 'a filter with or, not and grouping selects',
        operations: [{ op: 'remove', path: 'emails[not (type eq "work") and (value co "@home" or value pr)]' }],
        after: { emails: [WORK] },
      },
      {
        name: 'brackets, quotes, dots and escapes inside a value',
        before: { userName: 'x', emails: [{ value: 'a].b"c.d\\', type: 'odd' }, HOME] },
        operations: [{ op: 'replace', path: 'emails[value eq "a].b\\"c\\u002ed\\\\"].type', value: 'even' }],
        after: { emails: [{ value: 'a].b"c.d\\', type: 'even' }, HOME] },
      },
      {
        name: 'remove of selected elements',
        operations: [{ op: 'remove', path: 'emails[type eq "WORK"]' }],
        after: { emails: [HOME] },
      },
      {
        name: 'remove of listed elements alone',
        operations: [{ op: 'remove', path: 'emails', value: [{ value: 'babs@home.example' }] }],
        after: { emails: [WORK] },
      },
      {
        name: 'remove of unreadable elements does not remove all',
        operations: [{ op: 'remove', path: 'emails', value: [{ unknown: 1 }] }],
        code: 'BAD_USER_INPUT',
      },
      {
        name: 'remove of all elements',
        operations: [{ op: 'remove', path: 'emails' }],
        after: { emails: undefined },
      },
      {
        name: 'a sub-attribute of every element',
        operations: [{ op: 'replace', path: 'emails.display', value: 'B' }],
        after: {
          emails: [
            { ...WORK, display: 'B' },
            { ...HOME, display: 'B' },
          ],
        },
      },
      {
        name: 'the full URN of a core attribute',
        operations: [{ op: 'replace', path: 'urn:ietf:params:scim:schemas:core:2.0:User:name.givenName', value: 'U' }],
        after: { name: { givenName: 'U', familyName: 'Jensen' } },
      },
      {
        name: 'the URN of the core schema as a key',
        operations: [{ op: 'add', value: { 'urn:ietf:params:scim:schemas:core:2.0:User': { nickName: 'N' } } }],
        after: { nickName: 'N' },
      },
      {
        name: 'the URN of the extension as a path merges',
        operations: [{ op: 'replace', path: ENTERPRISE.toUpperCase(), value: { division: 'D' } }],
        after: {
          [ENTERPRISE]: {
            department: 'Sales',
            manager: { value: 'usr_boss', $ref: '/Users/usr_boss' },
            division: 'D',
          },
        },
      },
      {
        name: 'remove of the extension',
        operations: [{ op: 'remove', path: ENTERPRISE }],
        after: { [ENTERPRISE]: undefined },
      },
      {
        name: 'a manager that stays the same keeps its reference',
        operations: [{ op: 'replace', path: 'manager.value', value: 'usr_boss' }],
      },
      {
        name: 'remove on a filter that selects nothing is refused',
        operations: [{ op: 'remove', path: 'emails[type eq "fax"]' }],
        code: 'NO_TARGET',
      },
      {
        name: 'replace on a filter that selects nothing is refused',
        operations: [{ op: 'replace', path: 'emails[type eq "fax"].value', value: 'x' }],
        code: 'NO_TARGET',
      },
      { name: 'remove without a path', operations: [{ op: 'remove', value: { title: 'x' } }], code: 'NO_TARGET' },
      { name: 'remove of a required attribute', operations: [{ op: 'remove', path: 'userName' }], code: 'MUTABILITY' },
      {
        name: 'replace of a required attribute by nothing',
        operations: [{ op: 'replace', path: 'userName', value: '' }],
        code: 'BAD_USER_INPUT',
      },
      { name: 'id is readOnly', operations: [{ op: 'replace', path: 'id', value: 'usr_2' }], code: 'MUTABILITY' },
      { name: 'meta is readOnly', operations: [{ op: 'remove', path: 'meta.created' }], code: 'MUTABILITY' },
      {
        name: 'groups are readOnly',
        operations: [{ op: 'add', path: 'groups', value: [{ value: 'grp_1' }] }],
        code: 'MUTABILITY',
      },
      {
        name: 'groups without a path are readOnly',
        operations: [{ op: 'add', value: { groups: [{ value: 'grp_1' }] } }],
        code: 'MUTABILITY',
      },
      {
        name: 'the name of the manager is readOnly',
        operations: [{ op: 'replace', path: 'manager.displayName', value: 'x' }],
        code: 'MUTABILITY',
      },
      { name: 'an unknown path', operations: [{ op: 'add', path: 'shoeSize', value: 1 }], code: 'INVALID_PATH' },
      { name: 'an unknown key', operations: [{ op: 'add', value: { shoeSize: 1 } }], code: 'INVALID_PATH' },
      { name: 'an unknown sub-attribute', operations: [{ op: 'remove', path: 'name.nope' }], code: 'INVALID_PATH' },
      {
        name: 'a filter on a single value',
        operations: [{ op: 'remove', path: 'name[givenName eq "B"]' }],
        code: 'INVALID_PATH',
      },
      { name: 'an open filter', operations: [{ op: 'remove', path: 'emails[type eq "work"' }], code: 'INVALID_PATH' },
      { name: 'text behind the path', operations: [{ op: 'remove', path: 'emails x' }], code: 'INVALID_PATH' },
      {
        name: 'a text that is no boolean',
        operations: [{ op: 'replace', path: 'active', value: 'no' }],
        code: 'BAD_USER_INPUT',
      },
      { name: 'a number for a text', operations: [{ op: 'add', path: 'title', value: 1 }], code: 'BAD_USER_INPUT' },
      { name: 'a text for the name', operations: [{ op: 'add', path: 'name', value: 'B' }], code: 'BAD_USER_INPUT' },
      {
        name: 'a later fault undoes the operations before it',
        operations: [
          { op: 'replace', path: 'displayName', value: 'New' },
          { op: 'remove', path: 'userName' },
        ],
        code: 'MUTABILITY',
      },
      {
        name: 'a text with a NUL',
        operations: [{ op: 'add', path: 'title', value: 'a\0b' }],
        code: 'BAD_USER_INPUT',
      },
      {
        name: 'a text that is too long',
        operations: [{ op: 'add', path: 'title', value: 'x'.repeat(1025) }],
        code: 'BAD_USER_INPUT',
      },
      {
        name: 'more elements than are taken',
        operations: [{ op: 'add', path: 'emails', value: Array.from({ length: 99 }, (_, n) => `${n}@x.y`) }],
        code: 'BAD_USER_INPUT',
      },
    ],
    'strict',
  );
});
