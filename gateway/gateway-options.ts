import type { Subgraph } from '#kit/define-subgraph.ts';
import type { Platform } from '#kit/request-context.ts';

/** What a gateway is composed of. */
export interface GatewayOptions {
  readonly platform: Platform;
  readonly supergraphSdl: string;
  readonly subgraphs: readonly Subgraph[];
  /** Folder of the persisted-operation manifests, one a client. */
  readonly operationsFolder: string;
  /** The verification key of checkpoints and evidence, as `/.well-known/tenon/keys` shows it. */
  readonly verifierKey: string;
  /** Statements of the rotations that have led to that key, oldest first. */
  readonly rotations?: readonly string[];
  /** Waits out the time in which it drains; a timer where nothing is said. */
  readonly pause?: (timeMs: number) => Promise<unknown>;
}
