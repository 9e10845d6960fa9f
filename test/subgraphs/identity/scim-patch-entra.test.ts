import { describe } from 'vitest';
import type { ScimObject } from '../../../subgraphs/identity/scim/schema.ts';
import { BARBARA, ENTERPRISE, HOME, WORK, testPatchCases } from './scim-patch-cases.ts';

const MINIMAL: ScimObject = { userName: 'eleanore@boyercorwin.biz' };
const enterprise = (change: ScimObject): Record<string, ScimObject> => ({
  [ENTERPRISE]: { department: 'Sales', manager: { value: 'usr_boss', $ref: '/Users/usr_boss' }, ...change },
});

describe('the PATCH engine understands Entra without the flag', () => {
  testPatchCases(
    [
      {
        name: 'disables by Replace with the text "False"',
        operations: [{ op: 'Replace', path: 'active', value: 'False' }],
        after: { active: false },
      },
      {
        name: 'enables by Replace with the text "True"',
        before: { ...BARBARA, active: false },
        operations: [{ op: 'Replace', path: 'active', value: 'True' }],
        after: { active: true },
      },
      {
        name: 'disables by a boolean',
        operations: [{ op: 'Replace', path: 'active', value: false }],
        after: { active: false },
      },
      {
        name: 'adds a scalar by Add',
        operations: [{ op: 'Add', path: 'title', value: 'Engineer' }],
        after: { title: 'Engineer' },
      },
      {
        name: 'replaces the value of the work address',
        operations: [{ op: 'Replace', path: 'emails[type eq "work"].value', value: 'new@example.com' }],
        after: { emails: [{ ...WORK, value: 'new@example.com' }, HOME] },
      },
      {
        name: 'creates a mobile number by Add on a filter that selects nothing',
        operations: [{ op: 'Add', path: 'phoneNumbers[type eq "mobile"].value', value: '555-2' }],
        after: {
          phoneNumbers: [
            { value: '555-1', type: 'work' },
            { type: 'mobile', value: '555-2' },
          ],
        },
      },
      {
        name: 'creates a mobile number by Replace on a filter that selects nothing',
        operations: [{ op: 'Replace', path: 'phoneNumbers[type eq "mobile"].value', value: '555-2' }],
        after: {
          phoneNumbers: [
            { value: '555-1', type: 'work' },
            { type: 'mobile', value: '555-2' },
          ],
        },
      },
      {
        name: 'changes one part of the name and keeps the other',
        operations: [{ op: 'Replace', path: 'name.givenName', value: 'Babs' }],
        after: { name: { givenName: 'Babs', familyName: 'Jensen' } },
      },
      {
        name: 'adds an enterprise attribute by its URN',
        operations: [{ op: 'Add', path: `${ENTERPRISE}:employeeNumber`, value: '701984' }],
        after: enterprise({ employeeNumber: '701984' }),
      },
      {
        name: 'several attributes, one operation each',
        operations: [
          { op: 'Replace', path: 'displayName', value: 'Barbara J' },
          { op: 'Add', path: 'name.formatted', value: 'Ms. Barbara J Jensen' },
          { op: 'Replace', path: `${ENTERPRISE}:department`, value: 'Tours' },
          { op: 'Add', path: 'addresses[type eq "work"].country', value: 'Norway' },
          { op: 'Add', path: 'addresses[type eq "work"].locality', value: 'Oslo' },
        ],
        after: {
          displayName: 'Barbara J',
          name: { givenName: 'Barbara', familyName: 'Jensen', formatted: 'Ms. Barbara J Jensen' },
          ...enterprise({ department: 'Tours' }),
          addresses: [{ type: 'work', country: 'Norway', locality: 'Oslo' }],
        },
      },
      {
        name: 'sets the manager by a bare text at the URN path',
        operations: [{ op: 'Add', path: `${ENTERPRISE}:manager`, value: 'usr_other' }],
        after: enterprise({ manager: { value: 'usr_other' } }),
      },
      {
        name: 'sets the manager by an array with a null $ref',
        operations: [{ op: 'Replace', path: `${ENTERPRISE}:manager`, value: [{ $ref: null, value: 'usr_other' }] }],
        after: enterprise({ manager: { value: 'usr_other' } }),
      },
      {
        name: 'sets the manager by an array with a $ref',
        operations: [{ op: 'Add', path: 'manager', value: [{ $ref: '/Users/usr_other', value: 'usr_other' }] }],
        after: enterprise({ manager: { value: 'usr_other', $ref: '/Users/usr_other' } }),
      },
      {
        name: 'sets the manager by the bare path',
        operations: [{ op: 'Replace', path: 'manager', value: 'usr_other' }],
        after: enterprise({ manager: { value: 'usr_other' } }),
      },
      {
        name: 'sets the manager by an object, as the validator does',
        operations: [{ op: 'replace', path: `${ENTERPRISE}:manager`, value: { value: 'usr_other' } }],
        after: enterprise({ manager: { value: 'usr_other' } }),
      },
      {
        name: 'removes the manager by the empty text',
        operations: [{ op: 'Replace', path: `${ENTERPRISE}:manager`, value: '' }],
        after: { [ENTERPRISE]: { department: 'Sales' } },
      },
      {
        name: 'removes the manager by an object with an empty value',
        operations: [{ op: 'replace', path: `${ENTERPRISE}:manager`, value: { value: '' } }],
        after: { [ENTERPRISE]: { department: 'Sales' } },
      },
      {
        name: 'removes the manager by Remove',
        operations: [{ op: 'Remove', path: `${ENTERPRISE}:manager` }],
        after: { [ENTERPRISE]: { department: 'Sales' } },
      },
      {
        name: 'leaves no empty extension behind',
        operations: [
          { op: 'Remove', path: `${ENTERPRISE}:manager` },
          { op: 'Remove', path: `${ENTERPRISE}:department` },
        ],
        after: { [ENTERPRISE]: undefined },
      },
      {
        name: 'removes a value and leaves no element that only has a type',
        operations: [{ op: 'Remove', path: 'phoneNumbers[type eq "work"].value' }],
        after: { phoneNumbers: undefined },
      },
      {
        name: 'unwraps a single value from an array of one',
        operations: [{ op: 'Replace', path: 'displayName', value: [{ $ref: null, value: 'Wrapped' }] }],
        after: { displayName: 'Wrapped' },
      },
      {
        name: 'unwraps the value of a selected element from an array of one',
        operations: [{ op: 'Replace', path: 'emails[type eq "home"].value', value: [{ $ref: null, value: 'h@x.y' }] }],
        after: { emails: [WORK, { ...HOME, value: 'h@x.y' }] },
      },
      {
        name: 'unpacks an app role from JSON text',
        operations: [
          {
            op: 'Add',
            path: 'roles',
            value: [{ value: '{"id":"06b07648","value":"Admin","displayName":"Administrator"}' }],
          },
        ],
        after: { roles: [{ value: 'Admin', display: 'Administrator' }] },
      },
      {
        name: 'attribute names in another case',
        operations: [{ op: 'Replace', path: 'DisplayName', value: 'Case' }],
        after: { displayName: 'Case' },
      },
      {
        name: 'sub-attribute names in another case',
        operations: [{ op: 'Add', path: 'emails', value: [{ Value: 'x@y.z', Type: 'other', Primary: 'False' }] }],
        after: { emails: [WORK, HOME, { value: 'x@y.z', type: 'other', primary: false }] },
      },
      {
        name: 'the same attribute removed, added and replaced in one request',
        operations: [
          { op: 'remove', path: 'externalId' },
          { op: 'add', path: 'externalId', value: 'a' },
          { op: 'replace', path: 'externalId', value: 'b' },
        ],
        after: { externalId: 'b' },
      },
      {
        name: 'a removal of what is not there changes nothing',
        operations: [{ op: 'Remove', path: 'phoneNumbers[type eq "fax"].value' }],
      },
      {
        name: 'an attribute that nobody knows is refused',
        operations: [{ op: 'Add', path: 'urn:ietf:params:scim:schemas:extension:Custom:2.0:User:tag', value: 'x' }],
        code: 'INVALID_PATH',
      },
    ],
    'entra',
  );
});

