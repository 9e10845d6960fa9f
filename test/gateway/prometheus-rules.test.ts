import { describe, expect, it } from 'vitest';
import { BURN_ALERTS, INDICATORS } from '#schema/service-levels.ts';
import { TIERS } from '#schema/tenant-context.ts';
import { newLevelCounter } from '../../gateway/service-levels/level-counter.ts';
import { newGatewayMetrics } from '../../gateway/service-levels/metrics.ts';
import { alertsGuide, prometheusRules } from '../../gateway/service-levels/prometheus-rules.ts';

describe('the alerts for Prometheus', () => {
  it('are the committed file', async () => {
    await expect(prometheusRules()).toMatchFileSnapshot('../../docs/prometheus-alerts.yml');
  });

  it('are explained in the committed guide', async () => {
    await expect(alertsGuide()).toMatchFileSnapshot('../../docs/alerts.md');
  });

  it('are one for each tier, indicator and row of the table', () => {
    const alerts = prometheusRules().match(/- alert:/g) ?? [];
    expect(alerts.length).toBe(TIERS.length * INDICATORS.length * BURN_ALERTS.length);
  });

  it('read only series that the gateway exports, and records that the file defines', async () => {
    const rules = prometheusRules();
    const text = await newGatewayMetrics({ counter: newLevelCounter(), nowMs: () => 0 }).text();
    for (const [, name, tier, labels] of rules.matchAll(/(tenon_graphql_\w+)\{tier="(\w+)",([^}]*)\}/g)) {
      const bound = /le="([^"]+)"/.exec(labels ?? '')?.[1];
      const outcome = /outcome=~?"(\w+)/.exec(labels ?? '')?.[1] ?? '';
      const prefix = bound === undefined ? '' : `le="${bound}",`;
      expect(text).toContain(`${name}{${prefix}tier="${tier}",outcome="${outcome}"} 0`);
    }
    const records = new Set([...rules.matchAll(/- record: (\S+)/g)].map(([, record]) => record));
    const used = new Set([...rules.matchAll(/(tier:tenon_\w+:\w+)\{/g)].map(([, record]) => record));
    expect(used.size).toBeGreaterThan(0);
    expect([...used].filter((record) => !records.has(record))).toEqual([]);
  });

  it('sound at the shares that the objectives leave', () => {
    expect(prometheusRules()).toContain(
      'expr: tier:tenon_availability_errors:ratio_rate1h{tier="ENTERPRISE_PLUS"} > 0.00144 and tier:tenon_availability_errors:ratio_rate5m{tier="ENTERPRISE_PLUS"} > 0.00144',
    );
    expect(prometheusRules()).toContain('tier:tenon_latency_errors:ratio_rate3d{tier="FREE"} > 0.01 and');
  });
});
