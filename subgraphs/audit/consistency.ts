import { inTenantAudit } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { consistencyNodes, consistencyProof } from '#schema/merkle.ts';
import { lookupIn, rangeOf } from '#schema/stored-tree.ts';
import { readHead, type Reader } from './entries.ts';
import { readHashes, readSealedHead } from './proof.ts';

/** Two sizes of a log of the tenant; what is left out is the newest. */
export interface ConsistencyQuestion {
  readonly from: number;
  /** By default the size of the newest checkpoint. */
  readonly to: number | null;
  /** Which of the tenant's logs. */
  readonly epoch: number | null;
}

/** The proof that the log of `to` entries begins with the log of `from` entries (RFC 6962 section 2.1.2). */
export interface ConsistencyAnswer {
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  readonly hashes: readonly Buffer[];
  /** The signed note over exactly `to` entries; null where none was signed. */
  readonly checkpoint: string | null;
}

/**
 * Returns the proof between two sizes up to the sealed one, in one transaction that reads some hundred hashes and never
 * the log. Sizes that no sealed log has had are BAD_USER_INPUT, an epoch that is none, or of which nothing is sealed,
 * NOT_FOUND.
 */
export async function findConsistency(ctx: RequestContext, question: ConsistencyQuestion): Promise<ConsistencyAnswer> {
  return inTenantAudit(ctx, async (tx) => {
    const newest = await readHead(tx);
    const epoch = question.epoch ?? newest.epoch;
    const sealed = await readSealedHead(tx, epoch);
    if (sealed === null) return fail('NOT_FOUND', 'nothing is sealed yet', { hint: 'Nothing is sealed yet.' });
    const { from } = question;
    const to = question.to ?? sealed.size;
    if (to > sealed.size) refuse(`"to" takes a size up to ${sealed.size}, where the sealed log ends.`);
    if (from > to) refuse(`"from" takes a size up to ${to}.`);
    const stored = await readHashes(tx, epoch, consistencyNodes(from, to).map(rangeOf));
    const hashes = consistencyProof(lookupIn(stored), from, to);
    return { epoch, from, to, hashes, checkpoint: await readCheckpointOf(tx, epoch, to) };
  });
}

/**
 * Returns a proof as a witness takes it (C2SP tlog-witness): the old size, one hash a line, a blank line, and the
 * checkpoint where there is one.
 */
export function consistencyText({ from, hashes, checkpoint }: ConsistencyAnswer): string {
  const lines = [`old ${from}`, ...hashes.map((hash) => hash.toString('base64'))];
  return `${lines.join('\n')}\n\n${checkpoint ?? ''}`;
}

async function readCheckpointOf(tx: Reader, epoch: number, size: number): Promise<string | null> {
  // Segments follow each other without a gap, so the last one that begins before the size is the only one to end there.
  const [row] = await tx.query<{ checkpoint: string; end: string }>(
    `select checkpoint, first_seq + count as end from segments
      where epoch = $1 and state = 'sealed' and first_seq < $2 order by number desc limit 1`,
    [epoch, size],
  );
  return row !== undefined && Number(row.end) === size ? row.checkpoint : null;
}

function refuse(hint: string): never {
  return fail('BAD_USER_INPUT', 'a size is refused', { hint });
}
