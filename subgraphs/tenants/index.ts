import { defineSubgraph } from '#kit/define-subgraph.ts';
import { tenantCommands } from './commands.ts';
import { LimitsResolver } from './limits-resolver.ts';
import { Tenant } from './model.ts';
import { RegisteredOperation } from './operation-model.ts';
import { OperationResolver } from './operation-resolver.ts';
import { TenantResolver } from './resolver.ts';
import { ServiceLevelResolver } from './service-level-resolver.ts';
import { findTenants } from './service.ts';

/** Tenants: who the customers of the platform are, where they live, and which state their contract is in. */
export const tenants = defineSubgraph({
  name: 'tenants',
  resolvers: [TenantResolver, LimitsResolver, OperationResolver, ServiceLevelResolver],
  entities: [Tenant, RegisteredOperation],
  references: { Tenant: findTenants },
  commands: tenantCommands,
});