describe('the PATCH engine understands Entra with the flag', () => {
  testPatchCases(
    [
      {
        name: 'disables by a boolean',
        operations: [{ op: 'replace', path: 'active', value: false }],
        after: { active: false },
      },
      {
        name: 'value paths beside one replace with dotted and URN keys',
        operations: [
          { op: 'replace', path: 'emails[type eq "work"].value', value: 'n@example.com' },
          {
            op: 'replace',
            value: {
              displayName: 'Flag',
              'name.givenName': 'Fl',
              'name.familyName': 'Ag',
              [`${ENTERPRISE}:department`]: 'Ops',
              [`${ENTERPRISE}:manager`]: 'usr_other',
            },
          },
        ],
        after: {
          emails: [{ ...WORK, value: 'n@example.com' }, HOME],
          displayName: 'Flag',
          name: { givenName: 'Fl', familyName: 'Ag' },
          [ENTERPRISE]: { department: 'Ops', manager: { value: 'usr_other' } },
        },
      },
      {
        name: 'value paths as keys',
        operations: [{ op: 'replace', value: { 'phoneNumbers[type eq "work"].value': '555-9', active: false } }],
        after: { phoneNumbers: [{ value: '555-9', type: 'work' }], active: false },
      },
      {
        name: 'an extension object is merged',
        operations: [{ op: 'add', value: { [ENTERPRISE]: { costCenter: '42' } } }],
        after: enterprise({ costCenter: '42' }),
      },
      {
        name: 'roles by a quoted boolean, created with the type of the schema',
        before: MINIMAL,
        operations: [
          { op: 'add', path: 'roles[primary eq "True"].display', value: 'TQBJ' },
          { op: 'add', path: 'roles[primary eq "True"].value', value: 'UOYT' },
          { op: 'add', path: 'roles[primary eq "True"].type', value: 'VGNB' },
        ],
        after: { roles: [{ primary: true, display: 'TQBJ', value: 'UOYT', type: 'VGNB' }] },
      },
      {
        name: 'an unknown key does not stop the deactivation beside it',
        operations: [{ op: 'replace', value: { shoeSize: 43, active: 'False' } }],
        after: { active: false },
        ignored: ['shoeSize'],
      },
      {
        name: 'a blank userName does not stop the deactivation beside it',
        operations: [{ op: 'replace', value: { userName: '', active: false } }],
        after: { active: false },
        ignored: ['userName'],
      },
      {
        name: 'an unknown key with a filter is refused',
        operations: [{ op: 'replace', value: { 'emails[kind eq "x"].value': 'a', active: false } }],
        code: 'INVALID_PATH',
      },
    ],
    'entra',
  );
});

