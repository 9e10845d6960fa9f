import type { Subgraph } from '#kit/define-subgraph.ts';
import type { Platform } from '#kit/request-context.ts';
import type { Config } from '#schema/config.ts';
import type { SubgraphLink } from './execution/subgraph-link.ts';
import type { GatewayContext } from './gateway-context.ts';
import { coalescingLink } from './links/coalescing.ts';
import type { TenantCall, Transport } from './links/exchange.ts';
import { localTransport } from './links/local-link.ts';
import { remoteTransport } from './links/remote-link.ts';
import { newResilientLinks } from './links/resilience.ts';
import type { GatewayMetrics } from './service-levels/metrics.ts';
import { tenantKey } from './tenant-key.ts';
import { tracedLink } from './traced-link.ts';

/** The ways to all subgraphs. */
export interface SubgraphLinks {
  readonly links: ReadonlyMap<string, SubgraphLink<GatewayContext>>;
  /** Lets calls under way end, then closes the connections. */
  close(): Promise<void>;
}

/** What links are made from. */
export interface SubgraphLinksOptions {
  readonly platform: Platform;
  /** The subgraphs of this process. */
  readonly subgraphs: readonly Subgraph[];
  readonly metrics: GatewayMetrics;
}

/** Opens a way to every subgraph: over HTTP where the settings give an address, else within this process. */
export function openSubgraphLinks({ platform, subgraphs, metrics }: SubgraphLinksOptions): SubgraphLinks {
  const remote = Object.entries(remoteAddresses(platform.config)).map(
    ([name, url]) => [name, remoteTransport({ subgraph: name, url: `${url.replace(/\/$/, '')}/graphql` })] as const,
  );
  const local = subgraphs.map((subgraph) => [subgraph.name, localTransport(subgraph)] as const);
  const resilient = newResilientLinks({
    onState: ({ subgraph, tier, state }) => metrics.breaker(subgraph, tier, state),
  });
  const linkOver = (name: string, transport: Transport<TenantCall>) => {
    const link = resilient.link(name, transport);
    const shared =
      platform.config.coalesce === 'on' ? coalescingLink(link, { subgraph: name, keyOf: tenantKey }) : link;
    return tracedLink(name, shared, (...call) => metrics.subgraphCall(...call));
  };
  // One that is listed in both is the remote one.
  const links = new Map([...local, ...remote].map(([name, transport]) => [name, linkOver(name, transport)]));
  return {
    links,
    close: async () => {
      await Promise.all(remote.map(([, transport]) => transport.close()));
    },
  };
}

/** Returns the addresses of the subgraphs in other processes, by name. */
export function remoteAddresses({ subgraphs }: Config): Readonly<Record<string, string>> {
  return subgraphs === 'local' ? {} : subgraphs;
}
