import { Directive, Field, ID, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { CREATED_AT, idColumn, primaryId } from '#kit/columns.ts';
import { connectionOf } from '#kit/connection.ts';

/** What a share allows. */
export enum Permission {
  VIEW = 'view',
  COMMENT = 'comment',
  EDIT = 'edit',
}
registerEnumType(Permission, { name: 'Permission', description: 'What a share allows.' });

/** A user of the identity subgraph, known here by her id alone. */
@ObjectType('User')
@Directive('@key(fields: "id", resolvable: false)')
export class AuthorReference {
  @Field(() => ID)
  id!: string;
}

/** A project: a named set of documents. */
@ObjectType({ description: 'A named set of documents.' })
@Directive('@key(fields: "id")')
@Directive('@permission(scope: "projects:read")')
@Entity('projects')
export class Project {
  @Field(() => ID)
  @PrimaryColumn(primaryId('prj'))
  id!: string;

  @Field(() => String)
  @Column('text')
  name!: string;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;
}

/** A document of a project. */
@ObjectType({ description: 'A text in a project.' })
@Directive('@key(fields: "id")')
@Directive('@permission(scope: "projects:read")')
@Entity('documents')
export class Document {
  @Field(() => ID)
  @PrimaryColumn(primaryId('doc'))
  id!: string;

  @Column(idColumn('prj', { name: 'project_id' }))
  projectId!: string;

  @Field(() => String)
  @Column('text')
  name!: string;

  @Field(() => String)
  @Column('text')
  body!: string;

  @Column(idColumn('usr', { name: 'author_id', nullable: true }))
  authorId!: string | null;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;
}

/** A grant of a document to somebody outside its project. */
@ObjectType({ description: 'A document shared with an e-mail address.' })
@Entity('document_shares')
export class DocumentShare {
  @Field(() => ID)
  @PrimaryColumn(primaryId('shr'))
  id!: string;

  @Column(idColumn('doc', { name: 'document_id' }))
  documentId!: string;

  @Field(() => String)
  @Directive(
    '@personalData(category: "contact", purpose: "sharing a document", retention: "as long as the document is shared")',
  )
  @Column('text')
  recipient!: string;

  @Field(() => Permission)
  @Column('text')
  permission!: Permission;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;
}

/** Pages of projects. */
export const ProjectConnection = connectionOf('Project', Project);
/** Pages of documents. */
export const DocumentConnection = connectionOf('Document', Document);
