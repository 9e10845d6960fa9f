import type { Preconditions } from './etag.ts';
import type { ResourceView } from './resource.ts';
import type { ScimObject } from './schema.ts';

/** How a client wants to see a resource, and for which version its request is meant. */
export interface ResourceReading {
  readonly view: ResourceView;
  readonly conditions: Preconditions;
}

/** What a client sends about a resource. */
export interface ResourceChange extends ResourceReading {
  /** As parsed from JSON; hostile until read. */
  readonly body: unknown;
}

/** What a request came to: the resource, or null where it is not shown, and the tag of its version. */
export interface ResourceAnswer {
  /** Public id. */
  readonly id: string;
  readonly resource: ScimObject | null;
  readonly etag: string;
}
