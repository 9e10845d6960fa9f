import type { RouteRequest } from '#kit/route.ts';
import { fail } from '#schema/errors.ts';

/** What a request says about the version that it is meant for (RFC 9110 section 13.1), as the headers came. */
export interface Preconditions {
  readonly ifMatch?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
}

/** Far more than anybody lists; beyond it a condition holds for nothing. */
const MAX_CHARACTERS = 4096;
const ENTITY_TAG = /(?:W\/)?("[^"]*")/g;

/**
 * Returns the weak entity tag of a resource (RFC 7644 section 3.14). It changes with the attributes of the resource
 * itself; what it only shows of others, a user's groups and the names of members, changes with those.
 */
export function etagOf(version: number): string {
  return `W/"${version}"`;
}

/** Returns the conditions of a request. */
export function preconditionsOf({ headers }: RouteRequest): Preconditions {
  return { ifMatch: textOf(headers['if-match']), ifNoneMatch: textOf(headers['if-none-match']) };
}

/** Passes where the conditions hold for the version; else PRECONDITION_FAILED. Tags are compared weakly. */
export function requirePreconditions(version: number, { ifMatch, ifNoneMatch }: Preconditions): void {
  const isOther = ifMatch !== undefined && !names(ifMatch, version);
  if (isOther || isUnchanged(version, { ifNoneMatch })) fail('PRECONDITION_FAILED', `the version is ${version}`);
}

/** Tells whether the client has this version already, so that a GET is answered with 304. */
export function isUnchanged(version: number, { ifNoneMatch }: Preconditions): boolean {
  return ifNoneMatch !== undefined && names(ifNoneMatch, version);
}

function names(condition: string, version: number): boolean {
  if (condition.length > MAX_CHARACTERS) return false;
  if (condition.trim() === '*') return true;
  return [...condition.matchAll(ENTITY_TAG)].some(([, tag]) => tag === `"${version}"`);
}

function textOf(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header.join(',') : header;
}
