import { defineSubgraph } from '#kit/define-subgraph.ts';
import { Document, DocumentShare, Project } from './model.ts';
import { OFFERS } from './offer-parts.ts';
import { collectPersonalData, erasePersonalData } from './personal-data.ts';
import { personalTables } from './personal-tables.ts';
import { DocumentResolver, ProjectResolver } from './resolver.ts';
import { findDocuments, findProjects } from './service.ts';

/** The example product: projects and documents; also the template of `npm run new`. */
export const product = defineSubgraph({
  name: 'product',
  resolvers: [ProjectResolver, DocumentResolver, ...OFFERS.resolvers],
  entities: [Project, Document, DocumentShare, ...OFFERS.entities],
  references: { Project: findProjects, Document: findDocuments },
  personalData: {
    tables: { ...personalTables, ...OFFERS.personalTables },
    collect: collectPersonalData,
    erase: erasePersonalData,
  },
});
