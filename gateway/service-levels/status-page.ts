import { SPANS, type Span } from './level-reader.ts';
import type { PlatformStatus, SpanStatus, TierStatus } from './status.ts';

/** Returns the status page: what each tier was promised and what it got, from all gateways. */
export function statusPage({ tiers, away, asOf }: PlatformStatus): string {
  const missing =
    away.length === 0
      ? ''
      : `<p>Figures are missing from ${away.length} of the platform's cells, which do not answer.</p>`;
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Tenon status</title>
<style>body{font:16px/1.5 system-ui;margin:3rem auto;max-width:60rem}table{border-collapse:collapse;width:100%}
th,td{padding:.4rem .8rem;text-align:left;border-bottom:1px solid #ccc}caption{text-align:left;font-weight:bold;padding-top:1.5rem}</style>
<h1>Status</h1>${missing}
<table><caption>Now</caption><thead><tr><th>Tier</th><th>State</th><th>Burning</th></tr></thead>
<tbody>${tiers.map(stateRow).join('')}</tbody></table>
${SPANS.map((span) => spanTable(span, tiers)).join('\n')}
<p>As of <time datetime="${asOf}">${asOf}</time>.</p></html>`;
}

const CAPTIONS: Readonly<Record<Span, string>> = {
  lastHour: 'Last hour',
  lastDay: 'Last day',
  last30Days: 'Last 30 days',
};

function stateRow({ tier, state, burnRates }: TierStatus): string {
  const firing = burnRates.filter((rate) => rate.firing);
  const what = [...new Set(firing.map(({ indicator }) => indicator))].join(', ');
  return `<tr><th scope="row">${tier}</th><td>${state}</td><td>${what}</td></tr>`;
}

function spanTable(span: Span, tiers: readonly TierStatus[]): string {
  const rows = tiers.map(({ tier, objective, spans }) => {
    const { requests, availability, p99Seconds, met } = spans[span];
    return (
      `<tr><th scope="row">${tier}</th><td>${requests}</td>` +
      `<td>${percent(availability)}</td><td>${percent(objective.availability)}</td>` +
      `<td>${seconds(p99Seconds)}</td><td>${objective.p99Seconds} s</td><td>${verdict(requests, met)}</td></tr>`
    );
  });
  return `<table><caption>${CAPTIONS[span]}</caption><thead><tr><th>Tier</th><th>Requests</th><th>Availability</th><th>promised</th><th>p99</th><th>promised</th><th>kept</th></tr></thead>
<tbody>${rows.join('')}</tbody></table>`;
}

function verdict(requests: SpanStatus['requests'], met: boolean): string {
  return requests === 0 ? '' : met ? 'yes' : 'no';
}

function percent(share: number | null): string {
  return share === null ? 'no request yet' : `${(share * 100).toFixed(3)} %`;
}

function seconds(time: number | null): string {
  return time === null ? 'no request yet' : `${time} s`;
}
