import { Arg, Args, Ctx, Directive, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import type { RequestContext } from '#kit/request-context.ts';
import {
  CreateDocumentInput,
  CreateDocumentPayload,
  CreateProjectInput,
  CreateProjectPayload,
  ShareDocumentInput,
  ShareDocumentPayload,
} from './inputs.ts';
import { AuthorReference, Document, DocumentConnection, Project, ProjectConnection } from './model.ts';
import { createDocument, createProject, findProject, listDocuments, listProjects, shareDocument } from './service.ts';

/** Projects, their documents and what may be done with them. */
@Resolver(() => Project)
export class ProjectResolver {
  @Query(() => ProjectConnection, { description: 'The projects of the tenant, newest first.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "projects:read")')
  async projects(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listProjects(ctx, args);
  }

  @Query(() => Project, { nullable: true, description: 'One project, or null where the tenant has none of that id.' })
  @Directive('@permission(scope: "projects:read")')
  async project(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    return findProject(ctx, id);
  }

  @FieldResolver(() => DocumentConnection, { description: 'The documents of the project, newest first.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "projects:read")')
  async documents(
    @Root() project: Project,
    @Ctx() ctx: RequestContext,
    @Args(() => ConnectionArgs) args: ConnectionArgs,
  ) {
    return listDocuments(ctx, project.id, args);
  }

  @Mutation(() => CreateProjectPayload, { description: 'Creates a project.' })
  @Directive('@audit(action: "project.create")')
  @Directive('@permission(scope: "projects:write")')
  async createProject(@Ctx() ctx: RequestContext, @Arg('input', () => CreateProjectInput) input: CreateProjectInput) {
    return { project: await createProject(ctx, input) };
  }

  @Mutation(() => CreateDocumentPayload, { description: 'Creates a document in a project.' })
  @Directive('@audit(action: "document.create")')
  @Directive('@permission(scope: "projects:write")')
  async createDocument(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => CreateDocumentInput) input: CreateDocumentInput,
  ) {
    return { document: await createDocument(ctx, input) };
  }

  @Mutation(() => ShareDocumentPayload, { description: 'Shares a document with an e-mail address.' })
  @Directive('@audit(action: "document.share")')
  @Directive('@control(ids: ["CC6.1", "CC6.7"])')
  @Directive('@permission(scope: "projects:write")')
  async shareDocument(@Ctx() ctx: RequestContext, @Arg('input', () => ShareDocumentInput) input: ShareDocumentInput) {
    return shareDocument(ctx, input);
  }
}

/** Fields of a document that lead elsewhere. */
@Resolver(() => Document)
export class DocumentResolver {
  @FieldResolver(() => AuthorReference, { nullable: true, description: 'Who wrote it; null once she is gone.' })
  author(@Root() document: Document): AuthorReference | null {
    return document.authorId === null ? null : { id: document.authorId };
  }
}
