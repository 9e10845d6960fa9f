import type { TierStatus } from './metrics.ts';

/** Returns the status page: what each tier was promised and what it got, since this process started. */
export function statusPage(tiers: readonly TierStatus[]): string {
  const rows = tiers.map(
    (row) =>
      `<tr><th scope="row">${row.tier}</th><td>${row.requests}</td>` +
      `<td>${percent(row.availability)}</td><td>${percent(row.objective.availability)}</td>` +
      `<td>${row.p99Seconds === null ? 'no request yet' : `&le; ${row.p99Seconds} s`}</td><td>${row.objective.p99Seconds} s</td></tr>`,
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Tenon status</title>
<style>body{font:16px/1.5 system-ui;margin:3rem auto;max-width:48rem}table{border-collapse:collapse;width:100%}
th,td{padding:.4rem .8rem;text-align:left;border-bottom:1px solid #ccc}</style>
<h1>Status</h1><table><thead><tr><th>Tier</th><th>Requests</th><th>Availability</th><th>promised</th><th>p99</th><th>promised</th></tr></thead>
<tbody>${rows.join('')}</tbody></table></html>`;
}

function percent(share: number | null): string {
  return share === null ? 'no request yet' : `${(share * 100).toFixed(3)} %`;
}
