import type { Archive } from '../archive/archive.ts';
import { keyPrefix, type LogName } from '../manifest.ts';

/** Returns the keys of what the archive holds under a segment's number, manifests or segments. */
export async function keysOf(
  archive: Archive,
  { log, kind, number }: { log: LogName; kind: 'seg' | 'man'; number: number },
): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of archive.list(keyPrefix(log, kind, number))) keys.push(key);
  return keys;
}

/** Tells whether the archive holds anything of an epoch. */
export async function hasEpoch(archive: Archive, log: LogName): Promise<boolean> {
  return (await firstOf(archive, `v1/${log.region}/${log.tenant}/${log.epoch}/`)) !== null;
}

/**
 * Returns what the archive holds of a log from the segment `number` on: the keys under this number, and whether there is
 * a later epoch. Numbers have no gap, so no higher one has to be asked for; before the very first segment of a tenant
 * nothing of any log of hers may stand there, whatever number it has.
 */
export async function standingFrom(
  archive: Archive,
  { log, number }: { log: LogName; number: number },
): Promise<{ keys: string[]; hasLater: boolean }> {
  const keys = [
    ...(await keysOf(archive, { log, kind: 'man', number })),
    ...(await keysOf(archive, { log, kind: 'seg', number })),
  ];
  if (number > 0 || log.epoch > 1) return { keys, hasLater: await hasEpoch(archive, { ...log, epoch: log.epoch + 1 }) };
  const first = keys[0] ?? (await firstOf(archive, `v1/${log.region}/${log.tenant}/`));
  return { keys: keys.length > 0 || first === null ? keys : [first], hasLater: false };
}

/** Tells whether the archive holds more of a log from a number on than the keys that the database knows. */
export async function isAhead(
  archive: Archive,
  { log, number, known }: { log: LogName; number: number; known: readonly string[] },
): Promise<boolean> {
  const { keys, hasLater } = await standingFrom(archive, { log, number });
  return hasLater || keys.some((key) => !known.includes(key));
}

/** Objects beside the segments and manifests of logs are none of theirs. */
const OF_A_LOG = /^v1\/[^/]+\/[^/]+\/\d+\/(?:seg|man)\//;

async function firstOf(archive: Archive, prefix: string): Promise<string | null> {
  for await (const key of archive.list(prefix)) if (OF_A_LOG.test(key)) return key;
  return null;
}
