import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LIMIT_SUBJECTS, OPERATION_CLASSES, TIER_LIMITS, type Rate } from '#schema/budget-limits.ts';
import { TIERS } from '#schema/tenant-context.ts';
import { newWorkerMetrics } from '../../compliance/metrics/worker-metrics.ts';
import { CALL_TIMES } from '../../gateway/links/call-times.ts';
import { newLevelCounter } from '../../gateway/service-levels/level-counter.ts';
import { newGatewayMetrics } from '../../gateway/service-levels/metrics.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(resolve(root, file), 'utf8');
const guide = read('docs/gateway.md');
const operations = read('docs/operations.md');

const number = (value: number) => value.toLocaleString('en-US');
const rate = ({ capacity, restorePerSecond }: Rate) => `${number(capacity)}, ${number(restorePerSecond)}/s`;
const row = (...cells: readonly string[]) => `| ${cells.join(' | ')} |`;

describe('the guide to the gateway', () => {
  it('shows the budgets that each tier starts with', () => {
    for (const tier of TIERS) {
      const limits = TIER_LIMITS[tier];
      expect(guide).toContain(row(tier, number(limits.maxQueryCost), String(limits.concurrency)));
      for (const subject of LIMIT_SUBJECTS) {
        const { points, requests } = limits[subject];
        const rates = [...OPERATION_CLASSES.map((name) => points[name]), requests];
        expect(guide).toContain(row(tier, subject, ...rates.map(rate)));
      }
    }
  });

  it('shows how long calls and requests of each tier may take', () => {
    for (const tier of TIERS) {
      const { timeoutMs, deadlineMs } = CALL_TIMES[tier];
      expect(guide).toContain(row(tier, `${timeoutMs / 1_000} s`, `${deadlineMs / 1_000} s`));
    }
  });

  it('changes limits by an operation that operators can run', () => {
    const { operations: registered } = JSON.parse(read('schema/operations/operator.json')) as {
      operations: readonly { id: string; name: string }[];
    };
    const id = registered.find(({ name }) => name === 'SetTenantLimits')?.id;
    expect(guide).toContain(`"documentId": "${id}"`);
  });

  it('holds examples that are JSON', () => {
    const examples = [...guide.matchAll(/```json\n([\s\S]*?)```/g)].map(([, text]) => text ?? '');
    expect(examples.length).toBeGreaterThan(4);
    for (const example of examples) expect(() => void JSON.parse(example), example).not.toThrow();
  });
});

describe('the guide to operations', () => {
  it.each([
    ['gateway', '| metric |', () => newGatewayMetrics({ counter: newLevelCounter(), nowMs: () => 0 }).text()],
    ['worker', 'The compliance worker serves', newWorkerMetrics(() => new Map(), new Map())],
  ])('lists every metric of the %s, and no other', async (_, from, text) => {
    const exported = [...(await text()).matchAll(/^# TYPE (tenon_\w+)/gm)].map(([, name]) => name);
    const [table = ''] = /(?:\|.*\n)+/.exec(operations.slice(operations.indexOf(from))) ?? [];
    const listed = [...table.matchAll(/`(tenon_\w+)`/g)].map(([, name]) => name);
    expect(new Set(listed)).toEqual(new Set(exported));
  });
});

describe.each(['docs/gateway.md', 'docs/operations.md', 'test/bench/README.md'])('%s', (page) => {
  const text = read(page);

  it('links to what is there', () => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link ?? '');
    for (const link of links.filter((one) => !one.startsWith('http'))) {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? page : resolve(root, page, '..', file);
      expect(existsSync(resolve(root, target)), link).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(read(target)), link).toContain(anchor);
    }
  });

  it('names only files that are there', () => {
    const named = [...text.matchAll(/`((?:gateway|schema|test|subgraphs|docs)\/[\w./-]+)`/g)].map(
      ([, file]) => file ?? '',
    );
    for (const file of named) expect(existsSync(resolve(root, file)), file).toBe(true);
  });
});

/** As GitHub makes them: small letters, without punctuation, spaces as hyphens. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}
