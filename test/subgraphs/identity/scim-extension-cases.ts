export const BADGE = 'urn:ietf:params:scim:schemas:extension:acme:2.0:User';
export const TEAM = 'urn:example:team:1.0:Group';
export const REGISTER = `mutation ($input: RegisterScimExtensionInput!) { registerScimExtension(input: $input) {
  extension { schema resourceType name attributes { name type multiValued mutability returned subAttributes { name type } } } } }`;
export const REMOVE = 'mutation ($input: RemoveScimExtensionInput!) { removeScimExtension(input: $input) { schema } }';
export const LIST = '{ scimExtensions { schema name attributes { name } } }';

export const ATTRIBUTES = [
  { name: 'badge', type: 'STRING', caseExact: true, description: 'The number on the badge.' },
  { name: 'floor', type: 'INTEGER' },
  { name: 'weight', type: 'DECIMAL' },
  { name: 'remote', type: 'BOOLEAN' },
  { name: 'joined', type: 'DATE_TIME', mutability: 'IMMUTABLE' },
  { name: 'note', type: 'STRING', returned: 'REQUEST' },
  { name: 'page', type: 'REFERENCE' },
  { name: 'desk', type: 'COMPLEX', subAttributes: [{ name: 'room' }, { name: 'seat', type: 'INTEGER' }] },
  {
    name: 'devices',
    type: 'COMPLEX',
    multiValued: true,
    subAttributes: [
      { name: 'value' },
      { name: 'type', canonicalValues: ['laptop'] },
      { name: 'primary', type: 'BOOLEAN' },
    ],
  },
];
export const EXTENSION = {
  schema: BADGE,
  resourceType: 'USER',
  name: 'Badge',
  description: 'What our doors know.',
  attributes: ATTRIBUTES,
};
export const VALUES = {
  badge: 'B-1',
  floor: 3,
  weight: 70.5,
  remote: true,
  joined: '2026-01-31T12:00:00.000Z',
  page: 'https://acme.example/1',
  desk: { room: 'R1', seat: 4 },
  devices: [{ value: 'lap-1', type: 'laptop', primary: true }],
};
