import { describe } from 'vitest';
import { BARBARA, ENTERPRISE, HOME, WORK, testPatchCases } from './scim-patch-cases.ts';
import type { ScimObject } from '../../../subgraphs/identity/scim/schema.ts';

const CORE = 'urn:ietf:params:scim:schemas:core:2.0:User';
const ADDRESS = { type: 'work', streetAddress: 'Street 1', locality: 'Oslo', country: 'NO' };
const HOUSED: ScimObject = { ...BARBARA, addresses: [ADDRESS, { type: 'home', locality: 'Bergen' }] };
const MANY: ScimObject = {
  ...BARBARA,
  phoneNumbers: [
    { value: '1', type: 'work' },
    { value: '2', type: 'work' },
    { value: '3', type: 'mobile', primary: true },
  ],
};

// Each case is what some client sends or what RFC 7644 section 3.5.2 says of an edge.
describe('the PATCH engine by section 3.5.2.1, add', () => {
  testPatchCases(
    [
      {
        name: 'replaces a single value',
        operations: [{ op: 'add', path: 'displayName', value: 'B' }],
        after: { displayName: 'B' },
      },
      { name: 'of the same value changes nothing', operations: [{ op: 'add', path: 'displayName', value: 'Babs' }] },
      { name: 'in capitals', operations: [{ op: 'ADD', path: 'nickName', value: 'B' }], after: { nickName: 'B' } },
      {
        name: 'with the keys of the message in capitals',
        operations: [{ OP: 'add', PATH: 'nickName', VALUE: 'B' }],
        after: { nickName: 'B' },
      },
      {
        name: 'of a sub-attribute to a complex value that is not there',
        before: { id: 'u', userName: 'a' },
        operations: [{ op: 'add', path: 'name.familyName', value: 'J' }],
        after: { name: { familyName: 'J' } },
      },
      {
        name: 'of a sub-attribute of the extension that is not there',
        before: { id: 'u', userName: 'a' },
        operations: [{ op: 'add', path: `${ENTERPRISE}:manager.value`, value: 'usr_2' }],
        after: { [ENTERPRISE]: { manager: { value: 'usr_2' } } },
      },
      {
        name: 'of two elements at once',
        operations: [
          {
            op: 'add',
            path: 'phoneNumbers',
            value: [
              { value: '2', type: 'home' },
              { value: '3', type: 'fax' },
            ],
          },
        ],
        after: {
          phoneNumbers: [
            { value: '555-1', type: 'work' },
            { value: '2', type: 'home' },
            { value: '3', type: 'fax' },
          ],
        },
      },
      {
        name: 'of a bare text to a list',
        operations: [{ op: 'add', path: 'emails', value: 'x@y.z' }],
        after: { emails: [WORK, HOME, { value: 'x@y.z' }] },
      },
      {
        name: 'of the same text in other case doubles nothing',
        operations: [{ op: 'add', path: 'emails', value: [{ value: 'BABS@home.example', type: 'HOME' }] }],
        after: { emails: [WORK, { value: 'BABS@home.example', type: 'HOME' }] },
      },
      {
        name: 'of the same text for another purpose is another element',
        operations: [{ op: 'add', path: 'emails', value: [{ value: 'babs@home.example', type: 'other' }] }],
        after: { emails: [WORK, HOME, { value: 'babs@home.example', type: 'other' }] },
      },
      {
        name: 'of an element without a value compares all of it',
        before: HOUSED,
        operations: [{ op: 'add', path: 'addresses', value: [ADDRESS] }],
      },
      {
        name: 'of an address beside the one of its kind',
        before: HOUSED,
        operations: [{ op: 'add', path: 'addresses', value: { type: 'work', locality: 'Moss' } }],
        after: { addresses: [ADDRESS, { type: 'home', locality: 'Bergen' }, { type: 'work', locality: 'Moss' }] },
      },
      { name: 'of an empty array adds nothing', operations: [{ op: 'add', path: 'emails', value: [] }] },
      {
        name: 'of primary false demotes nobody',
        operations: [{ op: 'add', path: 'emails', value: [{ value: 'n@x.y', primary: false }] }],
        after: { emails: [WORK, HOME, { value: 'n@x.y', primary: false }] },
      },
      {
        name: 'of a part to every element that is selected',
        before: MANY,
        operations: [{ op: 'add', path: 'phoneNumbers[type eq "work"].display', value: 'W' }],
        after: {
          phoneNumbers: [
            { value: '1', type: 'work', display: 'W' },
            { value: '2', type: 'work', display: 'W' },
            { value: '3', type: 'mobile', primary: true },
          ],
        },
      },
      {
        name: 'with a key for each attribute and no path',
        operations: [{ op: 'add', value: { nickName: 'B', emails: [{ value: 'n@x.y' }] } }],
        after: { nickName: 'B', emails: [WORK, HOME, { value: 'n@x.y' }] },
      },
      { name: 'of nothing without a path', operations: [{ op: 'add', value: {} }] },
      {
        name: 'of a list without a path',
        operations: [{ op: 'add', value: [{ nickName: 'B' }] }],
        code: 'BAD_USER_INPUT',
      },
      { name: 'of a text without a path', operations: [{ op: 'add', value: 'B' }], code: 'BAD_USER_INPUT' },
      {
        name: 'of an object to a text',
        operations: [{ op: 'add', path: 'title', value: { a: 1 } }],
        code: 'BAD_USER_INPUT',
      },
      {
        name: 'of two values to a single one',
        operations: [{ op: 'add', path: 'title', value: ['a', 'b'] }],
        code: 'BAD_USER_INPUT',
      },
      { name: 'of a number to a list', operations: [{ op: 'add', path: 'emails', value: 5 }], code: 'BAD_USER_INPUT' },
      {
        name: 'of half a surrogate pair',
        operations: [{ op: 'add', path: 'title', value: '\ud800' }],
        code: 'BAD_USER_INPUT',
      },
      {
        name: 'of two names that differ by case',
        operations: [{ op: 'add', path: 'name', value: { givenName: 'a', GIVENNAME: 'b' } }],
        code: 'BAD_USER_INPUT',
      },
    ],
    'strict',
  );
});