const VERBOSE: readonly [path: string, value: unknown][] = [
  ['active', true],
  ['displayName', 'RJEXKNFYZKXS'],
  ['title', 'a'],
  ['preferredLanguage', 'b'],
  ['userType', 'c'],
  ['nickName', 'd'],
  ['locale', 'e'],
  ['timezone', 'f'],
  ['profileUrl', 'g'],
  ['emails[type eq "work"].value', 'w@example.com'],
  ['emails[type eq "work"].primary', true],
  ['phoneNumbers[type eq "work"].value', '1'],
  ['phoneNumbers[type eq "work"].primary', true],
  ['phoneNumbers[type eq "mobile"].value', '2'],
  ['phoneNumbers[type eq "fax"].value', '3'],
  ['addresses[type eq "work"].formatted', 'h'],
  ['addresses[type eq "work"].streetAddress', 'i'],
  ['addresses[type eq "work"].locality', 'j'],
  ['addresses[type eq "work"].region', 'k'],
  ['addresses[type eq "work"].postalCode', 'l'],
  ['addresses[type eq "work"].primary', true],
  ['addresses[type eq "work"].country', 'm'],
  ['name.givenName', 'n'],
  ['name.familyName', 'o'],
  ['name.formatted', 'p'],
  ['name.middleName', 'q'],
  ['name.honorificPrefix', 'r'],
  ['name.honorificSuffix', 's'],
  [`${ENTERPRISE}:employeeNumber`, 't'],
  [`${ENTERPRISE}:department`, 'u'],
  [`${ENTERPRISE}:costCenter`, 'v'],
  [`${ENTERPRISE}:organization`, 'w'],
  [`${ENTERPRISE}:division`, 'x'],
  ['roles[primary eq "True"].display', 'y'],
  ['roles[primary eq "True"].value', 'z'],
  ['roles[primary eq "True"].type', 'A'],
];

describe('the PATCH engine passes the verbose test of the Entra validator', () => {
  testPatchCases(
    [
      {
        name: 'thirty-six additions to a user who has nothing but a userName',
        before: MINIMAL,
        operations: VERBOSE.map(([path, value]) => ({ op: 'add', path, value })),
        after: {
          active: true,
          displayName: 'RJEXKNFYZKXS',
          title: 'a',
          preferredLanguage: 'b',
          userType: 'c',
          nickName: 'd',
          locale: 'e',
          timezone: 'f',
          profileUrl: 'g',
          emails: [{ type: 'work', value: 'w@example.com', primary: true }],
          phoneNumbers: [
            { type: 'work', value: '1', primary: true },
            { type: 'mobile', value: '2' },
            { type: 'fax', value: '3' },
          ],
          addresses: [
            {
              type: 'work',
              formatted: 'h',
              streetAddress: 'i',
              locality: 'j',
              region: 'k',
              postalCode: 'l',
              primary: true,
              country: 'm',
            },
          ],
          name: {
            givenName: 'n',
            familyName: 'o',
            formatted: 'p',
            middleName: 'q',
            honorificPrefix: 'r',
            honorificSuffix: 's',
          },
          [ENTERPRISE]: { employeeNumber: 't', department: 'u', costCenter: 'v', organization: 'w', division: 'x' },
          roles: [{ primary: true, display: 'y', value: 'z', type: 'A' }],
        },
      },
    ],
    'entra',
  );
});
