import type { PersonalTable } from '#kit/personal-tables.ts';

/** The tables of the product, and what each of them holds of a person. */
export const personalTables: Readonly<Record<string, PersonalTable>> = {
  projects: { about: null, because: 'names of projects' },
  documents: {
    about: 'author_id = person',
    end: 'kept',
    store: 'product.documents',
    because: 'what she wrote belongs to the tenant, and stays under an id without a name',
  },
  document_shares: { about: 'lower(recipient) = any (addresses)', end: 'deleted', store: 'product.documentShares' },
};
