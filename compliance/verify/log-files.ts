import { isId, type Id } from '#schema/ids.ts';
import type { FileSource } from './file-source.ts';

/** Where one log lies in an archive. */
export interface LogPlace {
  /** The folder of the source that holds `v1`, with a slash at its end; empty for the root. */
  readonly root: string;
  readonly region: string;
  readonly tenant: Id<'tnt'>;
  readonly epoch: number;
}

/** The files of a log, by the number in their names. */
export interface LogFiles {
  readonly manifests: ReadonlyMap<number, string>;
  readonly segments: ReadonlyMap<number, string>;
  /** Files that have no name of the format. */
  readonly strangers: readonly string[];
}

const REGION = /^[a-z0-9.-]{1,100}$/;
const EPOCH = /^(?:0|[1-9][0-9]{0,8})$/;
const MANIFEST = /^man\/([0-9]{9})\.json$/;
const SEGMENT = /^seg\/([0-9]{9})\.jsonl\.gz$/;
/** `archive/<cell>/v1`: how deep the folder of a whole platform has its archives. */
const MAX_DEPTH = 3;

/** Beside the tenants of a region: its platform log, and the statements of key rotations. */
const NO_TENANTS: ReadonlySet<string> = new Set(['platform', 'keys']);
const STATEMENT = /^keys\/[0-9]{9}-[0-9a-f]{16}\.note$/;

/** Returns the paths of all statements of key rotations below a folder of a source. */
export async function findStatements(source: FileSource): Promise<string[]> {
  const found: string[] = [];
  for (const root of await findRoots(source, '', MAX_DEPTH)) {
    for (const region of await source.folders(`${root}v1`)) {
      const folder = `${root}v1/${region}`;
      const paths = await source.list(`${folder}/keys`);
      found.push(...paths.filter((path) => STATEMENT.test(path.slice(folder.length + 1))));
    }
  }
  return found;
}

/** Returns where platform logs lie below a folder of a source. */
export async function findPlatforms(source: FileSource): Promise<{ root: string; region: string }[]> {
  const found: { root: string; region: string }[] = [];
  for (const root of await findRoots(source, '', MAX_DEPTH)) {
    for (const region of await source.folders(`${root}v1`)) {
      if ((await source.folders(`${root}v1/${region}`)).includes('platform')) found.push({ root, region });
    }
  }
  return found;
}

/** Returns the logs below a folder of a source, in the order of their paths, and the folders that are none of a log. */
export async function findLogs(source: FileSource): Promise<{ logs: LogPlace[]; strangers: string[] }> {
  const logs: LogPlace[] = [];
  const strangers: string[] = [];
  for (const root of await findRoots(source, '', MAX_DEPTH)) {
    for (const region of await source.folders(`${root}v1`)) {
      for (const tenant of await source.folders(`${root}v1/${region}`)) {
        if (NO_TENANTS.has(tenant)) continue;
        for (const epoch of await source.folders(`${root}v1/${region}/${tenant}`)) {
          if (REGION.test(region) && isId('tnt', tenant) && EPOCH.test(epoch)) {
            logs.push({ root, region, tenant, epoch: Number(epoch) });
          } else strangers.push(`${root}v1/${region}/${tenant}/${epoch}`);
        }
      }
    }
  }
  return { logs, strangers };
}

/** Returns the folder of a log, relative to its source. */
export function folderOf({ root, region, tenant, epoch }: LogPlace): string {
  return `${root}v1/${region}/${tenant}/${epoch}`;
}

/** Returns the files of a log. */
export async function listLog(source: FileSource, log: LogPlace): Promise<LogFiles> {
  const files = {
    manifests: new Map<number, string>(),
    segments: new Map<number, string>(),
    strangers: [] as string[],
  };
  const folder = folderOf(log);
  for (const path of await source.list(folder)) {
    const name = path.slice(folder.length + 1);
    const manifest = MANIFEST.exec(name)?.[1];
    const segment = SEGMENT.exec(name)?.[1];
    if (manifest !== undefined) files.manifests.set(Number(manifest), path);
    else if (segment !== undefined) files.segments.set(Number(segment), path);
    else files.strangers.push(path);
  }
  return files;
}

async function findRoots(source: FileSource, folder: string, depth: number): Promise<string[]> {
  const prefix = folder === '' ? '' : `${folder}/`;
  const names = await source.folders(folder);
  if (names.includes('v1')) return [prefix];
  if (depth === 0) return [];
  const roots: string[] = [];
  for (const name of names) roots.push(...(await findRoots(source, prefix + name, depth - 1)));
  return roots;
}
