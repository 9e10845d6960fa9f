import { join } from 'node:path';
import { changeFeedOf, type ChangeFeed } from '#kit/change-feed.ts';
import { approvedOperations } from '#kit/approved-operations.ts';
import { newCredentialCache } from '#kit/credential-cache.ts';
import { followPlaces } from '#kit/directory.ts';
import { connectionUse, type Databases } from '#kit/database.ts';
import { openTierLimits } from '#kit/tenant-limits.ts';
import type { Platform } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { DEFAULT_LIMITS } from '#schema/limits.ts';
import { checkOperations } from '#schema/operation-check.ts';
import type { Admission } from './admission.ts';
import type { Budgets } from './budget/budgets.ts';
import { newBudgetStoreWatch, type BudgetStoreWatch } from './budget-store-watch.ts';
import { newFairQueue } from './budget/fair-queue.ts';
import { newMemoryBudgets } from './budget/memory-budgets.ts';
import { newRedisBudgets } from './budget/redis-budgets.ts';
import { newRefusalPace } from './budget/refusal-pace.ts';
import type { GatewayParts } from './gateway-parts.ts';
import { executeForApollo } from './known-way.ts';
import { compileAhead } from './operations/compile-ahead.ts';
import { newAutomaticQueries } from './operations/automatic-persisted-queries.ts';
import { loadPersistedOperations, type PersistedOperations } from './operations/persisted-operations.ts';
import { newRegisteredOperations } from './operations/registered-operations.ts';
import { newMutationCounter } from './mutation-count.ts';
import { openMutationJournal } from './mutation-journal.ts';
import { openMutationNotes } from './mutation-count-writer.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { acknowledgeRevocations } from './revocation/acknowledgement.ts';
import { newRequestsUnderWay } from './revocation/requests-under-way.ts';
import type { GatewayMetrics } from './service-levels/metrics.ts';
import type { PoolUse } from './service-levels/part-metrics.ts';
import { openServiceLevels, type ServiceLevels } from './service-levels/service-levels.ts';
import { openSubgraphLinks } from './subgraph-links.ts';
import { knowOperation, openSupergraphs, pinOperation, type Supergraph } from './supergraph.ts';

/** The parts of a gateway that is about to serve. */
export interface OpenParts {
  readonly parts: GatewayParts;
  readonly levels: ServiceLevels;
  readonly feed: ChangeFeed;
  readonly reload: (supergraphSdl: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Opens everything that requests pass through; what was opened before a failure is closed again. */
export async function openGatewayParts(options: GatewayOptions): Promise<OpenParts> {
  const opened: (() => unknown)[] = [];
  const close = async () => {
    for (const end of opened.splice(0).toReversed()) await end();
  };
  try {
    return { ...(await openParts(options, opened)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens one thing after the other; each leaves behind what ends it. */
async function openParts(options: GatewayOptions, opened: (() => unknown)[]): Promise<Omit<OpenParts, 'close'>> {
  const { platform, operationsFolder: folder } = options;
  const { databases, config } = platform;
  const { feed, credentials, underWay } = await openAskers(platform, opened);
  const levels = openServiceLevels(platform);
  opened.push(() => levels.close());
  const journal = openMutationJournal(join(config.home, 'mutation-notes'));
  const notes = openMutationNotes({ databases, journal, counter: newMutationCounter({ journal }) });
  opened.push(() => notes.close());
  const { metrics } = levels;
  metrics.connections(() => poolUses(databases));
  const subgraphs = openSubgraphLinks({ ...options, metrics });
  opened.push(() => subgraphs.close());
  const supergraphs = await openSupergraphs(options.supergraphSdl, (ctx, variables) =>
    executeForApollo(parts, ctx, variables),
  );
  let manifests = await pinnedManifests(supergraphs.current(), folder);
  const operations = newRegisteredOperations({ databases, feed, platformManifests: () => manifests });
  opened.push(() => operations.close());
  const budgetStore = newBudgetStoreWatch();
  const admission = openAdmission(config.redisUrl, metrics, budgetStore);
  opened.push(() => admission.budgets.close());
  const ahead = compileAhead({
    platform,
    feed,
    know: (document) => knowOperation(supergraphs.current(), document, null),
  });
  opened.push(() => ahead.close());
  const parts: GatewayParts = {
    platform,
    tenancy: { credentials, clock: platform.clock },
    doors: { operations, automatic: newAutomaticQueries() },
    limits: config.limits ?? DEFAULT_LIMITS,
    admission,
    supergraphs,
    links: subgraphs.links,
    metrics,
    decisions: new Map(),
    budgetStore,
    feed,
    underWay,
    mutations: notes.counter,
  };
  return {
    parts,
    levels,
    feed,
    reload: async (sdl) => {
      let pinned = manifests;
      await supergraphs.replace(sdl, async (next) => {
        await requireUnbroken(platform, next);
        pinned = await pinnedManifests(next, folder);
      });
      manifests = pinned;
      ahead.again();
    },
  };
}

/** How the pools of all cells stand. */
function poolUses(databases: Databases): PoolUse[] {
  return databases.cells.flatMap(({ name: cell }) =>
    (['tenant', 'audit'] as const).map((store) => ({ cell, store, use: connectionUse(databases, cell, store) })),
  );
}

/** Opens what knows who asks, and hears of it when that is over. */
async function openAskers(platform: Platform, opened: (() => unknown)[]) {
  const { databases } = platform;
  const feed = await changeFeedOf(databases);
  opened.push(() => feed.close());
  opened.push(followPlaces(databases, feed));
  const tiers = await openTierLimits(databases, feed);
  opened.push(() => tiers.close());
  const credentials = newCredentialCache({ databases, feed, tiers });
  opened.push(() => credentials.close());
  const underWay = newRequestsUnderWay(feed);
  opened.push(() => underWay.close());
  opened.push(acknowledgeRevocations(platform, feed));
  return { feed, credentials, underWay };
}

/** Shared by all gateways where they have a Redis, else this one's own. */
function openAdmission(redisUrl: string | null, metrics: GatewayMetrics, store: BudgetStoreWatch): Admission {
  const queue = newFairQueue();
  metrics.queueLength(() => queue.waiting);
  const budgets: Budgets =
    redisUrl === null
      ? newMemoryBudgets()
      : newRedisBudgets({
          url: redisUrl,
          onChange: (away) => {
            metrics.budgetStoreAway(away);
            store.changed(away);
          },
        });
  const onThrottled = (policy: string) => metrics.throttled(policy);
  return { budgets, queue, pace: newRefusalPace(), nowMs: () => performance.now(), onThrottled };
}

/** The operations of the platform's manifests are compiled before the first request asks for one. */
async function pinnedManifests(on: Supergraph, folder: string): Promise<PersistedOperations> {
  const manifests = await loadPersistedOperations({ folder, schema: on.apiSchema });
  for (const { source } of manifests.all) await pinOperation(on, source, null);
  return manifests;
}

/** What a client has registered and approved must go on working: a supergraph that breaks one is not served. */
async function requireUnbroken({ databases, clock }: Platform, { apiSchema }: Supergraph): Promise<void> {
  for await (const { tenant, operations } of approvedOperations(databases, clock())) {
    const [broken] = checkOperations(apiSchema, operations);
    if (broken !== undefined)
      fail('CONFLICT', `it breaks the operation ${broken.id} of ${broken.client} in ${tenant}: ${broken.reason}`);
  }
}
