import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ServerProcess } from './server-process.ts';

/** Writes the CPU profile of every server into a folder, each under its name. */
export async function writeProfiles(
  servers: readonly (ServerProcess & { readonly name: string })[],
  folder: string,
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const server of servers) await server.writeProfile(join(folder, `${server.name}.cpuprofile`));
}
