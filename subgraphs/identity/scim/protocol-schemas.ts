import { builder, type Attribute, type Schema } from './schema.ts';

const string = builder('string');
const boolean = builder('boolean');
const integer = builder('integer');
const reference = builder('reference');
const complex = builder('complex');

const READ_ONLY = { mutability: 'readOnly' } as const;
const REQUIRED = { mutability: 'readOnly', required: true } as const;
const URI = { mutability: 'readOnly', referenceTypes: ['uri'] } as const;

/** The schemas that the service describes itself by (RFC 7643 sections 5 to 7, RFC 9865 section 4). */
export const PROTOCOL_SCHEMAS: readonly Schema[] = [
  {
    id: 'urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig',
    name: 'ServiceProviderConfig',
    description: 'What the service can do.',
    attributes: [
      reference('documentationUri', 'The address of a page about the service.', {
        ...READ_ONLY,
        referenceTypes: ['external'],
      }),
      feature('patch', 'Whether resources can be changed in part.'),
      feature('bulk', 'Whether many operations can come in one request.', [
        integer('maxOperations', 'The most operations in one request.', REQUIRED),
        integer('maxPayloadSize', 'The most bytes in one request.', REQUIRED),
      ]),
      feature('filter', 'Whether lists can be filtered.', [
        integer('maxResults', 'The most resources in one answer.', REQUIRED),
      ]),
      feature('changePassword', 'Whether passwords can be changed.'),
      feature('sort', 'Whether lists can be sorted.'),
      feature('etag', 'Whether versions are told by entity tags.'),
      complex('pagination', 'How lists are divided into pages.', {
        ...READ_ONLY,
        subAttributes: [
          boolean('cursor', 'Whether pages are found by cursors.', REQUIRED),
          boolean('index', 'Whether pages are found by an index.', REQUIRED),
          string('defaultPaginationMethod', 'What holds where the client says nothing.', {
            ...READ_ONLY,
            canonicalValues: ['cursor', 'index'],
          }),
          integer('defaultPageSize', 'Resources on a page whose size nobody names.', READ_ONLY),
          integer('maxPageSize', 'The most resources on a page.', READ_ONLY),
          integer('cursorTimeout', 'How many seconds a cursor is good for.', READ_ONLY),
        ],
      }),
      complex('authenticationSchemes', 'How clients prove who they are.', {
        ...REQUIRED,
        multiValued: true,
        subAttributes: [
          string('type', 'The kind of scheme.', {
            ...REQUIRED,
            canonicalValues: ['oauth', 'oauth2', 'oauthbearertoken', 'httpbasic', 'httpdigest'],
          }),
          string('name', 'The name of the scheme.', REQUIRED),
          string('description', 'What the scheme is.', REQUIRED),
          reference('specUri', 'The address of its specification.', { ...READ_ONLY, referenceTypes: ['external'] }),
          reference('documentationUri', 'The address of a page about it.', {
            ...READ_ONLY,
            referenceTypes: ['external'],
          }),
          boolean('primary', 'Whether this is the preferred one.', READ_ONLY),
        ],
      }),
    ],
  },
  {
    id: 'urn:ietf:params:scim:schemas:core:2.0:ResourceType',
    name: 'ResourceType',
    description: 'A kind of resource.',
    attributes: [
      string('id', 'The identifier of the kind.', READ_ONLY),
      string('name', 'The name of the kind.', REQUIRED),
      string('description', 'What the kind is.', READ_ONLY),
      reference('endpoint', 'Its address below that of the service.', { ...REQUIRED, ...URI }),
      reference('schema', 'The URN of its schema.', { ...REQUIRED, ...URI }),
      complex('schemaExtensions', 'The schemas that extend it.', {
        ...READ_ONLY,
        multiValued: true,
        subAttributes: [
          reference('schema', 'The URN of the extension.', { ...REQUIRED, ...URI }),
          boolean('required', 'Whether every resource has to carry it.', REQUIRED),
        ],
      }),
    ],
  },
  {
    id: 'urn:ietf:params:scim:schemas:core:2.0:Schema',
    name: 'Schema',
    description: 'A schema: a URN and its attributes.',
    attributes: [
      string('id', 'The URN of the schema.', { ...REQUIRED, caseExact: true }),
      string('name', 'The name of the schema.', READ_ONLY),
      string('description', 'What the schema is.', READ_ONLY),
      attributeList('attributes', [attributeList('subAttributes', [])]),
    ],
  },
];

function feature(name: string, description: string, more: readonly Attribute[] = []): Attribute {
  const supported = boolean('supported', 'Whether the service offers it.', REQUIRED);
  return complex(name, description, { ...REQUIRED, subAttributes: [supported, ...more] });
}

function attributeList(name: string, inner: readonly Attribute[]): Attribute {
  const exact = { ...READ_ONLY, caseExact: true } as const;
  return complex(name, 'Attributes and their characteristics (RFC 7643 section 7).', {
    ...READ_ONLY,
    required: name === 'attributes',
    multiValued: true,
    subAttributes: [
      string('name', 'The name of the attribute.', { ...REQUIRED, caseExact: true }),
      string('type', 'The type of its values.', {
        ...REQUIRED,
        canonicalValues: ['string', 'boolean', 'decimal', 'integer', 'dateTime', 'reference', 'binary', 'complex'],
      }),
      string('description', 'What it is.', exact),
      boolean('multiValued', 'Whether it has several values.', REQUIRED),
      boolean('required', 'Whether it has to be there.', READ_ONLY),
      boolean('caseExact', 'Whether case matters in its values.', READ_ONLY),
      string('mutability', 'Who may change it.', {
        ...exact,
        canonicalValues: ['readOnly', 'readWrite', 'immutable', 'writeOnly'],
      }),
      string('returned', 'When it is shown.', {
        ...exact,
        canonicalValues: ['always', 'never', 'default', 'request'],
      }),
      string('uniqueness', 'Where its values are unique.', { ...exact, canonicalValues: ['none', 'server', 'global'] }),
      string('canonicalValues', 'Values that are usual.', { ...exact, multiValued: true }),
      string('referenceTypes', 'What a reference may lead to.', { ...exact, multiValued: true }),
      ...inner,
    ],
  });
}
