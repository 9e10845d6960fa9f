import { Kind, parse, validate } from 'graphql';
import { describe, expect, it } from 'vitest';
import { platformApiSchema } from '#kit/api-schema.ts';
import { compileCost } from '#schema/cost/cost-program.ts';
import { fragmentsOf } from '#schema/cost/query-cost.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { isObject } from '#schema/json-object.ts';
import { DEFAULT_LIMITS } from '#schema/limits.ts';
import { checkLimits, checkSource, checkVariables } from '#schema/operation-limits.ts';
import { hostileRequests } from './hostile-documents.ts';

const CPU_MS_MAX = 50;
/** What a single operation may cost in the smallest tier. */
const COST_MAX = 1_000;
const { schema, costs } = platformApiSchema();

interface ParsedRequest {
  readonly query: string;
  readonly variables: unknown;
}

/** The chain that stands between a client and the planner. */
function admit({ query, variables }: ParsedRequest): void {
  checkSource(query, DEFAULT_LIMITS);
  checkVariables(variables, DEFAULT_LIMITS);
  const document = parsed(query);
  checkLimits(document, DEFAULT_LIMITS);
  const [fault] = validate(schema, document);
  if (fault !== undefined) fail('GRAPHQL_VALIDATION_FAILED', fault.message);
  const operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  if (operation === undefined) return;
  const program = compileCost({ operation, fragments: fragmentsOf(document), schema, costs });
  const { total } = program.estimate(isObject(variables) ? variables : {});
  if (total > COST_MAX) fail('COST_ESTIMATED_TOO_EXPENSIVE', `estimated ${total}`);
}

function parsed(query: string): ReturnType<typeof parse> {
  try {
    return parse(query);
  } catch (thrown) {
    return fail('GRAPHQL_PARSE_FAILED', String(thrown));
  }
}

function answerOf(request: ParsedRequest): { readonly outcome: string; readonly cpuMs: number } {
  const before = process.cpuUsage();
  let outcome = 'answered';
  try {
    admit(request);
  } catch (thrown) {
    outcome = asTenonError(thrown).code;
  }
  const { user, system } = process.cpuUsage(before);
  return { outcome, cpuMs: (user + system) / 1000 };
}

describe('the hostile corpus', () => {
  const requests = hostileRequests();

  it('holds at least 60 requests with a name each', () => {
    expect(requests.length).toBeGreaterThanOrEqual(60);
    expect(new Set(requests.map((request) => request.name)).size).toBe(requests.length);
  });

  it.each(requests)('$name: $expected, in less than 50 ms of CPU', (request) => {
    const variables: unknown = JSON.parse(request.variablesJson ?? '{}');
    const runs = [1, 2, 3].map(() => answerOf({ query: request.query, variables }));
    expect(runs.map((run) => run.outcome)).toEqual(Array(3).fill(request.expected));
    expect(Math.min(...runs.map((run) => run.cpuMs))).toBeLessThan(CPU_MS_MAX);
  });
});
