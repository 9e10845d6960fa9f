import type { ApolloGateway } from '@apollo/gateway';
import type { Platform } from '#kit/request-context.ts';
import type { RefusalLog } from './decisions.ts';
import type { GatewayMetrics } from './metrics.ts';
import type { PersistedOperations } from './persisted-operations.ts';
import type { QueryBudget } from './use-query-budget.ts';

/** What the steps of a request share for the life of the process. */
export interface GatewayParts {
  readonly platform: Platform;
  readonly gateway: ApolloGateway;
  readonly budget: QueryBudget;
  readonly refusals: RefusalLog;
  readonly operations: () => PersistedOperations;
  /** Reads the manifests again and checks them against the supergraph that is loaded now. */
  readonly loadOperations: () => Promise<void>;
  readonly metrics: GatewayMetrics;
}
