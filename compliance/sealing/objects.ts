import { fail, TenonError } from '#schema/errors.ts';
import type { Archive } from '../archive/archive.ts';
import { packSegment, unpackSegment } from '../segment.ts';
import type { SegmentRow } from '../segment-store.ts';

/** Puts a segment under its number, as `putPacked` does. */
export async function putSegment(
  archive: Archive,
  { segmentKey: key, retainUntil }: Pick<SegmentRow, 'segmentKey' | 'retainUntil'>,
  bytes: Buffer,
): Promise<Buffer | null> {
  return putPacked(archive, { key, bytes, retainUntil }, { pack: packSegment, unpack: unpackSegment });
}

/** How bytes are compressed for the archive and read back. */
interface Packing {
  readonly pack: (bytes: Buffer) => Promise<Buffer>;
  readonly unpack: (packed: Buffer) => Promise<Buffer>;
}

/**
 * Puts bytes under a name and returns the compressed bytes that stand in the archive; null where something else stands
 * there, put by whoever was first. What has been returned once is what everybody finds there from then on.
 */
export async function putPacked(
  archive: Archive,
  { key, bytes, retainUntil }: { key: string; bytes: Buffer; retainUntil: Date },
  { pack, unpack }: Packing,
): Promise<Buffer | null> {
  const packed = await pack(bytes);
  if (await putFirst(archive, { key, bytes: packed, retainUntil })) return packed;
  // A worker with another zlib may have put the same in other bytes before it was ended.
  const standing = await archive.get(key);
  const unpacked = await unpack(standing).catch(() => null);
  if (unpacked === null || !unpacked.equals(bytes)) return null;
  await archive.put(key, standing, { retainUntil });
  return standing;
}

/** Puts an object; false where another one stands under its name. */
export async function putFirst(
  archive: Archive,
  { key, bytes, retainUntil }: { key: string; bytes: Buffer; retainUntil: Date },
): Promise<boolean> {
  try {
    await archive.put(key, bytes, { retainUntil });
    return true;
  } catch (error) {
    if (error instanceof TenonError && error.code === 'RETENTION_LOCKED') return false;
    throw error;
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
