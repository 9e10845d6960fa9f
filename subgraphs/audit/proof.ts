import { inTenantAudit } from '#kit/database.ts';
import { proofsFor, readSealedHead, type LeafProof, type SealedHead } from '#kit/log-proofs.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOrNull } from '#schema/ids.ts';
import { encodeProof } from '#schema/tlog-proof.ts';
import { entryOf, readByEvent, readHead, type EntryRow } from './entries.ts';
import type { InclusionProof } from './model.ts';

export { readHashes, readSealedHead, type SealedHead } from '#kit/log-proofs.ts';

/**
 * Returns the proofs of the tenant's events among the ids, in one transaction: against the newest checkpoint, or pending
 * where none covers the entry yet. It reads some hundred hashes a proof, never the log.
 */
export async function findProofs(ctx: RequestContext, eventIds: readonly string[]): Promise<InclusionProof[]> {
  const uuids = eventIds.map((id) => uuidOrNull('aud', id)).filter((uuid) => uuid !== null);
  return inTenantAudit(ctx, async (tx) => {
    const rows = await readByEvent(tx, uuids);
    const proofs = await proofsFor(tx, rows);
    return rows.map((row, index) => proofOfRow(row, proofs[index] ?? null));
  });
}

/** Returns the newest checkpoint of the tenant's newest log, or null before the first seal. */
export async function findCheckpoint(ctx: RequestContext): Promise<SealedHead | null> {
  return inTenantAudit(ctx, async (tx) => readSealedHead(tx, (await readHead(tx)).epoch));
}

/** Returns the file that shows offline that an entry is in the log (C2SP tlog-proof); the entry travels inside. */
export function proofFile(row: EntryRow, { head, hashes }: LeafProof): string {
  return encodeProof({ index: row.seq, hashes, checkpoint: head.note, extra: Buffer.from(row.entry) });
}

function proofOfRow(row: EntryRow, proof: LeafProof | null): InclusionProof {
  return {
    id: entryOf(row).event.id,
    status: proof === null ? 'pending' : 'sealed',
    index: row.seq,
    treeSize: proof?.head.size ?? null,
    hashes: (proof?.hashes ?? []).map((hash) => hash.toString('hex')),
    checkpoint: proof?.head.note ?? null,
    tlogProof: proof === null ? null : proofFile(row, proof),
  };
}
