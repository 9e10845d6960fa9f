import { describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import { burnRates, OBJECTIVES } from '#schema/service-levels.ts';
import { newLevelCounter } from '../../gateway/service-levels/level-counter.ts';
import { newGatewayMetrics, type ObservedRequest } from '../../gateway/service-levels/metrics.ts';

const NOW = Date.parse('2026-05-04T12:03:00Z');
const open = () => {
  const counter = newLevelCounter();
  return { counter, metrics: newGatewayMetrics({ counter, nowMs: () => NOW }) };
};
const request = (change: Partial<ObservedRequest> = {}): ObservedRequest => ({
  tenant: { tenant: mintId('tnt'), tier: 'GROWTH', cell: 'eu-1' },
  status: 200,
  seconds: 0.02,
  code: null,
  estimated: 12,
  actual: 10,
  ...change,
});
/** The value of a series, or null where there is none. */
const valueOf = (text: string, series: string) => {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? null : Number(line.slice(series.length + 1));
};
const seriesIn = (text: string) => text.split('\n').filter((line) => line.startsWith('tenon_'));

describe('the measurements of a gateway', () => {
  it('count a request by tier, outcome, cost and code', async () => {
    const { metrics } = open();
    metrics.observe(request());
    metrics.observe(request({ status: 429, code: 'THROTTLED', estimated: 300, actual: null }));
    metrics.observe(request({ status: 200, code: 'GATEWAY_TIMEOUT', seconds: 4, actual: 20 }));
    metrics.observe(request({ tenant: null, status: 401, code: 'UNAUTHENTICATED', estimated: null, actual: null }));
    metrics.throttled('tenant-points');
    const text = await metrics.text();
    const values = Object.fromEntries(
      [
        'tenon_graphql_request_seconds_count{tier="GROWTH",outcome="ok"}',
        'tenon_graphql_request_seconds_count{tier="GROWTH",outcome="refused"}',
        'tenon_graphql_request_seconds_count{tier="GROWTH",outcome="failed"}',
        'tenon_graphql_request_seconds_count{tier="none",outcome="refused"}',
        'tenon_graphql_request_seconds_bucket{le="3",tier="GROWTH",outcome="failed"}',
        'tenon_graphql_request_seconds_bucket{le="+Inf",tier="GROWTH",outcome="failed"}',
        'tenon_graphql_cost_estimated_sum{tier="GROWTH"}',
        'tenon_graphql_cost_actual_sum{tier="GROWTH"}',
        'tenon_graphql_cost_delta_sum{tier="GROWTH"}',
        'tenon_graphql_cost_delta_bucket{le="0",tier="GROWTH"}',
        'tenon_graphql_errors_total{code="THROTTLED"}',
        'tenon_throttles_total{policy="tenant-points"}',
      ].map((series) => [series.replace('tenon_', ''), valueOf(text, series)]),
    );
    expect(Object.values(values)).toEqual([1, 1, 1, 1, 0, 1, 324, 30, -6, 1, 1, 1]);
  });

  it('tell of the parts: subgraphs, breakers, queue, programs, plans, budgets and burning', async () => {
    const { metrics } = open();
    metrics.subgraphCall('billing', 0.004, false);
    metrics.subgraphCall('billing', 0.5, true);
    metrics.breaker('billing', 'ENTERPRISE', 'open');
    metrics.queueLength(() => 7);
    const use = { size: 16, held: 5, bulk: 2, waiting: 3, requests: 9, refused: 4 };
    metrics.connections(() => [{ cell: 'eu-1', store: 'audit', use }]);
    metrics.programCache(true);
    metrics.programCache(false);
    metrics.planned(0.002);
    metrics.budgetStoreAway(true);
    metrics.burning(
      'GROWTH',
      burnRates(
        new Map([
          [5, { requests: 100, failures: 50, slow: 0 }],
          [60, { requests: 100, failures: 50, slow: 0 }],
        ]),
        OBJECTIVES.GROWTH,
      ),
    );
    const text = await metrics.text();
    expect(
      [
        'tenon_subgraph_call_seconds_count{subgraph="billing",outcome="ok"}',
        'tenon_subgraph_call_seconds_count{subgraph="billing",outcome="failed"}',
        'tenon_subgraph_breaker_state{subgraph="billing",tenant_class="ENTERPRISE"}',
        'tenon_queue_length',
        'tenon_connections_size{cell="eu-1",store="audit"}',
        'tenon_connections_held{cell="eu-1",store="audit"}',
        'tenon_connections_bulk{cell="eu-1",store="audit"}',
        'tenon_connections_waiting{cell="eu-1",store="audit"}',
        'tenon_connections_refused_total{cell="eu-1",store="audit"}',
        'tenon_program_cache_total{result="hit"}',
        'tenon_program_cache_total{result="miss"}',
        'tenon_plan_seconds_count',
        'tenon_budget_store_away',
        'tenon_slo_burn_rate{tier="GROWTH",indicator="availability",window="5m"}',
        'tenon_slo_alert{tier="GROWTH",indicator="availability",severity="page",window="60m"}',
        'tenon_slo_alert{tier="GROWTH",indicator="latency",severity="page",window="60m"}',
      ].map((series) => valueOf(text, series)),
    ).toEqual([1, 1, 2, 7, 16, 5, 2, 3, 4, 1, 1, 1, 1, 500, 1, 0]);
  });

  it('have a bounded number of series after 10,000 tenants and as many of everything a caller or subgraph can name', async () => {
    const { metrics } = open();
    metrics.observe(request());
    const before = seriesIn(await metrics.text()).length;
    for (let round = 0; round < 10_000; round += 1) {
      metrics.observe(request({ status: 400, code: `MADE_UP_${round}` }));
      metrics.throttled(`policy-${round}`);
      metrics.subgraphCall(`subgraph-${round}`, 0.001, false);
      metrics.breaker(`subgraph-${round}`, `class-${round}`, 'open');
      if (round % 1000 === 0) metrics.chooseTenants();
    }
    metrics.chooseTenants();
    const text = await metrics.text();
    const tenants = new Set(text.match(/tenant="[^"]+"/g));
    expect(tenants.size).toBe(21);
    expect(tenants).toContain('tenant="other"');
    expect(seriesIn(text).filter((line) => line.includes('tenant="')).length).toBe(21 * 5);
    expect(new Set(text.match(/code="[^"]+"/g))).toEqual(new Set(['code="OTHER"']));
    expect(new Set(text.match(/policy="[^"]+"/g)).size).toBe(33);
    expect(new Set(text.match(/subgraph="[^"]+"/g)).size).toBe(65);
    // 65 subgraphs of 32 lines each and 65 breakers times 17 classes are the most that there can be.
    expect(seriesIn(text).length).toBeLessThan(before + 20 * 5 + 1 + 33 + 65 * 32 + 65 * 17);
  });

  it('name the busiest tenants, and pool what the others did meanwhile', async () => {
    const { metrics } = open();
    const early = Array.from({ length: 20 }, () => request());
    const busy = request();
    for (const one of early) metrics.observe(one);
    for (let round = 0; round < 5; round += 1) metrics.observe(busy);
    const idOf = (one: ObservedRequest) => one.tenant?.tenant ?? '';
    const ok = (text: string, tenant: string) =>
      valueOf(text, `tenon_tenant_requests_total{tenant="${tenant}",outcome="ok"}`);
    const first = await metrics.text();
    expect([ok(first, idOf(busy)), ok(first, 'other')]).toEqual([null, 5]);
    metrics.chooseTenants();
    metrics.observe(busy);
    const second = await metrics.text();
    expect([ok(second, idOf(busy)), ok(second, 'other')]).toEqual([1, 5]);
    expect(valueOf(second, `tenon_tenant_cost_total{tenant="${idOf(busy)}"}`)).toBe(10);
  });

  it('count for the service levels what was carried out, and not what was refused', () => {
    const { counter, metrics } = open();
    const tenant = { tenant: mintId('tnt'), tier: 'GROWTH', cell: 'eu-1' } as const;
    metrics.observe(request({ tenant }));
    metrics.observe(request({ tenant, status: 429, code: 'THROTTLED' }));
    metrics.observe(request({ tenant, status: 503, code: 'SERVICE_UNAVAILABLE' }));
    metrics.observe(request({ tenant, seconds: 0.51 }));
    metrics.observe(request({ tenant, seconds: 0.5 }));
    const [cell] = counter.cells();
    expect(cell?.tenants.take(10)).toMatchObject([{ owner: tenant.tenant, requests: 4, failures: 1, slow: 1 }]);
    expect(cell?.tiers.take(10)).toMatchObject([{ tier: 'GROWTH', cell: 'eu-1', requests: 4, failures: 1, slow: 1 }]);
  });
});
