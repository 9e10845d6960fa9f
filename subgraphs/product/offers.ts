import { newestFirst, pageOf, pageRequest, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenant, inTenantOnce } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { mintId, uuidOf, uuidOrNull } from '#schema/ids.ts';
import { Document } from './model.ts';
import { DocumentOffer, OfferSide, type OfferDocumentInput } from './offer-model.ts';
import { atPartner, recordStep, type OfferStep } from './offer-partner.ts';

/** An agreement is looked at again once a year. */
const LONGEST_MS = 366 * 24 * 3_600_000;

/** Returns a page of what the tenant offers, newest first. */
export async function listOffers(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<DocumentOffer>> {
  const request = pageRequest(args);
  const rows = await inTenantOnce(ctx, ({ manager }) =>
    newestFirst(manager.createQueryBuilder(DocumentOffer, 'row'), request, 'ofr').getMany(),
  );
  return pageOf(rows, request);
}

/**
 * Offers a document of the tenant to another one, by her id; whether there is such a tenant is not looked up, so nobody
 * learns it. Another tenant's document is NOT_FOUND.
 */
export async function offerDocument(
  ctx: RequestContext,
  { documentId, recipientId, expiresAt }: OfferDocumentInput,
): Promise<DocumentOffer> {
  if (uuidOrNull('tnt', recipientId) === null || recipientId === ctx.tenant.tenant)
    fail('BAD_USER_INPUT', 'no other tenant', { hint: '"recipientId" takes the id of another tenant.' });
  const aheadMs = expiresAt.getTime() - ctx.clock().getTime();
  if (!(aheadMs > 0 && aheadMs <= LONGEST_MS))
    fail('BAD_USER_INPUT', 'expiry out of range', { hint: '"expiresAt" takes a time within a year from now.' });
  const id = mintId('ofr');
  return inTenant(ctx, async (tx) => {
    const document = await tx.manager.findOneBy(Document, { id: documentId });
    if (document === null) fail('NOT_FOUND', 'no such document in this tenant');
    await tx.manager.insert(DocumentOffer, { id, documentId: document.id, recipientId, expiresAt });
    await recordStep(tx, ctx, stepOf(ctx, 'document.offer', { id, recipientId }));
    return tx.manager.findOneByOrFail(DocumentOffer, { id });
  });
}

/**
 * Ends an offer: its next reader is refused. Then the log of the one who took it is told; where her cell is away that is
 * SERVICE_UNAVAILABLE, the offer has ended all the same, and the same call tells her later.
 */
export async function withdrawDocument(ctx: RequestContext, offerId: string): Promise<DocumentOffer> {
  const offer = await inTenant(ctx, async (tx) => {
    const found = await tx.manager.findOne(DocumentOffer, {
      where: { id: offerId },
      lock: { mode: 'pessimistic_write' },
    });
    if (found === null) fail('NOT_FOUND', 'no such offer in this tenant');
    if (found.endedAt !== null) return found;
    const end = { endedAt: ctx.clock(), endedBy: OfferSide.OWNER };
    await tx.manager.update(DocumentOffer, { id: found.id }, end);
    await recordStep(tx, ctx, stepOf(ctx, 'document.withdraw', found));
    return Object.assign(found, end);
  });
  if (offer.acceptedAt !== null && offer.endedBy === OfferSide.OWNER) await tellRecipient(ctx, offer);
  return offer;
}

async function tellRecipient(ctx: RequestContext, offer: DocumentOffer): Promise<void> {
  await atPartner(ctx, offer.recipientId, async ({ tx, audit }) => {
    const ended = await tx.query(
      `update received_documents set ended_at = $3, ended_by = 'owner'
        where id = $1 and owner_id = $2 and ended_at is null returning id`,
      [uuidOf('ofr', offer.id), uuidOf('tnt', ctx.tenant.tenant), ctx.clock()],
    );
    if (ended.length > 0) await recordStep(tx, audit, stepOf(ctx, 'document.withdraw', offer));
  }).catch((error: unknown) => {
    // A recipient who is paused or gone reads nothing, and is told when she next tries.
    if (asTenonError(error).code !== 'NOT_FOUND') throw error;
  });
}

function stepOf(
  ctx: RequestContext,
  action: OfferStep['action'],
  { id, recipientId }: Pick<DocumentOffer, 'id' | 'recipientId'>,
): OfferStep {
  return { action, offer: id, owner: ctx.tenant.tenant, recipient: recipientId };
}
