import { authorize } from '#kit/authorize.ts';
import { defineSubgraph } from '#kit/define-subgraph.ts';
import { tenantCommands } from './commands.ts';
import { Tenant } from './model.ts';
import { TenantResolver } from './resolver.ts';
import { findTenants } from './service.ts';

/** Tenants: who the customers of the platform are, where they live, and which state their contract is in. */
export const tenants = defineSubgraph({
  name: 'tenants',
  resolvers: [TenantResolver],
  entities: [Tenant],
  references: {
    Tenant: async (ctx, ids) => {
      authorize(ctx, 'tenant:read');
      return findTenants(ctx, ids);
    },
  },
  commands: tenantCommands,
});
