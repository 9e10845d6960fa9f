import { inTenantAudit } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { readOldestFirst, type EntryRow, type LogHead, type Term } from './entries.ts';

/** Entries read in one transaction; the next are read when the caller has taken these. */
const PAGE_SIZE = 500;
/** Entries looked at by one statement, so that it ends in time however few of them fit. */
const STRIDE = 50_000;

/**
 * Yields the entries that fit every term, oldest first and through all epochs, up to where the log ended at `head`. No
 * transaction is open while the caller has the turn.
 */
export async function* streamEntries(
  ctx: RequestContext,
  head: LogHead,
  terms: readonly Term[],
): AsyncGenerator<EntryRow> {
  for (let epoch = 1; epoch <= head.epoch; epoch++) {
    const end = epoch === head.epoch ? head.size : await sizeOf(ctx, epoch);
    let from = 0;
    while (from < end) {
      const range = { epoch, from, end: Math.min(from + STRIDE, end), terms, limit: PAGE_SIZE };
      const page = await inTenantAudit(ctx, (tx) => readOldestFirst(tx, range));
      yield* page;
      from = page.length < PAGE_SIZE ? range.end : (page.at(-1)?.seq ?? range.end) + 1;
    }
  }
}

/** An earlier epoch has no head any more, and grows no more either. */
async function sizeOf(ctx: RequestContext, epoch: number): Promise<number> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<{ size: string | null }>('select max(seq) + 1 as size from log_entries where epoch = $1', [epoch]),
  );
  return Number(row?.size ?? 0);
}
