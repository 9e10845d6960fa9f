import { describe, expect, it } from 'vitest';
import { openHouse } from '../support/house.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

const house = await openHouse();

describe('the doors for operators', () => {
  it('/healthz says that the process lives', async () => {
    expect((await house.fetch(null, '/healthz')).status).toBe(200);
  });

  it('/readyz says that every store answers, and names those that do not', async () => {
    const ready = await house.fetch(null, '/readyz');
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, away: [] }]);
  });

  it('/metrics and /status count the requests of a tier, and name no tenant', async () => {
    await house.graphql(house.globex.member, '{ tenant { slug } }');
    const metrics = await (await house.fetch(null, '/metrics')).text();
    expect(metrics).toMatch(/tenon_graphql_request_seconds_count\{tier="GROWTH"\} [1-9]/);
    expect(metrics).not.toContain(house.globex.id);
    const status = (await (await house.fetch(null, '/status')).json()) as {
      tiers: { tier: string; requests: number; availability: number | null }[];
    };
    const growth = status.tiers.find(({ tier }) => tier === 'GROWTH');
    expect(growth?.requests).toBeGreaterThanOrEqual(1);
    expect(growth?.availability).toBe(1);
    const page = await (await house.fetch(null, '/status', { headers: { accept: 'text/html' } })).text();
    expect(page).toContain('<th scope="row">ENTERPRISE_PLUS</th>');
  });

  it('/.well-known/tenon/keys shows the key that checkpoints and evidence are verified with', async () => {
    const keys = await (await house.fetch(null, '/.well-known/tenon/keys')).json();
    expect(keys).toEqual({ keys: [{ verifierKey: TEST_SIGNING_KEY.verifierKey, algorithm: 'Ed25519' }] });
  });
});

describe('a browser at /graphql', () => {
  it('gets an editor that loads nothing from anywhere else', async () => {
    const page = await house.fetch(null, '/graphql', { headers: { accept: 'text/html' } });
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(/<(?:script|link|img)[^>]+(?:src|href)=["']https?:/.test(await page.text())).toBe(false);
  });
});
