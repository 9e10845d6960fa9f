import { describe, expect, it } from 'vitest';
import { codesOf, metricOf, post, type HttpAnswer } from '../support/graphql-http.ts';
import { openHouse } from '../support/house.ts';

const house = await openHouse({ mode: 'remote' });

const BOTH = '{ tenant { slug } project(id: "prj_00000000000000000000000000") { name } }';
const NOT_NULL = '{ viewer { scopes } projects(first: 1) { edges { cursor } } }';

const ask = (tenant: 'acme' | 'globex', query: string) => post(house, house[tenant].member, { body: { query } });
const breaker = (tenantClass: string) =>
  metricOf(house, `tenon_subgraph_breaker_state{subgraph="product",tenant_class="${tenantClass}"}`);

/** What an answer says, without what differs from one request to the next. */
const said = ({ status, body }: HttpAnswer) => ({ status, data: body.data, codes: codesOf(body) });

describe('a subgraph that is away', () => {
  it('leaves the answers of the others, whether the operation is known or not, and everything else whole', async () => {
    expect(said(await ask('acme', BOTH))).toEqual({
      status: 200,
      data: { tenant: { slug: 'acme' }, project: null },
      codes: [],
    });
    await house.subgraphServers.get('product')?.close();
    for (const query of [BOTH, BOTH.replace('{ tenant', '{ me: tenant')]) {
      const answer = await ask('acme', query);
      expect(said(answer)).toMatchObject({ status: 200, codes: ['SERVICE_UNAVAILABLE'] });
      expect(JSON.stringify(answer.body.data)).toMatch(/^\{"(tenant|me)":\{"slug":"acme"\},"project":null\}$/);
      expect(answer.body.errors?.[0]).toEqual({
        message: 'A part of the platform is not available; try again soon.',
        path: ['project'],
        extensions: { code: 'SERVICE_UNAVAILABLE', requestId: answer.headers.get('x-request-id') },
      });
    }
    // A field that must not be null takes its parent with it, here the whole answer.
    expect(said(await ask('acme', NOT_NULL))).toEqual({ status: 200, data: null, codes: ['SERVICE_UNAVAILABLE'] });
    expect(said(await ask('globex', '{ tenant { slug } viewer { scopes } }')).codes).toEqual([]);
    expect((await house.fetch(null, '/readyz')).status).toBe(200);
  });

  it('is left alone after some failures, by the tier whose calls failed; /metrics shows it', async () => {
    let codes: string[] = [];
    for (let sent = 0; codes[0] !== 'SUBGRAPH_CIRCUIT_BREAKER_REJECTED' && sent < 60; sent++)
      ({ codes } = said(await ask('acme', BOTH)));
    expect(codes).toEqual(['SUBGRAPH_CIRCUIT_BREAKER_REJECTED']);
    expect([await breaker('ENTERPRISE'), await breaker('GROWTH')]).toEqual([2, 0]);
    // Nobody waits for what is left alone, and the rest of the answer is there.
    expect(said(await ask('acme', BOTH))).toMatchObject({
      status: 200,
      data: { tenant: { slug: 'acme' }, project: null },
    });
    expect(said(await ask('globex', BOTH)).codes).toEqual(['SERVICE_UNAVAILABLE']);
  });
});
