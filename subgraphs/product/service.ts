import { In } from 'typeorm';
import { newestFirst, pageOf, pageRequest, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOf, uuidOrNull } from '#schema/ids.ts';
import type { CreateDocumentInput, CreateProjectInput, ShareDocumentInput } from './inputs.ts';
import { Document, DocumentShare, Project } from './model.ts';

/** Returns a page of the tenant's projects, newest first. */
export async function listProjects(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<Project>> {
  const request = pageRequest(args);
  const rows = await inTenantOnce(ctx, ({ manager }) =>
    newestFirst(manager.createQueryBuilder(Project, 'row'), request, 'prj').getMany(),
  );
  return pageOf(rows, request);
}

/** Returns the project, or null where the tenant has none of that id. */
export async function findProject(ctx: RequestContext, id: string): Promise<Project | null> {
  const [project] = await findProjects(ctx, [id]);
  return project ?? null;
}

/** Returns the tenant's projects among the ids. */
export async function findProjects(ctx: RequestContext, ids: readonly string[]): Promise<Project[]> {
  const known = ids.filter((id) => uuidOrNull('prj', id) !== null);
  return inTenantOnce(ctx, ({ manager }) => manager.findBy(Project, { id: In(known) }));
}

/** Returns a page of a project's documents, newest first. */
export async function listDocuments(
  ctx: RequestContext,
  projectId: string,
  args: ConnectionArgs,
): Promise<Connection<Document>> {
  const request = pageRequest(args);
  const rows = await inTenantOnce(ctx, ({ manager }) =>
    newestFirst(manager.createQueryBuilder(Document, 'row'), request, 'doc')
      .andWhere('row.projectId = :project', { project: uuidOf('prj', projectId) })
      .getMany(),
  );
  return pageOf(rows, request);
}

/** Returns the tenant's documents among the ids. */
export async function findDocuments(ctx: RequestContext, ids: readonly string[]): Promise<Document[]> {
  const known = ids.filter((id) => uuidOrNull('doc', id) !== null);
  return inTenantOnce(ctx, ({ manager }) => manager.findBy(Document, { id: In(known) }));
}

/** Creates a project and its audit event in one transaction. */
export async function createProject(ctx: RequestContext, input: CreateProjectInput): Promise<Project> {
  const project = { id: mintId('prj'), name: input.name };
  return inTenant(ctx, async (tx) => {
    await tx.manager.insert(Project, project);
    await appendAudit(tx, ctx, { action: 'project.create', resource: { type: 'project', ...project } });
    return tx.manager.findOneByOrFail(Project, { id: project.id });
  });
}

/** Creates a document in a project of the tenant; a project of nobody or of another tenant is NOT_FOUND. */
export async function createDocument(ctx: RequestContext, input: CreateDocumentInput): Promise<Document> {
  const document = { id: mintId('doc'), projectId: input.projectId, name: input.name, body: input.body };
  const authorId = ctx.tenant.actor.type === 'user' ? ctx.tenant.actor.id : null;
  return inTenant(ctx, async (tx) => {
    await requireProject(tx, input.projectId);
    await tx.manager.insert(Document, { ...document, authorId });
    await appendAudit(tx, ctx, {
      action: 'document.create',
      resource: { type: 'document', id: document.id, name: document.name },
      context: { project: input.projectId },
    });
    return tx.manager.findOneByOrFail(Document, { id: document.id });
  });
}

/** Shares a document with an address and writes the audit event; sharing again with the same address is UNIQUENESS. */
export async function shareDocument(
  ctx: RequestContext,
  input: ShareDocumentInput,
): Promise<{ share: DocumentShare; auditEventId: string }> {
  return inTenant(ctx, async (tx) => {
    const document = await tx.manager.findOneBy(Document, { id: input.documentId });
    if (document === null) fail('NOT_FOUND', 'no such document in this tenant');
    const share = { id: mintId('shr'), documentId: document.id, recipient: input.to, permission: input.permission };
    await tx.manager.insert(DocumentShare, share);
    const event = await appendAudit(tx, ctx, {
      action: 'document.share',
      resource: { type: 'document', id: document.id, name: document.name },
      context: { to: input.to, permission: input.permission },
    });
    return { share: await tx.manager.findOneByOrFail(DocumentShare, { id: share.id }), auditEventId: event.id };
  });
}

async function requireProject(tx: TenantTransaction, id: string): Promise<void> {
  if (!(await tx.manager.existsBy(Project, { id }))) fail('NOT_FOUND', 'no such project in this tenant');
}
