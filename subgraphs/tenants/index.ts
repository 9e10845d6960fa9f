import { defineSubgraph } from '#kit/define-subgraph.ts';
import { tenantCommands } from './commands.ts';
import { Job } from './job-model.ts';
import { JobResolver } from './job-resolver.ts';
import { findJobs } from './jobs.ts';
import { lifeTurn, liveJob } from './life-clock.ts';
import { notifyJob } from './life-notices.ts';
import { LifeResolver } from './life-resolver.ts';
import { LimitsResolver } from './limits-resolver.ts';
import { Tenant } from './model.ts';
import { MoveResolver } from './move-resolver.ts';
import { RegisteredOperation } from './operation-model.ts';
import { personalTables } from './personal-tables.ts';
import { OperationResolver } from './operation-resolver.ts';
import { ResidencyResolver } from './residency-resolver.ts';
import { TenantResolver } from './resolver.ts';
import { ServiceLevelResolver } from './service-level-resolver.ts';
import { findTenants } from './service.ts';
import { signUpRoutes } from './sign-up-routes.ts';
import { SupportResolver } from './support-resolver.ts';

/** Tenants: who the customers of the platform are, where they live, and which state their contract is in. */
export const tenants = defineSubgraph({
  name: 'tenants',
  resolvers: [
    TenantResolver,
    LimitsResolver,
    OperationResolver,
    ServiceLevelResolver,
    JobResolver,
    LifeResolver,
    ResidencyResolver,
    SupportResolver,
    MoveResolver,
  ],
  entities: [Tenant, RegisteredOperation, Job],
  references: { Tenant: findTenants, Job: findJobs },
  routes: signUpRoutes,
  personalData: { tables: personalTables, collect: async () => [], erase: async () => [] },
  jobs: [liveJob, notifyJob],
  turns: [lifeTurn],
  commands: tenantCommands,
});
