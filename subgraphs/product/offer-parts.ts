import { DocumentOffer, ReceivedDocument } from './offer-model.ts';
import { OfferResolver } from './offer-resolver.ts';

/** What one tenant shows to another, which a product made from this one begins without. */
export const OFFERS = {
  resolvers: [OfferResolver],
  entities: [DocumentOffer, ReceivedDocument],
  personalTables: {
    document_offers: { about: null, because: 'which tenant is shown which document' },
    received_documents: { about: null, because: 'which tenant shows a document' },
  },
} as const;
