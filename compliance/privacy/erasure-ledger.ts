import type { Archive } from '../archive/archive.ts';
import { hash } from 'node:crypto';
import { verifyStatement } from '#schema/dsse.ts';
import { uuidOf, uuidOrNull } from '#schema/ids.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import { erasureOfStatement, type ErasurePredicate } from './erasure-statement.ts';
import type { ToldErasure } from './index-tokens.ts';

/** The erasures as the archive keeps them: it forgets none when a database is restored from before. */
export interface ErasureLedger {
  /** Stores a signed statement, and says as what; again with the same bytes does no harm. */
  keep(erasure: ErasurePredicate, statement: Buffer, retainUntil: Date): Promise<LedgerObject>;
  /** Yields the statements that the archive holds and that a known key has signed, but for those already passed over. */
  kept(): AsyncGenerator<KeptErasure>;
}

/** The object that a statement lies in. */
export interface LedgerObject {
  readonly key: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** A statement out of the archive. */
export interface KeptErasure {
  readonly erasure: ErasurePredicate;
  readonly statement: string;
  readonly object: LedgerObject;
}

/** Where the ledger lies, and whose signatures count in it. */
export interface LedgerOptions {
  readonly archive: Archive;
  readonly region: string;
  readonly keys: readonly NoteVerifier[];
}

/** Returns the ledger of a cell. It remembers which files it has read, so that each is fetched once a process. */
export function openLedger({ archive, region, keys }: LedgerOptions): ErasureLedger {
  const prefix = `v1/${region}/erasures/`;
  const seen = new Set<string>();
  return {
    keep: async ({ event }, statement, retainUntil) => {
      const key = `${prefix}${event}-${hash('sha256', statement, 'hex').slice(0, 16)}.json`;
      await archive.put(key, statement, { retainUntil });
      return objectOf(key, statement);
    },
    kept: async function* () {
      for await (const key of archive.list(prefix)) {
        if (seen.has(key)) continue;
        const bytes = await archive.get(key);
        const kept = readKept(bytes, keys);
        seen.add(key);
        if (kept !== null) yield { ...kept, object: objectOf(key, bytes) };
      }
    },
  };
}

/** Returns the erasure of a statement in the shape in which the log tells of one. */
export function toldOf(erasure: ErasurePredicate): ToldErasure {
  return {
    tenantId: uuidOf('tnt', erasure.tenant),
    eventId: uuidOf('aud', erasure.event),
    subjectId: erasure.person === null ? null : uuidOrNull('usr', erasure.person),
    epoch: erasure.log.epoch,
    seq: erasure.log.seq,
    leaf: Buffer.from(erasure.log.leaf, 'hex'),
    keyId: erasure.key_id,
    basis: erasure.basis,
    request: erasure.request,
    requestedAt: erasure.key_destroyed_at,
  };
}

function objectOf(key: string, bytes: Buffer): LedgerObject {
  return { key, sizeBytes: bytes.length, sha256: hash('sha256', bytes, 'hex') };
}

/** What nobody known has signed erases nobody. */
function readKept(bytes: Buffer, keys: readonly NoteVerifier[]): Omit<KeptErasure, 'object'> | null {
  try {
    const text = bytes.toString('utf8');
    const erasure = erasureOfStatement(verifyStatement(JSON.parse(text), keys).statement);
    return erasure === null ? null : { erasure, statement: text };
  } catch {
    return null;
  }
}
