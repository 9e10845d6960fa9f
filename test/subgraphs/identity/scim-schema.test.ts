import { describe, expect, test } from 'vitest';
import {
  resourceTypeDocuments,
  schemaDocuments,
  serviceProviderConfigDocument,
} from '../../../subgraphs/identity/scim/discovery.ts';
import { GROUP, USER, findAttribute, findSchema, pathOf } from '../../../subgraphs/identity/scim/schema.ts';
import { ENTERPRISE } from './scim-patch-cases.ts';

const BASE = 'https://api.example.com/scim/v2';

describe('the schema', () => {
  test.each([
    ['username', 'userName'],
    ['NAME.GIVENNAME', 'name.givenName'],
    ['urn:ietf:params:scim:schemas:core:2.0:User:emails', 'emails'],
    ['urn:ietf:params:scim:schemas:core:2.0:User:emails.value', 'emails.value'],
    ['urn:ietf:params:scim:schemas:core:2.0:User:externalId', 'externalId'],
    [`${ENTERPRISE}:department`, `${ENTERPRISE}:department`],
    [`${ENTERPRISE.toLowerCase()}:MANAGER.VALUE`, `${ENTERPRISE}:manager.value`],
    ['department', `${ENTERPRISE}:department`],
    ['groups.$ref', 'groups.$ref'],
    ['id', 'id'],
  ])('finds %s as %s', (name, path) => {
    const found = findAttribute(USER, name);
    expect(found && pathOf(found)).toBe(path);
  });

  test.each([
    '',
    'members',
    '__proto__',
    'constructor',
    'name.',
    'name.value',
    'emails.value.type',
    `${ENTERPRISE}:userName`,
    ENTERPRISE,
  ])('finds no user attribute "%s"', (name) => {
    expect(findAttribute(USER, name)).toBeUndefined();
  });

  test('tells users from groups', () => {
    expect(findAttribute(GROUP, 'members.value')).toBeDefined();
    expect(findAttribute(GROUP, 'userName')).toBeUndefined();
    expect(findSchema(USER, ENTERPRISE.toUpperCase())?.id).toBe(ENTERPRISE);
    expect(findSchema(GROUP, ENTERPRISE)).toBeUndefined();
  });

  test('compares names of users without case and external ids with it', () => {
    expect(findAttribute(USER, 'userName')?.attribute).toMatchObject({
      caseExact: false,
      required: true,
      uniqueness: 'server',
    });
    expect(findAttribute(USER, 'externalId')?.attribute).toMatchObject({ caseExact: true, required: false });
    expect(findAttribute(USER, 'id')?.attribute).toMatchObject({
      caseExact: true,
      mutability: 'readOnly',
      returned: 'always',
    });
  });
});

describe('the discovery documents', () => {
  test('list all schemas with every characteristic of RFC 7643 section 7', () => {
    const documents = schemaDocuments(BASE);
    expect(documents.map(({ id }) => id)).toEqual([
      'urn:ietf:params:scim:schemas:core:2.0:User',
      ENTERPRISE,
      'urn:ietf:params:scim:schemas:core:2.0:Group',
      'urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig',
      'urn:ietf:params:scim:schemas:core:2.0:ResourceType',
      'urn:ietf:params:scim:schemas:core:2.0:Schema',
    ]);
    expect(documents[0]).toMatchObject({
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:Schema'],
      meta: { resourceType: 'Schema', location: `${BASE}/Schemas/urn:ietf:params:scim:schemas:core:2.0:User` },
    });
    const [userName] = Object.values(documents[0]?.['attributes'] ?? []);
    expect(userName).toStrictEqual({
      name: 'userName',
      type: 'string',
      description: 'The name that identifies the user to this service; case does not matter.',
      multiValued: false,
      required: true,
      caseExact: false,
      mutability: 'readWrite',
      returned: 'default',
      uniqueness: 'server',
    });
  });

  test('describe members with their sub-attributes and references', () => {
    expect(schemaDocuments(BASE)[2]).toMatchObject({
      attributes: [
        { name: 'displayName', required: true },
        {
          name: 'members',
          type: 'complex',
          multiValued: true,
          subAttributes: [
            { name: 'value', mutability: 'immutable' },
            { name: '$ref', type: 'reference', referenceTypes: ['User'] },
            { name: 'type', canonicalValues: ['User'] },
            { name: 'display' },
          ],
        },
      ],
    });
  });

  test('list users with the enterprise extension, and groups', () => {
    expect(resourceTypeDocuments(BASE)).toMatchObject([
      { id: 'User', endpoint: '/Users', schemaExtensions: [{ schema: ENTERPRISE, required: false }] },
      { id: 'Group', endpoint: '/Groups', schemaExtensions: [], meta: { location: `${BASE}/ResourceTypes/Group` } },
    ]);
  });

  test('promise what the service does', () => {
    expect(serviceProviderConfigDocument(BASE)).toMatchObject({
      patch: { supported: true },
      bulk: { supported: true, maxOperations: 1000, maxPayloadSize: 1_048_576 },
      filter: { supported: true, maxResults: 200 },
      changePassword: { supported: false },
      sort: { supported: true },
      etag: { supported: true },
      pagination: {
        cursor: true,
        index: true,
        defaultPaginationMethod: 'index',
        defaultPageSize: 100,
        maxPageSize: 200,
        cursorTimeout: 3600,
      },
      authenticationSchemes: [{ type: 'oauthbearertoken' }],
    });
  });

  test('give each caller a copy of her own', () => {
    const [first] = schemaDocuments(BASE);
    if (first) first['attributes'] = [];
    expect(schemaDocuments(BASE)[0]?.['attributes']).not.toEqual([]);
  });
});
