/** A JSON object of the SCIM protocol; its keys are attribute names as the schema spells them, or schema URNs. */
export interface ScimObject {
  [name: string]: ScimValue;
}

/** Any JSON value of the SCIM protocol except null, which RFC 7643 section 2.5 holds equal to absence. */
export type ScimValue = string | number | boolean | ScimObject | ScimValue[];

/** One attribute of a schema, with the characteristics of RFC 7643 section 7. */
export interface Attribute {
  readonly name: string;
  readonly type: 'string' | 'boolean' | 'decimal' | 'integer' | 'dateTime' | 'reference' | 'binary' | 'complex';
  readonly description: string;
  readonly multiValued: boolean;
  readonly required: boolean;
  readonly caseExact: boolean;
  readonly mutability: 'readWrite' | 'readOnly' | 'immutable' | 'writeOnly';
  readonly returned: 'always' | 'never' | 'default' | 'request';
  readonly uniqueness: 'none' | 'server' | 'global';
  readonly canonicalValues?: readonly string[];
  readonly referenceTypes?: readonly string[];
  readonly subAttributes?: readonly Attribute[];
}

/** A schema of RFC 7643: a URN and its attributes. */
export interface Schema {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly attributes: readonly Attribute[];
}

/** A kind of resource: its endpoint below the base address, its core schema and the extensions it may carry. */
export interface ResourceType {
  readonly name: 'User' | 'Group';
  readonly description: string;
  readonly endpoint: '/Users' | '/Groups';
  readonly schema: Schema;
  readonly extensions: readonly Schema[];
  /** URNs beside that of the schema behind which its attributes are found as well. */
  readonly aliases?: readonly string[];
}

/** Where an attribute stands in a resource: below `extension` where that is set, and within `attribute` where `sub` is. */
export interface AttributeReference {
  readonly attribute: Attribute;
  readonly sub?: Attribute;
  readonly extension?: string;
}

const USER_URN = 'urn:ietf:params:scim:schemas:core:2.0:User';
const GROUP_URN = 'urn:ietf:params:scim:schemas:core:2.0:Group';
const ENTERPRISE_URN = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User';

/** The most resources that one page of a list holds. */
export const MAX_PAGE_SIZE = 200;

const string = builder('string');
const boolean = builder('boolean');
const dateTime = builder('dateTime');
const binary = builder('binary');
const reference = builder('reference');
const complex = builder('complex');

/** Attributes that every resource has and no schema lists (RFC 7643 section 3.1). */
export const COMMON_ATTRIBUTES: readonly Attribute[] = [
  reference('schemas', 'The URNs of the schemas that this resource carries.', {
    multiValued: true,
    mutability: 'readOnly',
    returned: 'always',
  }),
  string('id', 'The identifier that this service gave the resource.', {
    caseExact: true,
    mutability: 'readOnly',
    returned: 'always',
    uniqueness: 'server',
  }),
  string('externalId', 'The identifier that the provisioning client gave the resource.', { caseExact: true }),
  complex('meta', 'What this service knows about the resource.', {
    mutability: 'readOnly',
    subAttributes: [
      string('resourceType', 'The kind of resource.', { caseExact: true, mutability: 'readOnly' }),
      dateTime('created', 'When the resource was made.', { mutability: 'readOnly' }),
      dateTime('lastModified', 'When the resource was last changed.', { mutability: 'readOnly' }),
      reference('location', 'The address of the resource.', { referenceTypes: ['uri'], mutability: 'readOnly' }),
      string('version', 'The version of the resource.', { caseExact: true, mutability: 'readOnly' }),
    ],
  }),
];

