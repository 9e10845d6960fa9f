import { ENTERPRISE_URN } from './identity-platform.ts';

/** How Entra writes a change. */
export interface EntraMode {
  readonly mode: string;
  readonly set: (attributes: Readonly<Record<string, unknown>>) => object[];
  readonly add: (attributes: Readonly<Record<string, unknown>>) => object[];
  readonly remove: (path: string) => object;
  readonly boolean: (value: boolean) => unknown;
  readonly noManager: object;
  readonly removeMember: (id: string) => object;
}

const each = (op: string) => (attributes: Readonly<Record<string, unknown>>) =>
  Object.entries(attributes).map(([path, value]) => ({ op, path, value }));

/** With the flag, value paths stay operations and all the rest goes into one replace without a path. */
function together(attributes: Readonly<Record<string, unknown>>): object[] {
  const entries = Object.entries(attributes);
  const selected = entries.filter(([path]) => path.includes('['));
  const plain = entries.filter(([path]) => !path.includes('['));
  return [
    ...selected.map(([path, value]) => ({ op: 'replace', path, value })),
    ...(plain.length > 0 ? [{ op: 'replace', value: Object.fromEntries(plain) }] : []),
  ];
}

/** Without its flag aadOptscim062020, and with it. */
export const ENTRA_MODES: readonly EntraMode[] = [
  {
    mode: 'without the flag',
    set: each('Replace'),
    add: each('Add'),
    remove: (path) => ({ op: 'Remove', path }),
    boolean: (value) => (value ? 'True' : 'False'),
    noManager: { op: 'Replace', path: `${ENTERPRISE_URN}:manager`, value: '' },
    removeMember: (id) => ({ op: 'Remove', path: 'members', value: [{ $ref: null, value: id }] }),
  },
  {
    mode: 'with the flag',
    set: together,
    add: each('add'),
    remove: (path) => ({ op: 'remove', path }),
    boolean: (value) => value,
    noManager: { op: 'remove', path: `${ENTERPRISE_URN}:manager` },
    removeMember: (id) => ({ op: 'remove', path: `members[value eq "${id}"]` }),
  },
];

/** Attributes of one value by their paths. */
export const PLAIN = {
  displayName: 'RJEXKNFYZKXS',
  title: 'LPCQNEVWRNZX',
  preferredLanguage: 'ps-AF',
  userType: 'DDSHXUZQUDTA',
  nickName: 'ZXAIONEHYJWS',
  locale: 'XIXBHGOUUFHK',
  timezone: 'Africa/Lagos',
  profileUrl: 'https://acme.example/ESADBNEKOQLX',
  'name.givenName': 'Kaya',
  'name.familyName': 'Hal',
  'name.formatted': 'Dr Kaya Hal',
  'name.middleName': 'Q',
  'name.honorificPrefix': 'Dr',
  'name.honorificSuffix': 'II',
  [`${ENTERPRISE_URN}:employeeNumber`]: '701984',
  [`${ENTERPRISE_URN}:department`]: 'Tours',
  [`${ENTERPRISE_URN}:costCenter`]: '4130',
  [`${ENTERPRISE_URN}:organization`]: 'Acme',
  [`${ENTERPRISE_URN}:division`]: 'North',
};
/** Parts of elements by their paths. */
export const SELECTED = {
  'emails[type eq "work"].value': 'kaya@acme.example',
  'emails[type eq "work"].primary': true,
  'phoneNumbers[type eq "work"].value': '44-0',
  'phoneNumbers[type eq "work"].primary': true,
  'phoneNumbers[type eq "mobile"].value': '44-1',
  'phoneNumbers[type eq "fax"].value': '44-2',
  'addresses[type eq "work"].formatted': 'Full',
  'addresses[type eq "work"].streetAddress': 'Street 1',
  'addresses[type eq "work"].locality': 'Oslo',
  'addresses[type eq "work"].region': 'East',
  'addresses[type eq "work"].postalCode': '0150',
  'addresses[type eq "work"].primary': true,
  'addresses[type eq "work"].country': 'Norway',
  'roles[primary eq "True"].display': 'Role',
  'roles[primary eq "True"].value': 'role',
  'roles[primary eq "True"].type': 'kind',
};
/** The additions of the verbose test. */
export const VERBOSE = { active: true, ...PLAIN, ...SELECTED };

/** What a user has who got all of the above. */
export const RESULT = {
  ...Object.fromEntries(Object.entries(PLAIN).filter(([name]) => !/[.:]/.test(name))),
  name: {
    givenName: 'Kaya',
    familyName: 'Hal',
    formatted: 'Dr Kaya Hal',
    middleName: 'Q',
    honorificPrefix: 'Dr',
    honorificSuffix: 'II',
  },
  [ENTERPRISE_URN]: {
    employeeNumber: '701984',
    department: 'Tours',
    costCenter: '4130',
    organization: 'Acme',
    division: 'North',
  },
  emails: [{ type: 'work', value: 'kaya@acme.example', primary: true }],
  phoneNumbers: [
    { type: 'work', value: '44-0', primary: true },
    { type: 'mobile', value: '44-1' },
    { type: 'fax', value: '44-2' },
  ],
  addresses: [
    {
      type: 'work',
      formatted: 'Full',
      streetAddress: 'Street 1',
      locality: 'Oslo',
      region: 'East',
      postalCode: '0150',
      primary: true,
      country: 'Norway',
    },
  ],
  roles: [{ primary: true, display: 'Role', value: 'role', type: 'kind' }],
  active: true,
};
