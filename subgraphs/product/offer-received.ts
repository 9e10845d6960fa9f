import { newestFirst, pageOf, pageRequest, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import { OfferSide, ReceivedDocument, type AcceptDocumentInput, type OfferedDocument } from './offer-model.ts';
import { atPartner, recordStep, type OfferStep } from './offer-partner.ts';

/** Returns a page of what the tenant has taken, newest offer first. */
export async function listReceived(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<ReceivedDocument>> {
  const request = pageRequest(args);
  const rows = await inTenantOnce(ctx, ({ manager }) =>
    newestFirst(manager.createQueryBuilder(ReceivedDocument, 'row'), request, 'ofr').getMany(),
  );
  return pageOf(rows, request);
}

/**
 * Takes an offer: first its owner's cell notes it, then the tenant's own, each with its event. Broken off between the two,
 * the same call finishes it. An offer that is not for this tenant, has ended or expired is NOT_FOUND, as one that never was.
 */
export async function acceptDocument(
  ctx: RequestContext,
  { offerId, ownerId }: AcceptDocumentInput,
): Promise<ReceivedDocument> {
  const offer = uuidOf('ofr', offerId);
  // Whom her own cell lets see nothing of it, such as an operator she let in, begins nothing in another one.
  await inTenantOnce(ctx, ({ manager }) => manager.findOneBy(ReceivedDocument, { id: offerId }));
  const step = stepOf(ctx, 'document.accept', { id: offerId, ownerId });
  const acceptedAt = await atPartner(ctx, ownerId, async ({ tx, audit }) => {
    const [open] = await tx.query<{ accepted_at: Date | null }>(`select accepted_at ${OPEN_OFFER} for update`, [
      offer,
      uuidOf('tnt', ctx.tenant.tenant),
      ctx.clock(),
    ]);
    if (open === undefined) return fail('NOT_FOUND', 'no such offer for this tenant');
    if (open.accepted_at !== null) return open.accepted_at;
    await tx.query('update document_offers set accepted_at = $2 where id = $1', [offer, ctx.clock()]);
    await recordStep(tx, audit, step);
    return ctx.clock();
  });
  return inTenant(ctx, async (tx) => {
    const taken = await tx.query(
      `insert into received_documents (id, owner_id, accepted_at) values ($1, $2, $3) on conflict do nothing returning id`,
      [offer, uuidOf('tnt', ownerId), acceptedAt],
    );
    if (taken.length > 0) await recordStep(tx, ctx, step);
    return tx.manager.findOneByOrFail(ReceivedDocument, { id: offerId });
  });
}

/**
 * Reads the document of an offer that was taken, in one transaction of its owner's cell, which also notes in her log who has
 * read. What is not taken, or has ended on either side, is NOT_FOUND; an end that was not heard of yet is noted here now.
 */
export async function readOffered(ctx: RequestContext, offerId: string): Promise<OfferedDocument> {
  const received = await inTenantOnce(ctx, ({ manager }) => manager.findOneBy(ReceivedDocument, { id: offerId }));
  if (received === null || received.endedAt !== null) return fail('NOT_FOUND', 'nothing of that offer was taken');
  const document = await atPartner(ctx, received.ownerId, async ({ tx, audit }) => {
    const values = [uuidOf('ofr', offerId), uuidOf('tnt', ctx.tenant.tenant)];
    const [row] = await tx.query<{ name: string; body: string }>(
      `select d.name, d.body from documents d
        where d.id = (select document_id ${OPEN_OFFER} and accepted_at is not null)`,
      [...values, ctx.clock()],
    );
    if (row === undefined) return (await tx.query(EXPIRED_OFFER, values)).length > 0 ? 'expired' : 'ended';
    await recordStep(tx, audit, stepOf(ctx, 'document.read_offered', received));
    return row;
  });
  if (typeof document === 'object') return { id: received.id, name: document.name, body: document.body };
  if (document === 'ended') await inTenant(ctx, (tx) => end(tx, ctx, { received, side: OfferSide.OWNER }));
  return fail('NOT_FOUND', 'the offer has ended or expired');
}

/**
 * Gives an offer back: from then on the tenant does not read by it. Then its owner's cell is told; where that is away it is
 * SERVICE_UNAVAILABLE, the tenant's own side has ended all the same, and the same call tells the owner later.
 */
export async function returnDocument(ctx: RequestContext, offerId: string): Promise<ReceivedDocument> {
  const received = await inTenant(ctx, async (tx) => {
    const found = await tx.manager.findOne(ReceivedDocument, {
      where: { id: offerId },
      lock: { mode: 'pessimistic_write' },
    });
    if (found === null) return fail('NOT_FOUND', 'nothing of that offer was taken');
    return found.endedAt === null ? end(tx, ctx, { received: found, side: OfferSide.RECIPIENT }) : found;
  });
  if (received.endedBy === OfferSide.RECIPIENT) await tellOwner(ctx, received);
  return received;
}

/** Of an offer to this tenant that can be taken or read. */
const OPEN_OFFER = `from document_offers where id = $1 and recipient_id = $2 and ended_at is null and expires_at > $3`;
/** One that nobody has ended and that cannot be read; what is not there any more was ended with its document. */
const EXPIRED_OFFER = 'select from document_offers where id = $1 and recipient_id = $2 and ended_at is null';

async function end(
  tx: TenantTransaction,
  ctx: RequestContext,
  { received, side }: { readonly received: ReceivedDocument; readonly side: OfferSide },
): Promise<ReceivedDocument> {
  const ending = { endedAt: ctx.clock(), endedBy: side };
  await tx.manager.update(ReceivedDocument, { id: received.id }, ending);
  const action = side === OfferSide.OWNER ? 'document.withdraw' : 'document.return';
  await recordStep(tx, ctx, stepOf(ctx, action, received));
  return Object.assign(received, ending);
}

async function tellOwner(ctx: RequestContext, received: ReceivedDocument): Promise<void> {
  await atPartner(ctx, received.ownerId, async ({ tx, audit }) => {
    const ended = await tx.query(
      `update document_offers set ended_at = $3, ended_by = 'recipient'
        where id = $1 and recipient_id = $2 and ended_at is null returning id`,
      [uuidOf('ofr', received.id), uuidOf('tnt', ctx.tenant.tenant), ctx.clock()],
    );
    if (ended.length > 0) await recordStep(tx, audit, stepOf(ctx, 'document.return', received));
  }).catch((error: unknown) => {
    // An owner who is paused or gone shows nothing to anybody.
    if (asTenonError(error).code !== 'NOT_FOUND') throw error;
  });
}

function stepOf(
  ctx: RequestContext,
  action: OfferStep['action'],
  { id, ownerId }: Pick<ReceivedDocument, 'id' | 'ownerId'>,
): OfferStep {
  return { action, offer: id, owner: ownerId, recipient: ctx.tenant.tenant };
}