/** The core User schema (RFC 7643 section 4.1). */
export const USER_SCHEMA: Schema = {
  id: USER_URN,
  name: 'User',
  description: 'A person who signs in.',
  attributes: [
    string('userName', 'The name that identifies the user to this service; case does not matter.', {
      required: true,
      uniqueness: 'server',
    }),
    complex('name', 'The parts of the real name.', {
      subAttributes: [
        string('formatted', 'The full name, ready to be shown.'),
        string('familyName', 'The family name.'),
        string('givenName', 'The given name.'),
        string('middleName', 'The middle name.'),
        string('honorificPrefix', 'The title before the name.'),
        string('honorificSuffix', 'The suffix behind the name.'),
      ],
    }),
    string('displayName', 'The name that is shown.'),
    string('nickName', 'The casual name.'),
    reference('profileUrl', 'The address of a page about the user.', { referenceTypes: ['external'] }),
    string('title', 'The job title.'),
    string('userType', 'The relation to the organisation, such as Employee or Contractor.'),
    string('preferredLanguage', 'The preferred language, as in Accept-Language.'),
    string('locale', 'The locale for dates, numbers and currency.'),
    string('timezone', 'The time zone in the IANA database.'),
    boolean('active', 'Whether the user may sign in; false ends every session and key.'),
    string('password', 'Accepted and dropped: it is never stored and cannot be used to sign in.', {
      caseExact: true,
      mutability: 'writeOnly',
      returned: 'never',
    }),
    plural('emails', 'Mail addresses.', {
      value: string('value', 'The mail address.'),
      types: ['work', 'home', 'other'],
    }),
    plural('phoneNumbers', 'Telephone numbers.', {
      value: string('value', 'The telephone number.'),
      types: ['work', 'home', 'mobile', 'fax', 'pager', 'other'],
    }),
    plural('ims', 'Instant messaging addresses.', { value: string('value', 'The messaging address.') }),
    plural('photos', 'Addresses of pictures.', {
      value: reference('value', 'The address of the picture.', { referenceTypes: ['external'] }),
      types: ['photo', 'thumbnail'],
    }),
    complex('addresses', 'Postal addresses.', {
      multiValued: true,
      subAttributes: [
        string('formatted', 'The full address, ready to be printed.'),
        string('streetAddress', 'The street, house number and the like.'),
        string('locality', 'The city.'),
        string('region', 'The state or region.'),
        string('postalCode', 'The postal code.'),
        string('country', 'The country, as its ISO 3166-1 alpha-2 code.'),
        string('type', 'What the address is for.', { canonicalValues: ['work', 'home', 'other'] }),
        boolean('primary', 'Whether this is the preferred one.'),
      ],
    }),
    complex('groups', 'The groups that the user is in; changed through the groups.', {
      multiValued: true,
      mutability: 'readOnly',
      subAttributes: [
        string('value', 'The id of the group.', { caseExact: true, mutability: 'readOnly' }),
        reference('$ref', 'The address of the group.', { referenceTypes: ['Group'], mutability: 'readOnly' }),
        string('display', 'The name of the group.', { mutability: 'readOnly' }),
        string('type', 'How the user is in the group.', { canonicalValues: ['direct'], mutability: 'readOnly' }),
      ],
    }),
    plural('entitlements', 'Things that the user is entitled to.', { value: string('value', 'The entitlement.') }),
    plural('roles', 'Roles as the identity provider names them.', { value: string('value', 'The role.') }),
    plural('x509Certificates', 'Certificates of the user.', { value: binary('value', 'The certificate, base 64.') }),
  ],
};

/** The EnterpriseUser extension (RFC 7643 section 4.3). */
export const ENTERPRISE_SCHEMA: Schema = {
  id: ENTERPRISE_URN,
  name: 'EnterpriseUser',
  description: 'What an organisation knows about its user.',
  attributes: [
    string('employeeNumber', 'The number of the employee.'),
    string('costCenter', 'The cost center.'),
    string('organization', 'The organisation.'),
    string('division', 'The division.'),
    string('department', 'The department.'),
    complex('manager', 'The manager of the user.', {
      subAttributes: [
        string('value', 'The id of the manager.', { caseExact: true }),
        reference('$ref', 'The address of the manager.', { referenceTypes: ['User'] }),
        string('displayName', 'The name of the manager.', { mutability: 'readOnly' }),
      ],
    }),
  ],
};

/** The Group schema (RFC 7643 section 4.2). */
export const GROUP_SCHEMA: Schema = {
  id: GROUP_URN,
  name: 'Group',
  description: 'A group of users.',
  attributes: [
    string('displayName', 'The name of the group.', { required: true, uniqueness: 'server' }),
    complex('members', 'The members of the group.', {
      multiValued: true,
      subAttributes: [
        string('value', 'The id of the member.', { caseExact: true, mutability: 'immutable' }),
        reference('$ref', 'The address of the member.', { referenceTypes: ['User'], mutability: 'immutable' }),
        string('type', 'The kind of the member.', { canonicalValues: ['User'], mutability: 'immutable' }),
        string('display', 'The name of the member.', { mutability: 'readOnly' }),
      ],
    }),
  ],
};

