import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');
const PARTS = [
  'schema',
  'subgraphs',
  'gateway',
  'compliance',
  'test',
  'docs',
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
  'README.md',
  '.env.example',
  '.oxlintrc.json',
];
let copy: string;

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'tenon-new-'));
  for (const part of PARTS) cpSync(join(root, part), join(copy, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
});

afterAll(() => rmSync(copy, { recursive: true, force: true }));

const node = (...args: string[]) =>
  run(process.execPath, args, { cwd: copy, env: { ...process.env, TEST_DATABASE_URL: inject('postgresUrl') } });

describe('npm run new -- contracts', () => {
  it('makes a subgraph that composes, type-checks, is linted and passes its own tests without an edit', async () => {
    await node('--import', 'tsx', 'subgraphs/new.ts', 'contracts');
    await node('--import', 'tsx', 'subgraphs/generate.ts');
    expect(readFileSync(join(copy, 'schema/graphql/supergraph.graphql'), 'utf8')).toContain(
      'createContract(input: CreateContractInput!)',
    );
    await node('node_modules/typescript/bin/tsc');
    await node('node_modules/oxlint/bin/oxlint', 'subgraphs/contracts', 'test/subgraphs/contracts');
    const { stdout } = await node(
      'node_modules/vitest/vitest.mjs',
      'run',
      'test/subgraphs/contracts',
      '--reporter=json',
    );
    const report = JSON.parse(stdout.slice(stdout.indexOf('{"numTotalTestSuites'))) as {
      success: boolean;
      numPassedTests: number;
    };
    expect(report).toMatchObject({ success: true });
    expect(report.numPassedTests).toBeGreaterThanOrEqual(10);
  }, 180_000);

  it.each([['Contracts'], ['contract'], ['../evil'], ['product'], ['billing']])(
    'refuses the name %s and writes nothing',
    async (name) => {
      await expect(node('--import', 'tsx', 'subgraphs/new.ts', name)).rejects.toMatchObject({ code: 2 });
    },
  );
});
