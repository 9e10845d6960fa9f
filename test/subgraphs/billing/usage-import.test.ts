import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readArguments, UsageError } from '#kit/command.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf } from '#schema/ids.ts';
import { usageImport } from '../../../subgraphs/billing/commands.ts';
import { openBilling, type BillingPlatform } from './billing-platform.ts';

let house: BillingPlatform;
let acme: RequestContext;
let folder: string;

beforeAll(async () => {
  house = await openBilling();
  acme = await house.addTenant('acme', 'ENTERPRISE');
  folder = await mkdtemp(join(tmpdir(), 'tenon-usage-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('usage import', () => {
  test('stores a file in batches and says how far it is; a second run counts nothing twice', async () => {
    const file = await fileOf(Array.from({ length: 2500 }, (_, index) => eventLine(`import-${index}`)));
    const first = await run([file, '--tenant', 'acme']);
    expect(first.code).toBe(0);
    expect(first.lines.at(-1)).toBe('2500 events stored, 0 were stored before.');
    expect(first.lines.slice(0, -1).every((line) => /^\[[#.]{10}\] \d+ events$/.test(line))).toBe(true);
    expect(first.lines.at(-2)).toBe('[##########] 2500 events');
    const second = await run([file, '--tenant', 'acme']);
    expect(second.lines.at(-1)).toBe('0 events stored, 2500 were stored before.');
    expect(await count('import-')).toBe(2500);
  });

  test('acts as the platform itself, which the audit log shows', async () => {
    const file = await fileOf([eventLine('by-system')]);
    await run([file, '--tenant', 'acme']);
    const [row] = await house.peek<{ event: string }>(
      'select event from outbox where tenant_id = $1 order by position desc limit 1',
      [tenantUuid()],
    );
    expect(JSON.parse(row?.event ?? '')).toMatchObject({
      action: 'usage.record',
      actor: { type: 'system', id: 'usage-import' },
    });
  });

  test.each([
    ['an event that is refused', eventLine('line-bad').replace('1284', '-1'), 'line 1203: value takes'],
    ['a line that is not JSON', '{', 'Line 1203 is not JSON.'],
  ])('stops at %s, names its line and keeps the batches before it', async (name, bad, text) => {
    const prefix = `stop-${name.length}-`;
    const lines = Array.from({ length: 1201 }, (_, index) => eventLine(`${prefix}${index}`));
    const file = await fileOf([...lines, '', bad]);
    const { code, lines: output } = await run([file, '--tenant', 'acme']);
    expect(code).toBe(1);
    expect(output.at(-1)).toContain(text);
    expect(output.at(-2)).toBe('1000 events stored, 0 were stored before.');
    expect(await count(prefix)).toBe(1000);
  });

  test('writes one JSON document for machines', async () => {
    const file = await fileOf([eventLine('json-1'), eventLine('json-2')]);
    const { lines } = await run([file, '--tenant', 'acme'], true);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([{ accepted: 2, duplicates: 0 }]);
  });

  test('cannot say anything of a file or tenant that is not there', async () => {
    const file = await fileOf([eventLine('nobody')]);
    expect(await run([join(folder, 'none'), '--tenant', 'acme'])).toMatchObject({
      code: 2,
      lines: [expect.stringMatching(/^cannot read /)],
    });
    expect(await run([folder, '--tenant', 'acme'])).toMatchObject({ code: 2 });
    expect(await run([file, '--tenant', 'nobody'])).toEqual({ code: 2, lines: ['there is no tenant nobody'] });
  });

  test('stores nothing in a suspended tenant', async () => {
    const file = await fileOf([eventLine('suspended')]);
    const frozen = await house.addTenant('frozen', 'GROWTH', 'suspended');
    const { code, lines } = await run([file, '--tenant', 'frozen']);
    expect([code, lines.at(-1)]).toEqual([1, expect.stringContaining('The tenant is suspended;')]);
    expect(
      await house.peek('select from usage_events where tenant_id = $1', [uuidOf('tnt', frozen.tenant.tenant)]),
    ).toHaveLength(0);
  });

  test('says how it is used where the tenant is missing', () => {
    expect(() => readArguments(usageImport, ['file'])).toThrow(UsageError);
  });
});

async function run(argv: readonly string[], json = false): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const surroundings = { platform: async () => house.platform, write: (line: string) => void lines.push(line), json };
  const code = await usageImport.run(surroundings, readArguments(usageImport, argv));
  return { code, lines };
}

async function fileOf(lines: readonly string[]): Promise<string> {
  const file = join(folder, `${crypto.randomUUID()}.ndjson`);
  await writeFile(file, lines.join('\n'));
  return file;
}

function eventLine(idempotency: string): string {
  return JSON.stringify({ metric: 'tokens_used', value: 1284, timestamp: '2026-05-04T10:33:21Z', idempotency });
}

async function count(prefix: string): Promise<number> {
  const rows = await house.peek('select from usage_events where tenant_id = $1 and starts_with(idempotency, $2)', [
    tenantUuid(),
    prefix,
  ]);
  return rows.length;
}

function tenantUuid(): string {
  return uuidOf('tnt', acme.tenant.tenant);
}
