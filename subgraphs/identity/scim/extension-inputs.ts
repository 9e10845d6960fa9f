import { ArrayMaxSize, ArrayMinSize, Length, Matches, MaxLength, ValidateNested } from 'class-validator';
import { Field, InputType, ObjectType } from 'type-graphql';
import { ScimAttributeType, ScimExtension, ScimMutability, ScimResourceType, ScimReturned } from './extension-model.ts';

/** No name of an attribute reaches a prototype: those that could are no names of this shape or refused by the service. */
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
const MAX_ATTRIBUTES = 50;
const MAX_PARTS = 20;
const MAX_CANONICAL_VALUES = 50;

/** A part of a complex attribute. */
@InputType()
export class ScimSubAttributeInput {
  @Field(() => String)
  @Matches(NAME)
  name!: string;

  @Field(() => ScimAttributeType, { nullable: true, description: 'By default STRING.' })
  type?: ScimAttributeType | null;

  @Field(() => String, { defaultValue: '' })
  @MaxLength(500)
  description!: string;

  @Field(() => Boolean, { nullable: true, description: 'By default for references and binary values alone.' })
  caseExact?: boolean | null;

  @Field(() => [String], { defaultValue: [], description: 'Values that are usual; others are taken as well.' })
  @ArrayMaxSize(MAX_CANONICAL_VALUES)
  @Length(1, 100, { each: true })
  canonicalValues!: string[];
}

/** An attribute of an extension. */
@InputType()
export class ScimAttributeInput extends ScimSubAttributeInput {
  @Field(() => Boolean, { defaultValue: false, description: 'Only for complex attributes.' })
  multiValued!: boolean;

  @Field(() => ScimMutability, { nullable: true, description: 'By default READ_WRITE.' })
  mutability?: ScimMutability | null;

  @Field(() => ScimReturned, { nullable: true, description: 'By default DEFAULT.' })
  returned?: ScimReturned | null;

  @Field(() => [ScimSubAttributeInput], { defaultValue: [], description: 'The parts of a complex attribute.' })
  @ArrayMaxSize(MAX_PARTS)
  @ValidateNested({ each: true })
  subAttributes!: ScimSubAttributeInput[];
}

@InputType()
export class RegisterScimExtensionInput {
  @Field(() => String, { description: 'A URN such as urn:ietf:params:scim:schemas:extension:acme:2.0:User.' })
  @Matches(/^urn:[A-Za-z0-9][A-Za-z0-9-]{1,31}:[A-Za-z0-9_.:-]{1,160}[A-Za-z0-9]$/)
  schema!: string;

  @Field(() => ScimResourceType)
  resourceType!: ScimResourceType;

  @Field(() => String)
  @Length(1, 100)
  name!: string;

  @Field(() => String, { defaultValue: '' })
  @MaxLength(500)
  description!: string;

  @Field(() => [ScimAttributeInput])
  @ArrayMinSize(1)
  @ArrayMaxSize(MAX_ATTRIBUTES)
  @ValidateNested({ each: true })
  attributes!: ScimAttributeInput[];
}

@ObjectType()
export class ScimExtensionPayload {
  @Field(() => ScimExtension)
  extension!: ScimExtension;
}

@InputType()
export class RemoveScimExtensionInput {
  @Field(() => String)
  @MaxLength(200)
  schema!: string;
}

@ObjectType()
export class RemoveScimExtensionPayload {
  @Field(() => String)
  schema!: string;
}
