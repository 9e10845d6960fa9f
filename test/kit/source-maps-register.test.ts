import { execFile } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LIBRARY = pathToFileURL(realpathSync(join(ROOT, 'node_modules/@apollo/utils.createhash/dist/index.js'))).href;
const PROGRAM = `import { findSourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';
import '${LIBRARY}';

const library = fileURLToPath('${LIBRARY}');
console.log(JSON.stringify({
  library: findSourceMap(library) !== undefined,
  line: /program\\.mts:(\\d+)/.exec(new Error('here').stack ?? '')?.[1],
}));
`;
const LINE = String(PROGRAM.split('\n').findIndex((line) => line.includes("Error('here')")) + 1);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maps-'));
  await writeFile(join(folder, 'program.mts'), PROGRAM);
});
afterAll(() => rm(folder, { recursive: true }));

async function run(...imports: string[]): Promise<unknown> {
  const flags = ['tsx', ...imports].flatMap((name) => ['--import', name]);
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, join(folder, 'program.mts')], {
    cwd: ROOT,
  });
  return JSON.parse(stdout);
}

it('a process that serves keeps no source map of a library, and its traces lead to its own sources', async () => {
  expect(await run('./subgraphs/kit/source-maps-register.ts')).toEqual({ library: false, line: LINE });
  // What it is there for: without it the maps are kept.
  expect(await run()).toEqual({ library: true, line: LINE });
});
