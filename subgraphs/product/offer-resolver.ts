import { Arg, Args, Ctx, Directive, ID, Mutation, Query, Resolver } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import type { RequestContext } from '#kit/request-context.ts';
import {
  AcceptDocumentInput,
  DocumentOffer,
  DocumentOfferConnection,
  OfferDocumentInput,
  OfferDocumentPayload,
  OfferedDocument,
  ReceivedDocumentConnection,
  ReceivedDocumentPayload,
  ReturnDocumentInput,
  WithdrawDocumentInput,
} from './offer-model.ts';
import { listOffers, offerDocument, withdrawDocument } from './offers.ts';
import { acceptDocument, listReceived, readOffered, returnDocument } from './offer-received.ts';

const READ = '@permission(scope: "projects:read")';
const WRITE = '@permission(scope: "projects:write")';
const CONTROLS = '@control(ids: ["CC6.1", "CC6.7"])';
const PAGE = '@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)';

/** What one tenant shows to another, by an agreement that both have made and either can end. */
@Resolver(() => DocumentOffer)
export class OfferResolver {
  @Query(() => DocumentOfferConnection, { description: 'What the tenant offers to others, newest first.' })
  @Directive(PAGE)
  @Directive(READ)
  async documentOffers(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listOffers(ctx, args);
  }

  @Query(() => ReceivedDocumentConnection, {
    description: 'What the tenant has taken from others, newest offer first.',
  })
  @Directive(PAGE)
  @Directive(READ)
  async receivedDocuments(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listReceived(ctx, args);
  }

  @Query(() => OfferedDocument, {
    description: 'Reads a document of another tenant in the cell of its owner, where the reading is recorded.',
  })
  @Directive('@cost(weight: 5)')
  @Directive(READ)
  async offeredDocument(@Ctx() ctx: RequestContext, @Arg('offerId', () => ID) offerId: string) {
    return readOffered(ctx, offerId);
  }

  @Mutation(() => OfferDocumentPayload, { description: 'Offers a document to another tenant, who has to accept it.' })
  @Directive('@audit(action: "document.offer")')
  @Directive(CONTROLS)
  @Directive(WRITE)
  async offerDocument(@Ctx() ctx: RequestContext, @Arg('input', () => OfferDocumentInput) input: OfferDocumentInput) {
    return { offer: await offerDocument(ctx, input) };
  }

  @Mutation(() => OfferDocumentPayload, {
    description:
      'Ends an offer: from then on nobody reads the document by it. Said again it also tells a side that was away.',
  })
  @Directive('@audit(action: "document.withdraw")')
  @Directive(CONTROLS)
  @Directive(WRITE)
  async withdrawDocument(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => WithdrawDocumentInput) { offerId }: WithdrawDocumentInput,
  ) {
    return { offer: await withdrawDocument(ctx, offerId) };
  }

  @Mutation(() => ReceivedDocumentPayload, { description: 'Takes an offer of another tenant.' })
  @Directive('@audit(action: "document.accept")')
  @Directive(CONTROLS)
  @Directive(WRITE)
  async acceptDocument(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => AcceptDocumentInput) input: AcceptDocumentInput,
  ) {
    return { received: await acceptDocument(ctx, input) };
  }

  @Mutation(() => ReceivedDocumentPayload, {
    description:
      'Gives a taken offer back: from then on the tenant does not read the document. Said again it also tells a side that was away.',
  })
  @Directive('@audit(action: "document.return")')
  @Directive(CONTROLS)
  @Directive(WRITE)
  async returnDocument(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => ReturnDocumentInput) { offerId }: ReturnDocumentInput,
  ) {
    return { received: await returnDocument(ctx, offerId) };
  }
}
