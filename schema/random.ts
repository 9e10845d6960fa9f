import { randomFillSync } from 'node:crypto';

/** Asking the system costs the same for sixteen bytes as for some thousand, and more than sealing a value with them. */
const POOL_BYTES = 4096;
const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

/**
 * Returns so many random bytes of the system's generator, at most 64, in memory of their own; none is given out twice.
 * For nonces and ids, which anybody may see: bytes that come next lie in memory for a while, so keys are made otherwise.
 */
export function randomNonce(sizeBytes: number): Buffer {
  if (used + sizeBytes > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const bytes = Buffer.from(pool.subarray(used, used + sizeBytes));
  pool.fill(0, used, used + sizeBytes);
  used += sizeBytes;
  return bytes;
}
