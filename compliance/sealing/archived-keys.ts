import { hash } from 'node:crypto';
import type { Archive } from '../archive/archive.ts';
import { manifestKey, segmentKey, type LogName } from '../manifest.ts';
import { unpackSegment } from '../segment.ts';
import type { SegmentRow } from '../segment-store.ts';

/** Where in a log the archive is asked. */
export interface Place {
  readonly log: LogName;
  /** Of a segment. */
  readonly number: number;
}

/** What stands under a number. */
export interface Standing {
  readonly hasSegment: boolean;
  readonly hasManifest: boolean;
}

/** Returns what the archive holds under the number; no number is taken before the one below it has its manifest. */
export async function standingAt(archive: Archive, { log, number }: Place): Promise<Standing> {
  const [segment, manifest] = await Promise.all([
    archive.head(segmentKey(log, number)),
    archive.head(manifestKey(log, number)),
  ]);
  return { hasSegment: segment !== null, hasManifest: manifest !== null };
}

/** Tells whether the archive holds anything of an epoch. */
export async function hasEpoch(archive: Archive, log: LogName): Promise<boolean> {
  return hasObject(archive, `v1/${log.region}/${log.tenant}/${log.epoch}/`);
}

/**
 * Tells whether the archive holds anything that belongs behind a number under which it holds nothing: a later epoch or,
 * before the very first segment of a tenant, anything of any log of hers.
 */
export async function hasElsewhere(archive: Archive, { log, number }: Place): Promise<boolean> {
  if (number > 0 || log.epoch > 1) return hasEpoch(archive, { ...log, epoch: log.epoch + 1 });
  return hasObject(archive, `v1/${log.region}/${log.tenant}/`);
}

/**
 * Tells whether the archive holds more of a log from a number on than the database, whose row of that segment is `open`
 * where there is one: an object that the row does not know, or another one than it knows.
 */
export async function isAhead(archive: Archive, { log, number }: Place, open: SegmentRow | null): Promise<boolean> {
  const { hasSegment, hasManifest } = await standingAt(archive, { log, number });
  if (!hasSegment && !hasManifest) return hasElsewhere(archive, { log, number });
  const known = open?.archived ?? null;
  if (open === null || (hasManifest && known === null)) return true;
  if (hasSegment && known === null && !(await isSegmentOf(archive, open))) return true;
  if (!hasManifest || known === null) return hasEpoch(archive, { ...log, epoch: log.epoch + 1 });
  const standing = await archive.get(manifestKey(log, number));
  // Behind a manifest that stands there another segment may stand, of which this database knows nothing.
  return standing.toString() !== known.manifest || isAhead(archive, { log, number: number + 1 }, null);
}

async function isSegmentOf(archive: Archive, { segmentKey: key, sha256 }: SegmentRow): Promise<boolean> {
  const bytes = await unpackSegment(await archive.get(key)).catch(() => null);
  return bytes !== null && hash('sha256', bytes, 'hex') === sha256;
}

/** Objects beside the segments and manifests of logs are none of theirs. */
const OF_A_LOG = /^v1\/[^/]+\/[^/]+\/\d+\/(?:seg|man)\//;

async function hasObject(archive: Archive, prefix: string): Promise<boolean> {
  for await (const key of archive.list(prefix)) if (OF_A_LOG.test(key)) return true;
  return false;
}
