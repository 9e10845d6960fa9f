import { fail } from '#schema/errors.ts';
import type { RouteRequest } from './route.ts';

/** Returns the media type of a body in lower case, without its parameters; empty where the request says none. */
export function mediaTypeOf({ headers }: Pick<RouteRequest, 'headers'>): string {
  const [type = ''] = String(headers['content-type'] ?? '').split(';');
  return type.trim().toLowerCase();
}

/** Returns the parameters of a form; a body of another type is UNSUPPORTED_MEDIA_TYPE. The server has bounded its size. */
export function formOf(req: Pick<RouteRequest, 'headers' | 'body'>): URLSearchParams {
  if (mediaTypeOf(req) !== FORM) fail('UNSUPPORTED_MEDIA_TYPE', 'no form', { hint: `It takes ${FORM}.` });
  return new URLSearchParams(req.body.toString('utf8'));
}

/** The media type of forms (WHATWG URL, section 5). */
export const FORM = 'application/x-www-form-urlencoded';
