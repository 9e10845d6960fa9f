import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import { TENANT_STATES, TIERS, type TenantContext } from '#schema/tenant-context.ts';
import type { SubgraphLink } from '../../../gateway/execution/subgraph-link.ts';
import { coalescingLink } from '../../../gateway/links/coalescing.ts';
import type { TenantCall } from '../../../gateway/links/exchange.ts';
import { tenantKey } from '../../../gateway/tenant-key.ts';
import { callOf, requestOf, TENANT } from './a-call.ts';

/** A subgraph that answers when it is told to, with what it was asked for. */
function slowLink() {
  const calls: TenantCall[] = [];
  const answers: (() => void)[] = [];
  const link: SubgraphLink<TenantCall> = {
    send: (request, call) => {
      calls.push(call);
      return new Promise<SubgraphResult>((resolve) =>
        answers.push(() =>
          resolve({
            data: { tenant: call.request.tenant, text: request.operation.text, variables: request.variables },
          }),
        ),
      );
    },
  };
  const coalescing = coalescingLink(link, { subgraph: 'people', keyOf: tenantKey });
  return { calls, link: coalescing, answer: () => answers.splice(0).forEach((reply) => reply()) };
}

const QUERY = requestOf('{ users { name } }');
const text = fc.oneof(fc.constantFrom('a', 'b', '', 'a","b', ']', '[', 'null', 'a"'), fc.string({ maxLength: 5 }));
const SOME_SCOPES = (Object.keys(SCOPES) as Scope[]).slice(0, 3);
/** Contexts that are as near to each other as two can be: every part out of two or three values. */
const context: fc.Arbitrary<TenantContext> = fc.record({
  tenant: text.map((id): TenantContext['tenant'] => `tnt_${id}`),
  tier: fc.constantFrom(...TIERS),
  region: text,
  cell: text,
  state: fc.constantFrom(...TENANT_STATES),
  actor: fc.record({
    type: fc.constantFrom('user', 'api_key', 'scim'),
    id: text,
    ip: fc.option(text),
    ua: fc.option(text),
  }),
  scopes: fc.subarray(SOME_SCOPES),
  sessionId: fc.option(text),
  epoch: fc.nat(2),
  client: fc.option(text),
  requestId: text,
});
const change = fc.constantFrom<keyof TenantContext>(
  ...(Object.keys(TENANT) as (keyof TenantContext)[]).filter((key) => key !== 'requestId'),
);

describe('identical queries under way', () => {
  it('are sent once for one caller, who gets an answer of her own each time', async () => {
    const { calls, link, answer } = slowLink();
    const sent = [1, 2, 3].map((count) => link.send(QUERY, callOf({ requestId: `req_${count}` })));
    answer();
    const results = await Promise.all(sent);
    expect(calls).toHaveLength(1);
    expect(results[1]).toEqual(results[0]);
    Object.assign(results[0]?.data ?? {}, { text: 'written over' });
    expect(results[1]?.data?.['text']).toBe(QUERY.operation.text);
    expect(results[2]?.data).not.toBe(results[1]?.data);
  });

  it('are sent anew when the answer has come', async () => {
    const { calls, link, answer } = slowLink();
    const first = link.send(QUERY, callOf());
    answer();
    await first;
    const second = link.send(QUERY, callOf());
    answer();
    await second;
    expect(calls).toHaveLength(2);
  });

  it('are each sent if they are mutations', () => {
    const { calls, link } = slowLink();
    const mutation = requestOf('mutation { rename { name } }');
    void link.send(mutation, callOf());
    void link.send(mutation, callOf());
    expect(calls).toHaveLength(2);
  });

  it('never mix two contexts that differ in anything but the request id', async () => {
    await fc.assert(
      fc.asyncProperty(context, context, change, async (one, other, key) => {
        const near = { ...one, [key]: other[key] };
        for (const second of [near, other]) {
          const { link, answer, calls } = slowLink();
          const sent = [link.send(QUERY, callOf(one)), link.send(QUERY, callOf(second))];
          answer();
          const results = await Promise.all(sent);
          const same = JSON.stringify({ ...one, requestId: 0 }) === JSON.stringify({ ...second, requestId: 0 });
          expect(calls).toHaveLength(same ? 1 : 2);
          expect({ ...(results[1]?.data?.['tenant'] as object), requestId: 0 }).toEqual({ ...second, requestId: 0 });
        }
      }),
      { numRuns: 300 },
    );
  });

  it('never mix two texts, names or variables', async () => {
    const operation = fc.constantFrom('{ a }', '{ b }', 'query A { a }', 'query B { a }', 'query A { a } # "}');
    const variables = fc.option(fc.dictionary(fc.constantFrom('a', 'b', 'null'), fc.jsonValue({ maxDepth: 1 })), {
      nil: undefined,
    });
    const request = fc.tuple(operation, variables).map(([query, values]) => requestOf(query, values));
    await fc.assert(
      fc.asyncProperty(request, request, async (one, other) => {
        const { link, answer } = slowLink();
        const sent = [link.send(one, callOf()), link.send(other, callOf())];
        answer();
        const [, second] = await Promise.all(sent);
        expect(second?.data?.['text']).toBe(other.operation.text);
        expect(JSON.stringify(second?.data?.['variables'])).toBe(other.variablesJson);
      }),
      { numRuns: 300 },
    );
  });

  it('go on when one caller leaves, and end with the last', async () => {
    const { calls, link, answer } = slowLink();
    const [first, second] = [new AbortController(), new AbortController()];
    const left = link.send(QUERY, callOf({}, first.signal));
    const stayed = link.send(QUERY, callOf({}, second.signal));
    first.abort();
    expect((await left).errors?.[0]?.extensions?.['code']).toBe('GATEWAY_TIMEOUT');
    expect(calls[0]?.request.signal?.aborted).toBe(false);
    answer();
    expect((await stayed).errors).toBeUndefined();

    const last = new AbortController();
    const alone = link.send(QUERY, callOf({}, last.signal));
    last.abort();
    await alone;
    expect(calls[1]?.request.signal?.aborted).toBe(true);
    // Whoever comes now does not join a call that is over.
    const next = link.send(QUERY, callOf());
    answer();
    expect((await next).errors).toBeUndefined();
    expect(calls).toHaveLength(3);
  });
});
