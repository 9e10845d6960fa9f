import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

it('every generated file and table is what the code says', async () => {
  const cwd = resolve(import.meta.dirname, '../..');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', 'subgraphs/generate.ts', '--check'],
    { cwd },
  );
  expect(stdout).toContain('up to date');
});