/** The User resource type. */
export const USER: ResourceType = {
  name: 'User',
  description: 'User accounts',
  endpoint: '/Users',
  schema: USER_SCHEMA,
  extensions: [ENTERPRISE_SCHEMA],
};

/** The Group resource type. */
export const GROUP: ResourceType = {
  name: 'Group',
  description: 'Groups',
  endpoint: '/Groups',
  schema: GROUP_SCHEMA,
  extensions: [],
};

/** By type; those with the extensions of a tenant come and go. */
const INDEXES = new WeakMap<ResourceType, ReadonlyMap<string, AttributeReference>>();

/**
 * Returns the attribute that a name stands for, or undefined; case does not matter (RFC 7643 section 2.1). A name is
 * `attribute`, `attribute.sub` or either behind a schema URN and a colon. An attribute of an extension is also found
 * by its bare name, since Entra sends `manager` so.
 */
export function findAttribute(type: ResourceType, name: string): AttributeReference | undefined {
  const index = INDEXES.get(type) ?? indexOf(type);
  INDEXES.set(type, index);
  return index.get(name.toLowerCase());
}

/** Returns the core schema or extension of a resource type by its URN, or undefined; case does not matter. */
export function findSchema(type: ResourceType, urn: string): Schema | undefined {
  const wanted = urn.toLowerCase();
  return [type.schema, ...type.extensions].find((schema) => schema.id.toLowerCase() === wanted);
}

/** Returns the one of the attributes that has this name, or undefined; case does not matter. */
export function attributeNamed(attributes: readonly Attribute[] | undefined, name: string): Attribute | undefined {
  const wanted = name.toLowerCase();
  return attributes?.find((candidate) => candidate.name.toLowerCase() === wanted);
}

/** Returns the sub-attribute `value` of a complex attribute: the one that stands for the whole where there is one. */
export function valueOf(complexAttribute: Attribute): Attribute | undefined {
  return complexAttribute.subAttributes?.find((sub) => sub.name === 'value');
}

/** Returns the keys that lead from a resource to the attribute. */
export function keysOf({ extension, attribute: top, sub }: AttributeReference): string[] {
  return [extension, top.name, sub?.name].filter((key) => key !== undefined);
}

/** Returns the canonical name of an attribute, such as `name.givenName` or `urn:...:User:manager.value`. */
export function pathOf({ extension, attribute: top, sub }: AttributeReference): string {
  const path = sub === undefined ? top.name : `${top.name}.${sub.name}`;
  return extension === undefined ? path : `${extension}:${path}`;
}

function indexOf(type: ResourceType): Map<string, AttributeReference> {
  const index = new Map<string, AttributeReference>();
  const enter = (prefix: string, target: AttributeReference): void => {
    const name = `${prefix}${target.attribute.name}`.toLowerCase();
    if (index.has(name)) return;
    index.set(name, target);
    for (const sub of target.attribute.subAttributes ?? []) {
      index.set(`${name}.${sub.name.toLowerCase()}`, { ...target, sub });
    }
  };
  for (const top of [...COMMON_ATTRIBUTES, ...type.schema.attributes]) {
    enter('', { attribute: top });
    for (const urn of [type.schema.id, ...(type.aliases ?? [])]) enter(`${urn}:`, { attribute: top });
  }
  for (const extension of type.extensions) {
    for (const top of extension.attributes) {
      enter(`${extension.id}:`, { attribute: top, extension: extension.id });
      enter('', { attribute: top, extension: extension.id });
    }
  }
  return index;
}

type Characteristics = Partial<Omit<Attribute, 'name' | 'type' | 'description'>>;
type Builder = (name: string, description: string, characteristics?: Characteristics) => Attribute;

/** Returns a function that makes attributes of a type; what it is not told has the default of RFC 7643 section 2.2. */
export function builder(type: Attribute['type']): Builder {
  return (name, description, characteristics = {}) => ({
    name,
    type,
    description,
    multiValued: false,
    required: false,
    caseExact: type === 'reference' || type === 'binary',
    mutability: 'readWrite',
    returned: 'default',
    uniqueness: 'none',
    ...characteristics,
  });
}

function plural(
  name: string,
  description: string,
  { value, types }: { value: Attribute; types?: string[] },
): Attribute {
  return complex(name, description, {
    multiValued: true,
    subAttributes: [
      value,
      string('display', 'The text that is shown.'),
      string('type', 'What the value is for.', types === undefined ? {} : { canonicalValues: types }),
      boolean('primary', 'Whether this is the preferred one.'),
    ],
  });
}
