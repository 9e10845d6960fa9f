import type { RequestContext } from '#kit/request-context.ts';
import type { Reservation } from './budget/token-bucket.ts';

/** What the gateway's steps share of one GraphQL request. */
export interface GatewayContext {
  readonly request: RequestContext;
  /** Set once the cost is known. */
  spending?: { readonly requested: number; readonly reservation: Reservation };
}
