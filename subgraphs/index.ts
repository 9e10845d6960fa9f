import type { Subgraph } from '#kit/define-subgraph.ts';
import { billing } from './billing/index.ts';
import { product } from './product/index.ts';
import { tenants } from './tenants/index.ts';

/** The subgraphs of the platform: the only place to add one. */
export const subgraphs: readonly Subgraph[] = [tenants, billing, product];

export { makeDemoTenants, type DemoTenant } from './demo.ts';
