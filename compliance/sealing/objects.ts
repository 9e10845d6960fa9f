import { fail, TenonError } from '#schema/errors.ts';
import type { Archive } from '../archive/archive.ts';
import { packSegment, unpackSegment } from '../segment.ts';
import type { SegmentRow } from '../segment-store.ts';

/** Puts a segment and returns the compressed bytes that stand in the archive. */
export async function putSegment(
  archive: Archive,
  { segmentKey: key, retainUntil }: SegmentRow,
  bytes: Buffer,
): Promise<Buffer> {
  const packed = await packSegment(bytes);
  try {
    await archive.put(key, packed, { retainUntil });
    return packed;
  } catch (error) {
    if (!(error instanceof TenonError) || error.code !== 'RETENTION_LOCKED') throw error;
    // A worker with another zlib may have put the same segment in other bytes before it was ended.
    const standing = await archive.get(key);
    const unpacked = await unpackSegment(standing).catch(() => null);
    if (unpacked === null || !unpacked.equals(bytes)) throw error;
    await archive.put(key, standing, { retainUntil });
    return standing;
  }
}

/** Looks at what stands in the archive before anybody relies on it: a server may take a lock and not keep it. */
export async function confirm(
  archive: Archive,
  { key, sizeBytes, retainUntil }: { key: string; sizeBytes: number; retainUntil: Date },
): Promise<void> {
  const object = await archive.head(key);
  if (object?.sizeBytes !== sizeBytes)
    return fail('SERVICE_UNAVAILABLE', `the archive does not hold ${key} as it was put`);
  if (object.retainUntil >= retainUntil) return;
  await archive.extendRetention(key, retainUntil);
  if ((await archive.retention(key)) < retainUntil)
    fail('SERVICE_UNAVAILABLE', `the archive does not keep ${key} for long enough`);
}
