import { describe, expect, it } from 'vitest';
import type { PlatformStatus } from '../../gateway/service-levels/status.ts';
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

  it('/metrics counts the requests of a tier by outcome', async () => {
    await house.graphql(house.globex.member, '{ tenant { slug } }');
    const metrics = await (await house.fetch(null, '/metrics')).text();
    expect(metrics).toMatch(/tenon_graphql_request_seconds_count\{tier="GROWTH",outcome="ok"\} [1-9]/);
  });

  it('/status shows each tier beside its objective, and names no tenant', async () => {
    await house.graphql(house.globex.member, '{ tenant { slug } }');
    const answer = await (await house.fetch(null, '/status')).text();
    const status = JSON.parse(answer) as PlatformStatus;
    const growth = status.tiers.find(({ tier }) => tier === 'GROWTH');
    expect(status.away).toEqual([]);
    expect(growth).toMatchObject({ state: 'ok', objective: { p99Seconds: 0.5, availability: 0.999 } });
    expect(growth?.spans.lastHour.requests).toBeGreaterThanOrEqual(1);
    expect(growth?.spans.last30Days).toMatchObject({ availability: 1 });
    const page = await (await house.fetch(null, '/status', { headers: { accept: 'text/html' } })).text();
    expect(page).toContain('<th scope="row">ENTERPRISE_PLUS</th>');
    expect(page).toContain('Last 30 days');
    expect(`${answer}${page}`).not.toContain(house.globex.id);
  });

  it('/.well-known/tenon/keys shows the key that checkpoints and evidence are verified with', async () => {
    const keys = await (await house.fetch(null, '/.well-known/tenon/keys')).json();
    expect(keys).toEqual({
      keys: [{ verifierKey: TEST_SIGNING_KEY.verifierKey, algorithm: 'Ed25519' }],
      rotations: [],
    });
  });
});

describe('a browser at /graphql', () => {
  it('gets an editor that loads nothing from anywhere else', async () => {
    const page = await house.fetch(null, '/graphql', { headers: { accept: 'text/html' } });
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(/<(?:script|link|img)[^>]+(?:src|href)=["']https?:/.test(await page.text())).toBe(false);
  });
});
