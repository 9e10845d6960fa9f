import { basename } from 'node:path';
import { TenonError } from '#schema/errors.ts';
import type { Archive } from '../archive/archive.ts';
import type { MoveEnd } from './end.ts';

/** The archive that a log comes from and the one that it goes to. */
export interface ArchivePath {
  readonly source: Archive;
  readonly target: Archive;
  /** The audit database of the source, which knows the objects. */
  readonly audit: MoveEnd;
  readonly fromRegion: string;
  readonly toRegion: string;
}

interface KnownObject {
  readonly key: string;
  readonly retain_until: Date;
  readonly is_held: boolean;
}

/** What the archive left behind still holds, which nobody may remove before. */
export interface LeftObjects {
  readonly objects: number;
  /** RFC 3339. */
  readonly lockedUntil: string | null;
}

/**
 * Returns the function that brings over, each time it is called, what the archive holds of the log by now and has not
 * been brought over by this function: under the same keys, kept for as long and held as it is. Statements of erasures
 * lie under the new region too, where they are looked for. What stands there already is left as it is.
 */
export function newArchiveCopy(path: ArchivePath): () => Promise<number> {
  const known = new Set<string>();
  return async () => {
    const objects = (await readObjects(path.audit)).filter(({ key }) => !known.has(key));
    for (const object of objects) {
      await copyObject(path, object);
      known.add(object.key);
    }
    return objects.length;
  };
}

/** Returns how much of the log stays in the archive that it leaves, and for how long. */
export async function leftObjects(audit: MoveEnd): Promise<LeftObjects> {
  const [row] = await audit.inContext((tx) =>
    tx.query<{ objects: number; until: Date | null }>(
      'select count(*)::integer as objects, max(retain_until) as until from app.archive_objects where removed_at is null',
    ),
  );
  return { objects: row?.objects ?? 0, lockedUntil: row?.until?.toISOString() ?? null };
}

/**
 * Objects under way stand in the table of segments before they are known as kept. A segment that nobody has signed stays
 * behind: in the new archive it would have the number at which the epoch ends there.
 */
function readObjects(audit: MoveEnd): Promise<KnownObject[]> {
  return audit.inContext((tx) =>
    tx.query<KnownObject>(
      `select key, retain_until, is_held from app.archive_objects where removed_at is null
       union all
       select key, retain_until, false from app.segments, unnest(array[segment_key, manifest_key]) as key
        where state not in ('planned', 'sealed')`,
    ),
  );
}

async function copyObject({ source, target, fromRegion, toRegion }: ArchivePath, object: KnownObject): Promise<void> {
  const bytes = await source.get(object.key).catch((error: unknown) => {
    // What is planned may not have been put yet; what is missing from the archive has an alarm of its own.
    if (error instanceof TenonError && error.code === 'NOT_FOUND') return null;
    throw error;
  });
  if (bytes === null) return;
  const keys = [object.key];
  if (object.key.startsWith(`v1/${fromRegion}/erasures/`)) keys.push(`v1/${toRegion}/erasures/${basename(object.key)}`);
  for (const key of keys) {
    await target.put(key, bytes, { retainUntil: object.retain_until });
    if (object.is_held) await target.setLegalHold(key, true);
  }
}
