import { serverAudits } from 'graphql-http';
import { describe, expect, it } from 'vitest';
import { openHouse } from '../support/house.ts';

const house = await openHouse();

const audits = serverAudits({
  url: `${house.url}/graphql`,
  fetchFn: (url: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${house.acme.admin}`);
    return fetch(url, { ...init, headers });
  },
});

/** GETs that bring no header of their own: a browser could be made to send them, so CSRF prevention refuses them. */
const REFUSED_BY_CSRF_PREVENTION = new Set(['5A70', 'D6D5', '6A70']);

describe('GraphQL over HTTP', () => {
  it.each(audits.map((audit) => [audit.id, audit.name, audit] as const))('%s %s', async (id, _name, audit) => {
    const { status } = await audit.fn();
    expect(status).toBe(REFUSED_BY_CSRF_PREVENTION.has(id) ? 'notice' : 'ok');
  });

  it('refuses what a browser could have been made to send', async () => {
    const response = await house.fetch(house.acme.admin, '/graphql?query=%7B__typename%7D');
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'CSRF_PREVENTION_FAILED' } }] });
  });
});
