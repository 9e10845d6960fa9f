import type { SubgraphResult } from '#kit/subgraph-execution.ts';
import { isObject } from '#schema/json-object.ts';
import type { Fault } from './exchange.ts';

/** What a subgraph answered over HTTP. */
export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string | readonly string[] | undefined;
  readonly chunks: readonly Buffer[];
}

/** What the answer was worth: a result, a fault, or both, where an error status came with GraphQL errors. */
export interface ReadAnswer {
  readonly result: SubgraphResult | null;
  readonly fault: Fault | null;
  readonly detail: string;
}

/** A GraphQL answer (GraphQL over HTTP, section 6), whatever its charset parameter says: JSON is UTF-8. */
const GRAPHQL = /^application\/(?:graphql-response\+)?json\s*(?:;|$)/i;
/** Statuses of something in front of the subgraph that did not reach it, or of one that asks for patience. */
const AWAY: ReadonlySet<number> = new Set([502, 503, 504]);

/** Reads an answer; one that is no GraphQL has no result. Redirects are not followed: they are no answer. */
export function readAnswer({ status, contentType, chunks }: HttpAnswer): ReadAnswer {
  const fault = faultOf(status);
  if (typeof contentType !== 'string' || !GRAPHQL.test(contentType)) {
    return {
      result: null,
      fault: fault ?? 'wrong',
      detail: `status ${status} with content type ${String(contentType)}`,
    };
  }
  const result = parseResult(chunks);
  if (result === null) return { result, fault: fault ?? 'wrong', detail: `status ${status} without a GraphQL result` };
  return { result, fault, detail: `status ${status}` };
}

function faultOf(status: number): Fault | null {
  if (AWAY.has(status)) return 'away';
  return status >= 500 || (status >= 300 && status < 400) ? 'wrong' : null;
}

function parseResult(chunks: readonly Buffer[]): SubgraphResult | null {
  const [first] = chunks;
  if (first === undefined) return null;
  const text = chunks.length === 1 ? first.toString('utf8') : Buffer.concat(chunks).toString('utf8');
  try {
    const body: unknown = JSON.parse(text);
    return isResult(body) ? body : null;
  } catch {
    return null;
  }
}

function isResult(body: unknown): body is SubgraphResult {
  if (!isObject(body)) return false;
  const { data, errors } = body;
  if (errors !== undefined && !(Array.isArray(errors) && errors.every(isObject))) return false;
  return data === undefined ? errors !== undefined : data === null || isObject(data);
}
