import type { Readable } from 'node:stream';
import type { Scope } from '#schema/scopes.ts';
import type { RequestOrigin } from './credential.ts';
import type { Platform, RequestContext } from './request-context.ts';

/** A request to a REST door, bounded in size; its parts are hostile until checked. */
export interface RouteRequest {
  readonly method: string;
  /** Values of the path's `:name` parts, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string | string[] | undefined>>;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The body as it came; empty where there was none. */
  readonly body: Buffer;
  /** Aborted when the caller goes away. */
  readonly signal: AbortSignal;
}

/** The answer of a REST door. A stream is sent as it comes and destroyed when the caller goes away. */
export interface RouteResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer | Readable;
}

interface RouteAddress {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path with `:name` parts, such as `/scim/v2/Users/:id`. */
  readonly path: string;
  /** How errors are written: as problem details (RFC 9457, the default), or as SCIM errors (RFC 7644 section 3.12). */
  readonly errors?: 'problem' | 'scim';
}

/** A door for whoever carries the right; her tenant context is established before the handler runs. */
export interface TenantRoute extends RouteAddress {
  readonly scope: Scope;
  readonly handle: (ctx: RequestContext, req: RouteRequest) => Promise<RouteResponse>;
}

/** A door for everyone, such as the start of a sign-in; it has no tenant until the handler finds one. */
export interface PublicRoute extends RouteAddress {
  readonly scope: null;
  readonly handle: (platform: Platform, req: RouteRequest, origin: RequestOrigin) => Promise<RouteResponse>;
}

/** A REST door of a subgraph; the gateway opens it at the same address for the outside. */
export type Route = TenantRoute | PublicRoute;
