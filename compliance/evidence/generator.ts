import { createHash, hash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PackManifest } from '../verify/pack-manifest.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What decides about the content of a pack; the program runs from these files as they are. */
const FOLDERS = ['compliance', 'gateway', 'schema', 'subgraphs'];
const SOURCE = /\.(?:ts|sql|graphql|json)$/;

let known: Promise<PackManifest['generator']> | undefined;

/**
 * Returns the name and version of this program and the digest of its source: SHA-256 over `<sha256> <path>` and a line
 * feed for every source file, sorted by path. Read once a process.
 */
export function generatorOf(): Promise<PackManifest['generator']> {
  return (known ??= readGenerator());
}

async function readGenerator(): Promise<PackManifest['generator']> {
  const { version }: { version: string } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
  const paths = (await Promise.all(FOLDERS.map(sourcePaths))).flat().toSorted();
  const digest = createHash('sha256');
  for (const path of paths) digest.update(`${hash('sha256', await readFile(join(ROOT, path)))} ${path}\n`);
  return { name: 'tenon', version, source_sha256: digest.digest('hex') };
}

async function sourcePaths(folder: string): Promise<string[]> {
  const entries = await readdir(join(ROOT, folder), { recursive: true });
  return entries.map((entry) => `${folder}/${entry.replaceAll('\\', '/')}`).filter((path) => SOURCE.test(path));
}