describe('the PATCH engine by section 3.5.2.2, remove', () => {
  testPatchCases(
    [
      {
        name: 'a single value',
        operations: [{ op: 'remove', path: 'displayName' }],
        after: { displayName: undefined },
      },
      {
        name: 'by the full URN',
        operations: [{ op: 'remove', path: `${CORE}:displayName` }],
        after: { displayName: undefined },
      },
      {
        name: 'one element by its value',
        operations: [{ op: 'remove', path: 'emails[value eq "BABS@home.example"]' }],
        after: { emails: [WORK] },
      },
      {
        name: 'the last element leaves no empty list',
        operations: [{ op: 'remove', path: 'phoneNumbers[type eq "work"]' }],
        after: { phoneNumbers: undefined },
      },
      { name: 'by presence', operations: [{ op: 'remove', path: 'emails[primary pr]' }], after: { emails: [HOME] } },
      {
        name: 'by absence',
        operations: [{ op: 'remove', path: 'emails[not (primary pr)]' }],
        after: { emails: [WORK] },
      },
      { name: 'by ne', operations: [{ op: 'remove', path: 'emails[type ne "work"]' }], after: { emails: [WORK] } },
      {
        name: 'by sw and ew',
        before: MANY,
        operations: [{ op: 'remove', path: 'phoneNumbers[type sw "wo" and value ew "2"]' }],
        after: {
          phoneNumbers: [
            { value: '1', type: 'work' },
            { value: '3', type: 'mobile', primary: true },
          ],
        },
      },
      {
        name: 'a part of all elements that are selected',
        before: HOUSED,
        operations: [{ op: 'remove', path: 'addresses[type eq "work"].country' }],
        after: {
          addresses: [
            { type: 'work', streetAddress: 'Street 1', locality: 'Oslo' },
            { type: 'home', locality: 'Bergen' },
          ],
        },
      },
      {
        name: 'the primary mark',
        operations: [{ op: 'remove', path: 'emails[type eq "work"].primary' }],
        after: { emails: [{ value: 'bjensen@example.com', type: 'work' }, HOME] },
      },
      {
        name: 'the manager by a part',
        operations: [{ op: 'remove', path: `${ENTERPRISE}:manager.value` }],
        after: { [ENTERPRISE]: { department: 'Sales' } },
      },
      {
        name: 'one by its value, with a null beside it',
        operations: [{ op: 'remove', path: 'emails', value: [{ value: 'babs@home.example', $ref: null }] }],
        after: { emails: [WORK] },
      },
      {
        name: 'by a value that nobody has',
        operations: [{ op: 'remove', path: 'emails', value: [{ value: 'nobody@x.y' }] }],
      },
      {
        name: 'by two values',
        operations: [
          { op: 'remove', path: 'emails', value: [{ value: 'babs@home.example' }, { value: 'bjensen@example.com' }] },
        ],
        after: { emails: undefined },
      },
      { name: 'the core schema', operations: [{ op: 'remove', path: CORE }], code: 'MUTABILITY' },
      { name: 'the schemas', operations: [{ op: 'remove', path: 'schemas' }], code: 'MUTABILITY' },
      {
        name: 'what every element has',
        operations: [{ op: 'remove', path: 'emails[value pr]' }],
        after: { emails: undefined },
      },
      {
        name: 'by a filter over another attribute',
        operations: [{ op: 'remove', path: 'emails[userName eq "x"]' }],
        code: 'INVALID_PATH',
      },
      {
        name: 'by a filter within a filter',
        operations: [{ op: 'remove', path: 'emails[value[type eq "x"]]' }],
        code: 'INVALID_PATH',
      },
      { name: 'by an empty filter', operations: [{ op: 'remove', path: 'emails[]' }], code: 'INVALID_PATH' },
    ],
    'strict',
  );
});
