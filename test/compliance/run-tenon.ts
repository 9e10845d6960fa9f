import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeFolder } from './verify-fixture.ts';

/** Returns the path of a main program of compliance. */
export const programOf = (name: string) => fileURLToPath(new URL(`../../compliance/${name}`, import.meta.url));

/** How a program ended. */
export interface Ending {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the real program; nothing of this process's settings reaches it. */
export async function tenon(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ending> {
  const environment = { PATH: process.env['PATH'] ?? '', TENON_HOME: makeFolder(), ...env };
  return promisify(execFile)(process.execPath, ['--import', 'tsx', programOf('tenon.ts'), ...words], {
    env: environment,
  }).then(
    ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
      code,
      out: stdout,
      err: stderr,
    }),
  );
}
