import { FORM, formOf, mediaTypeOf } from '#kit/route-body.ts';
import type { RouteRequest } from '#kit/route.ts';
import { fail } from '#schema/errors.ts';

/** Returns the texts of a form or a JSON object; hostile input enters here, the server has bounded its size. */
export function parametersIn(req: RouteRequest): URLSearchParams {
  if (mediaTypeOf(req) === FORM) return formOf(req);
  if (!sendsJson(req))
    return fail('UNSUPPORTED_MEDIA_TYPE', 'neither JSON nor a form', {
      hint: 'It takes application/json and application/x-www-form-urlencoded.',
    });
  return new URLSearchParams(textsOf(parse(req)));
}

/** Returns the members of a JSON object, and beside them its texts as `parametersIn` does. */
export function jsonIn(req: RouteRequest): { members: ReadonlyMap<string, unknown>; texts: URLSearchParams } {
  if (!sendsJson(req)) return fail('UNSUPPORTED_MEDIA_TYPE', 'no JSON', { hint: 'It takes application/json.' });
  const entries = parse(req);
  return { members: new Map(entries), texts: new URLSearchParams(textsOf(entries)) };
}

/** Tells whether a program sends, which reads the answer itself, and no form of a page. */
export function sendsJson(req: RouteRequest): boolean {
  return mediaTypeOf(req) === 'application/json';
}

function parse({ body }: RouteRequest): [string, unknown][] {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return Object.entries(value);
  } catch {
    // Said below, as of every other body that is no object.
  }
  return fail('BAD_REQUEST', 'the body is not a JSON object', { hint: 'A JSON object is expected.' });
}

function textsOf(entries: readonly [string, unknown][]): [string, string][] {
  return entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string');
}
