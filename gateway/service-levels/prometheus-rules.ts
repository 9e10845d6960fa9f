import {
  BURN_ALERTS,
  BURN_WINDOWS,
  errorBudget,
  INDICATORS,
  OBJECTIVES,
  type BurnAlert,
  type Indicator,
} from '#schema/service-levels.ts';
import { TIERS, type Tier } from '#schema/tenant-context.ts';

/** Returns the rules for Prometheus (YAML): the same alerts over the measurements of all gateways that it scrapes. */
export function prometheusRules(): string {
  const lines = [
    '# Generated from schema/service-levels.ts; a test compares them.',
    'groups:',
    '  - name: tenon-service-level-ratios',
    '    rules:',
    ...BURN_WINDOWS.flatMap((minutes) =>
      INDICATORS.flatMap((indicator) => TIERS.flatMap((tier) => ratioRule({ minutes, indicator, tier }))),
    ),
    '  - name: tenon-service-level-alerts',
    '    rules:',
    ...TIERS.flatMap((tier) =>
      INDICATORS.flatMap((indicator) => BURN_ALERTS.flatMap((alert) => alertRule({ tier, indicator, alert }))),
    ),
  ];
  return `${lines.join('\n')}\n`;
}

/** Returns the text of docs/alerts.md. */
export function alertsGuide(): string {
  const objectives = TIERS.map((tier) => {
    const { availability, p99Seconds } = OBJECTIVES[tier];
    return `| ${tier} | ${percent(availability)} | ${p99Seconds} s |`;
  });
  const alerts = BURN_ALERTS.map(
    ({ severity, factor, longMinutes, shortMinutes }) =>
      `| ${severity} | ${factor} | ${windowOf(longMinutes)} | ${windowOf(shortMinutes)} | ${percent((factor * longMinutes) / 43_200)} |`,
  );
  return GUIDE.replace('{objectives}', objectives.join('\n')).replace('{alerts}', alerts.join('\n'));
}

const GUIDE = `# Service levels and alerts

This page and [prometheus-alerts.yml](prometheus-alerts.yml) are generated from \`schema/service-levels.ts\`; a test
compares them (\`npx vitest run test/gateway/prometheus-rules.test.ts -u\` writes them anew).

## What is promised

| tier | availability | p99 |
| --- | --- | --- |
{objectives}

A request counts when it was carried out. One that failed inside (status 500 and above, or an error code of that kind in
an answer of status 200) is bad for availability; one above the tier's p99 is bad for latency, of which one in a hundred
may be. A request refused for the caller's own sake (status 4xx, a used-up budget among them) counts neither way. A
request that fails before its tenant is known has no tier: \`tenon_graphql_request_seconds_count{tier="none",
outcome="failed"}\` counts it, and \`/readyz\` names the store that is away.

## Where it is kept

Each gateway adds up in memory and writes once a minute and when it drains: a row a tenant and hour in the tenant's cell
(\`service_levels\`, read as \`tenant { serviceLevels }\`), and by tier a row of five minutes, one of the hour and one of
the day (\`tier_service_levels\`, read by \`/status\`). Several gateways add up in the same row. A cell that is away gets its
figures later, up to a day; beyond 20,000 waiting rows a cell \`tenon_service_levels_lost_total\` counts what is lost. A gateway
that is killed loses its last minute; a commit whose answer is lost with the connection counts twice. Rows older than 13
months go with the tenant's next write (of a tier, five minutes after 4 days and hours after 40 days); those of a tenant
that makes no request any more stay until she is erased.

## Alerts

An alert fires while both windows burn the error budget of 30 days faster than the factor says (Site Reliability
Workbook, chapter 5). The gateway judges them each minute from the table: \`/status\` shows them, \`tenon_slo_burn_rate\`
and \`tenon_slo_alert\` export them, and a log line tells when one begins and ends.

| severity | factor | long window | short window | budget used by then |
| --- | --- | --- | --- | --- |
{alerts}

Whoever runs Prometheus loads \`prometheus-alerts.yml\` instead: the same table over the measurements of all gateways.
`;

interface Measured {
  readonly tier: Tier;
  readonly indicator: Indicator;
}

function ratioRule({ minutes, indicator, tier }: Measured & { readonly minutes: number }): string[] {
  const window = windowOf(minutes);
  const series = (name: string, labels: string) =>
    `sum(rate(tenon_graphql_request_seconds_${name}{tier="${tier}",${labels}}[${window}]))`;
  const carriedOut = series('count', 'outcome=~"ok|failed"');
  const bad =
    indicator === 'availability'
      ? `${series('count', 'outcome="failed"')} / ${carriedOut}`
      : `1 - ${series('bucket', `outcome=~"ok|failed",le="${OBJECTIVES[tier].p99Seconds}"`)} / ${carriedOut}`;
  return [
    `      - record: ${recordOf(indicator, minutes)}`,
    `        expr: ${bad}`,
    `        labels: { tier: ${tier} }`,
  ];
}

function alertRule({ tier, indicator, alert }: Measured & { readonly alert: BurnAlert }): string[] {
  const { severity, factor, longMinutes, shortMinutes } = alert;
  const bound = Number((factor * errorBudget(indicator, OBJECTIVES[tier])).toPrecision(6));
  const above = (minutes: number) => `${recordOf(indicator, minutes)}{tier="${tier}"} > ${bound}`;
  return [
    `      - alert: TenonErrorBudgetBurns`,
    `        expr: ${above(longMinutes)} and ${above(shortMinutes)}`,
    `        labels: { severity: ${severity}, tier: ${tier}, indicator: ${indicator}, window: ${windowOf(longMinutes)} }`,
    `        annotations:`,
    `          summary: ${tier} burns its ${indicator} budget more than ${factor} times too fast over ${windowOf(longMinutes)} and ${windowOf(shortMinutes)}`,
  ];
}

function recordOf(indicator: Indicator, minutes: number): string {
  return `tier:tenon_${indicator}_errors:ratio_rate${windowOf(minutes)}`;
}

function windowOf(minutes: number): string {
  if (minutes % 1_440 === 0) return `${minutes / 1_440}d`;
  return minutes % 60 === 0 ? `${minutes / 60}h` : `${minutes}m`;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(3))} %`;
}
