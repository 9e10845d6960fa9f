import { defineSubgraph } from '#kit/define-subgraph.ts';
import { EvidencePackResolver } from './evidence-resolver.ts';
import { evidenceRoutes } from './evidence-routes.ts';
import { collectPersonalData } from './personal-data.ts';
import { AuditEventResolver } from './resolver.ts';
import { auditRoutes } from './routes.ts';
import { findEvents } from './service.ts';

/** The audit log with its proofs and exports, and evidence packs. Its tables are in the audit database. */
export const audit = defineSubgraph({
  name: 'audit',
  resolvers: [AuditEventResolver, EvidencePackResolver],
  entities: [],
  references: { AuditEvent: findEvents },
  routes: [...auditRoutes, ...evidenceRoutes],
  personalData: { collect: collectPersonalData },
});
