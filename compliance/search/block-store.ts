import type pg from 'pg';
import type { AuditEntry } from '#schema/audit-event.ts';
import { BLOCK_SIZE, blockWords } from '#schema/search-block.ts';
import { entryWords } from '#schema/search-words.ts';

/** A block of a log that is to be indexed: the entries from `first` to before `end`. */
export interface DueBlock {
  readonly tenantId: string;
  readonly epoch: number;
  readonly block: number;
  readonly first: number;
  readonly end: number;
}

/** A block with the words of its entries. */
export interface IndexedBlock extends DueBlock {
  readonly minTs: Date;
  readonly maxTs: Date;
  readonly parts: readonly { readonly part: number; readonly postings: Buffer }[];
}

interface EntryRow {
  readonly seq: string;
  readonly entry: string;
  readonly ts: Date;
}

/**
 * Reads a block's entries and returns their words, or null where an entry is missing: such a log has been damaged, and
 * its entries are still found one by one.
 */
export async function indexBlock(client: pg.Pool | pg.ClientBase, due: DueBlock): Promise<IndexedBlock | null> {
  const { rows } = await client.query<EntryRow>(
    `select seq, entry, ts from log_entries
      where tenant_id = $1 and epoch = $2 and seq >= $3 and seq < $4 order by seq limit ${BLOCK_SIZE}`,
    [due.tenantId, due.epoch, due.first, due.end],
  );
  const [first] = rows;
  if (first === undefined || rows.length !== due.end - due.first) return null;
  const words = blockWords();
  let [minTs, maxTs] = [first.ts, first.ts];
  for (const { seq, entry, ts } of rows) {
    // The sequencer has proved what stands in the log; proving it again would cost twice as much as all the rest.
    words.add(Number(seq) - due.block * BLOCK_SIZE, entryWords(JSON.parse(entry) as AuditEntry));
    if (ts < minTs) minTs = ts;
    if (ts > maxTs) maxTs = ts;
  }
  return { ...due, minTs, maxTs, parts: words.parts() };
}

/** Stores blocks in one statement, so that each is there with all its words or not at all; those known stay as they are. */
export async function storeBlocks(client: pg.Pool | pg.ClientBase, blocks: readonly IndexedBlock[]): Promise<void> {
  if (blocks.length === 0) return;
  const rows = blocks.flatMap(({ parts, ...block }) => parts.map((part) => ({ ...part, ...block })));
  await client.query(
    `with added as (
       insert into log_search_blocks (tenant_id, epoch, block, first_seq, last_seq, min_ts, max_ts)
       select tenant_id, epoch, block, first_seq, end_seq - 1, min_ts, max_ts
         from unnest($1::uuid[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])
           as b (tenant_id, epoch, block, first_seq, end_seq, min_ts, max_ts)
       on conflict do nothing returning tenant_id, epoch, block
     )
     insert into log_search_words (tenant_id, part, epoch, block, postings)
     select tenant_id, part, epoch, block, decode(postings, 'hex')
       from unnest($8::uuid[], $9::smallint[], $10::integer[], $11::integer[], $12::text[])
         as w (tenant_id, part, epoch, block, postings)
       join added using (tenant_id, epoch, block)`,
    [
      blocks.map(({ tenantId }) => tenantId),
      blocks.map(({ epoch }) => epoch),
      blocks.map(({ block }) => block),
      blocks.map(({ first }) => first),
      blocks.map(({ end }) => end),
      blocks.map(({ minTs }) => minTs),
      blocks.map(({ maxTs }) => maxTs),
      rows.map(({ tenantId }) => tenantId),
      rows.map(({ part }) => part),
      rows.map(({ epoch }) => epoch),
      rows.map(({ block }) => block),
      rows.map(({ postings }) => postings.toString('hex')),
    ],
  );
}
