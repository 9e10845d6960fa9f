import { IsEmail, Length, MaxLength } from 'class-validator';
import { Field, ID, InputType, ObjectType } from 'type-graphql';
import { Document, DocumentShare, Permission, Project } from './model.ts';

@InputType()
export class CreateProjectInput {
  @Field(() => String)
  @Length(1, 200)
  name!: string;
}

@ObjectType()
export class CreateProjectPayload {
  @Field(() => Project)
  project!: Project;
}

@InputType()
export class CreateDocumentInput {
  @Field(() => ID)
  projectId!: string;

  @Field(() => String)
  @Length(1, 200)
  name!: string;

  @Field(() => String, { defaultValue: '' })
  @MaxLength(100_000)
  body!: string;
}

@ObjectType()
export class CreateDocumentPayload {
  @Field(() => Document)
  document!: Document;
}

@InputType()
export class ShareDocumentInput {
  @Field(() => ID)
  documentId!: string;

  @Field(() => String, { description: 'The e-mail address to share with.' })
  @IsEmail()
  to!: string;

  @Field(() => Permission)
  permission!: Permission;
}

@ObjectType()
export class ShareDocumentPayload {
  @Field(() => DocumentShare)
  share!: DocumentShare;

  @Field(() => ID, { description: 'The audit event that this wrote.' })
  auditEventId!: string;
}
