import { Field, ObjectType, registerEnumType } from 'type-graphql';
import type { Attribute } from './schema.ts';

/** The kinds of resource that an extension is for, as the graph names them. */
export enum ScimResourceType {
  USER = 'User',
  GROUP = 'Group',
}
registerEnumType(ScimResourceType, { name: 'ScimResourceType', description: 'A kind of SCIM resource.' });

/** The types that an attribute of an extension may have, as the graph names them. */
export enum ScimAttributeType {
  STRING = 'string',
  BOOLEAN = 'boolean',
  DECIMAL = 'decimal',
  INTEGER = 'integer',
  DATE_TIME = 'dateTime',
  REFERENCE = 'reference',
  BINARY = 'binary',
  COMPLEX = 'complex',
}
registerEnumType(ScimAttributeType, {
  name: 'ScimAttributeType',
  description: 'The type of the values of an attribute (RFC 7643 section 2.3).',
});

/** Who may change an attribute of an extension, as the graph names it. */
export enum ScimMutability {
  READ_WRITE = 'readWrite',
  IMMUTABLE = 'immutable',
}
registerEnumType(ScimMutability, {
  name: 'ScimMutability',
  description: 'Whether an attribute can be changed once it has a value.',
});

/** When an attribute of an extension is shown, as the graph names it. */
export enum ScimReturned {
  ALWAYS = 'always',
  DEFAULT = 'default',
  REQUEST = 'request',
}
registerEnumType(ScimReturned, {
  name: 'ScimReturned',
  description: 'When a SCIM answer shows an attribute.',
  valuesConfig: {
    ALWAYS: { description: 'In every answer.' },
    DEFAULT: { description: 'Unless the client asks for others or excludes it.' },
    REQUEST: { description: 'Only where the client asks for it.' },
  },
});

/** An attribute of an extension. */
@ObjectType({ description: 'An attribute of a SCIM extension (RFC 7643 section 7).', simpleResolvers: true })
export class ScimAttribute {
  @Field(() => String)
  name!: string;

  @Field(() => ScimAttributeType)
  type!: Attribute['type'];

  @Field(() => String)
  description!: string;

  @Field(() => Boolean)
  multiValued!: boolean;

  @Field(() => Boolean)
  caseExact!: boolean;

  @Field(() => ScimMutability)
  mutability!: Attribute['mutability'];

  @Field(() => ScimReturned)
  returned!: Attribute['returned'];

  @Field(() => [String], { description: 'Values that are usual; others are taken as well.' })
  canonicalValues!: readonly string[];

  @Field(() => [ScimAttribute], { description: 'The parts of a complex attribute.' })
  subAttributes!: readonly ScimAttribute[];
}

/** A schema that a tenant adds to her users or groups. */
@ObjectType({ description: 'A schema that the tenant adds to her SCIM users or groups.', simpleResolvers: true })
export class ScimExtension {
  @Field(() => String, { description: 'The URN under which its values stand in a resource.' })
  schema!: string;

  @Field(() => ScimResourceType)
  resourceType!: 'User' | 'Group';

  @Field(() => String)
  name!: string;

  @Field(() => String)
  description!: string;

  @Field(() => [ScimAttribute])
  attributes!: readonly ScimAttribute[];
}
