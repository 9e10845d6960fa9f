import { defineSubgraph } from '#kit/define-subgraph.ts';
import { AuditActionResolver } from './actions.ts';
import { ConsistencyProofResolver } from './consistency-resolver.ts';
import { consistencyRoutes } from './consistency-routes.ts';
import { EvidencePackResolver } from './evidence-resolver.ts';
import { evidenceRoutes } from './evidence-routes.ts';
import { collectPersonalData, erasePersonalData } from './personal-data.ts';
import { personalTables } from './personal-tables.ts';
import { ErasureResolver } from './personal-erasure-resolver.ts';
import { erasureRoutes } from './personal-erasure-routes.ts';
import { PrivacyRequestResolver } from './privacy-request-resolver.ts';
import { platformRoutes } from './platform-proof.ts';
import { AuditEventResolver } from './resolver.ts';
import { AuditRetentionResolver } from './retention-resolver.ts';
import { auditRoutes } from './routes.ts';
import { AuditViewResolver } from './saved-view-resolver.ts';
import { AuditView } from './saved-view.ts';
import { findEvents } from './service.ts';
import { AuditStream } from './stream-model.ts';
import { AuditStreamResolver } from './stream-resolver.ts';

/** The audit log with its proofs and exports, and evidence packs. Its tables are in the audit database. */
export const audit = defineSubgraph({
  name: 'audit',
  resolvers: [
    AuditActionResolver,
    AuditEventResolver,
    AuditRetentionResolver,
    AuditStreamResolver,
    AuditViewResolver,
    ConsistencyProofResolver,
    ErasureResolver,
    EvidencePackResolver,
    PrivacyRequestResolver,
  ],
  entities: [AuditStream, AuditView],
  references: { AuditEvent: findEvents },
  routes: [...auditRoutes, ...consistencyRoutes, ...erasureRoutes, ...evidenceRoutes, ...platformRoutes],
  personalData: { tables: personalTables, collect: collectPersonalData, erase: erasePersonalData },
});
