import type { Subgraph } from '#kit/define-subgraph.ts';
import { audit } from './audit/index.ts';
import { billing } from './billing/index.ts';
import { identity } from './identity/index.ts';
import { product } from './product/index.ts';
import { tenants } from './tenants/index.ts';

/** The subgraphs of the platform: the only place to add one. */
export const subgraphs: readonly Subgraph[] = [identity, tenants, billing, audit, product];

export { makeDemoTenants, type DemoTenant } from './demo.ts';
export { reconcileDirectory } from './tenants/directory-entry.ts';
export { finishTenant } from './tenants/ending.ts';
export { ensureOperatorTenant } from './tenants/provisioning.ts';
