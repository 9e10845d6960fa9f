import { authorize } from '#kit/authorize.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { fail } from '#schema/errors.ts';
import { consistencyText, findConsistency, type ConsistencyQuestion } from './consistency.ts';

/** The proof that the log has only grown, for whoever kept an older head: as text for witnesses, or as JSON. */
export const consistencyRoutes: readonly Route[] = [
  { method: 'GET', path: '/v1/audit/consistency', scope: 'audit:read', handle: getConsistency },
];

const NAMES = ['from', 'to', 'epoch'];
const NUMBER = /^(?:0|[1-9][0-9]{0,14})$/;

/** It shows hashes and signed heads alone, so it is no reading of the log. */
async function getConsistency(ctx: RequestContext, req: RouteRequest): Promise<RouteResponse> {
  authorize(ctx, 'audit:read');
  const answer = await findConsistency(ctx, questionOf(req));
  const accept = String(req.headers['accept'] ?? '');
  const isJson = accept.includes('application/json') && !accept.includes('text/plain');
  return {
    status: 200,
    headers: {
      'content-type': isJson ? 'application/json' : 'text/plain; charset=utf-8',
      'cache-control': 'no-store',
      vary: 'accept',
    },
    body: isJson
      ? JSON.stringify({ ...answer, hashes: answer.hashes.map((hash) => hash.toString('hex')) })
      : consistencyText(answer),
  };
}

function questionOf({ query }: RouteRequest): ConsistencyQuestion {
  const unknown = Object.keys(query).find((name) => !NAMES.includes(name));
  if (unknown !== undefined) refuse(`It takes ${NAMES.join(', ')} and nothing else.`);
  return {
    from: numberOf(query, 'from') ?? refuse('"from" takes the size of an older checkpoint.'),
    to: numberOf(query, 'to'),
    epoch: numberOf(query, 'epoch'),
  };
}

function numberOf(query: RouteRequest['query'], name: string): number | null {
  const text = query[name];
  if (text === undefined) return null;
  return typeof text === 'string' && NUMBER.test(text) ? Number(text) : refuse(`"${name}" takes one whole number.`);
}

function refuse(hint: string): never {
  return fail('BAD_USER_INPUT', 'a parameter is refused', { hint });
}
