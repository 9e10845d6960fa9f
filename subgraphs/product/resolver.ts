import { Arg, Args, Ctx, Directive, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import { authorize } from '#kit/authorize.ts';
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
  async projects(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    authorize(ctx, 'projects:read');
    return listProjects(ctx, args);
  }

  @Query(() => Project, { nullable: true, description: 'One project, or null where the tenant has none of that id.' })
  async project(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    authorize(ctx, 'projects:read');
    return findProject(ctx, id);
  }

  @FieldResolver(() => DocumentConnection, { description: 'The documents of the project, newest first.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  async documents(
    @Root() project: Project,
    @Ctx() ctx: RequestContext,
    @Args(() => ConnectionArgs) args: ConnectionArgs,
  ) {
    authorize(ctx, 'projects:read');
    return listDocuments(ctx, project.id, args);
  }

  @Mutation(() => CreateProjectPayload, { description: 'Creates a project.' })
  @Directive('@audit(action: "project.create")')
  async createProject(@Ctx() ctx: RequestContext, @Arg('input', () => CreateProjectInput) input: CreateProjectInput) {
    authorize(ctx, 'projects:write');
    return { project: await createProject(ctx, input) };
  }

  @Mutation(() => CreateDocumentPayload, { description: 'Creates a document in a project.' })
  @Directive('@audit(action: "document.create")')
  async createDocument(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => CreateDocumentInput) input: CreateDocumentInput,
  ) {
    authorize(ctx, 'projects:write');
    return { document: await createDocument(ctx, input) };
  }

  @Mutation(() => ShareDocumentPayload, { description: 'Shares a document with an e-mail address.' })
  @Directive('@audit(action: "document.share")')
  @Directive('@control(ids: ["CC6.1", "CC6.7"])')
  async shareDocument(@Ctx() ctx: RequestContext, @Arg('input', () => ShareDocumentInput) input: ShareDocumentInput) {
    authorize(ctx, 'projects:write');
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
