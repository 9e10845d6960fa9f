import type { ChangeFeed } from '#kit/change-feed.ts';
import type { Platform } from '#kit/request-context.ts';
import type { Limits } from '#schema/limits.ts';
import type { Admission } from './admission.ts';
import type { BudgetStoreWatch } from './budget-store-watch.ts';
import type { DecisionLog } from './decisions.ts';
import type { SubgraphLink } from './execution/subgraph-link.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { OperationDoors } from './operations/use-persisted-operations.ts';
import type { RequestsUnderWay } from './revocation/requests-under-way.ts';
import type { MutationCounter } from './mutation-count.ts';
import type { GatewayMetrics } from './service-levels/metrics.ts';
import type { Supergraphs } from './supergraph.ts';
import type { Tenancy } from './use-tenancy.ts';

/** What the steps of a request share for the life of the process. */
export interface GatewayParts {
  readonly platform: Platform;
  readonly tenancy: Tenancy;
  readonly doors: OperationDoors;
  readonly limits: Limits;
  readonly admission: Admission;
  readonly supergraphs: Supergraphs;
  /** The ways to the subgraphs, by name. */
  readonly links: ReadonlyMap<string, SubgraphLink<GatewayContext>>;
  readonly metrics: GatewayMetrics;
  readonly decisions: DecisionLog;
  readonly budgetStore: BudgetStoreWatch;
  readonly feed: ChangeFeed;
  readonly underWay: RequestsUnderWay;
  readonly mutations: MutationCounter;
}
