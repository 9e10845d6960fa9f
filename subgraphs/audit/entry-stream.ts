import { inTenantAudit } from '#kit/database.ts';
import { proofsFor, readSealedHead, type LeafProof, type SealedHead } from '#kit/log-proofs.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { EntryPlace, EntryRow, LogHead, Reader } from './entries.ts';
import { withSealed } from './personal-search.ts';
import { searchEntries, type EntrySearch, type FoundEntries } from './search.ts';
import type { EntryQuery } from './search-terms.ts';

/** An entry with its proof; null where nothing that was signed when the stream began covers it. */
export interface ProvenEntry {
  readonly row: EntryRow;
  readonly proof: LeafProof | null;
}

/**
 * Entries read in one transaction; the next are read when the caller has taken these. So few that a page keeps nobody else
 * waiting, and as many as share the nodes of their proofs.
 */
const PAGE_SIZE = 64;

/**
 * Yields the entries that a query finds, oldest first and through all epochs, up to where the log ended at `head`. No
 * transaction is open while the caller has the turn.
 */
export async function* streamEntries(ctx: RequestContext, head: LogHead, query: EntryQuery): AsyncGenerator<EntryRow> {
  for await (const rows of pagesOf(ctx, { head, query, read: async (_, found) => found })) yield* rows;
}

/**
 * Yields the same entries in pages with their proofs, all of an epoch against one checkpoint: the newest when the stream
 * came to the epoch.
 */
export async function* streamProven(
  ctx: RequestContext,
  head: LogHead,
  query: EntryQuery,
): AsyncGenerator<readonly ProvenEntry[]> {
  const heads = new Map<number, SealedHead | null>();
  const read = async (tx: Reader, rows: readonly EntryRow[]): Promise<ProvenEntry[]> => {
    for (const { epoch } of rows) if (!heads.has(epoch)) heads.set(epoch, await readSealedHead(tx, epoch));
    const proofs = await proofsFor(tx, rows, heads);
    return rows.map((row, index) => ({ row, proof: proofs[index] ?? null }));
  };
  yield* pagesOf(ctx, { head, query, read });
}

async function* pagesOf<T>(
  ctx: RequestContext,
  {
    head,
    query,
    read,
  }: { head: LogHead; query: EntryQuery; read: (tx: Reader, rows: readonly EntryRow[]) => Promise<T> },
): AsyncGenerator<T> {
  const until: EntryPlace = { epoch: head.epoch, seq: head.size };
  let behind: EntryPlace | null = null;
  do {
    const search: EntrySearch = { query, order: 'asc', behind, until, limit: PAGE_SIZE };
    const found = await inTenantAudit(ctx, (tx) => searchEntries(tx, search));
    const { rows, stoppedAt }: FoundEntries = await withSealed(ctx, found, search);
    yield await inTenantAudit(ctx, (tx) => read(tx, rows));
    behind = stoppedAt ?? (rows.length < PAGE_SIZE ? null : (rows.at(-1) ?? null));
  } while (behind !== null);
}
