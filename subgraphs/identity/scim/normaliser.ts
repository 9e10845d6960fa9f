import type { RequestContext } from '#kit/request-context.ts';
import { normaliseFilter } from './normaliser-filter.ts';
import { normalisePatch, type PatchTarget } from './normaliser-patch.ts';
import { normaliseResource } from './normaliser-resource.ts';
import { rewritingOf } from './profile.ts';
import type { ResourceType, ScimObject } from './schema.ts';

/** Returns the body of a POST, or of a PUT over `current`, as the RFC has it, by the profile of the client that sent it. */
export function receivedResource(
  ctx: RequestContext,
  body: unknown,
  target: { readonly type: ResourceType; readonly current?: ScimObject },
): unknown {
  return normaliseResource(body, target, rewritingOf(ctx));
}

/** Returns the body of a PATCH as the RFC has it, by the profile of the client that sent it. */
export function receivedPatch(ctx: RequestContext, body: unknown, target: PatchTarget): unknown {
  return normalisePatch(body, target, rewritingOf(ctx));
}

/** Returns a filter as the RFC has it, by the profile of the client that sent it. */
export function receivedFilter(ctx: RequestContext, text: string, type: ResourceType): string {
  return normaliseFilter(text, type, rewritingOf(ctx));
}
