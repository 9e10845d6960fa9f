import type pg from 'pg';
import type { AuditEntry } from '#schema/audit-event.ts';
import {
  BLOCK_SIZE,
  blockWords,
  mergeParts,
  PART_COUNT,
  RUN_SIZE,
  SPAN_BLOCKS,
  type WordPart,
} from '#schema/search-block.ts';
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
  /** Of each run of its entries. */
  readonly times: readonly TimeRange[];
  readonly parts: readonly WordPart[];
}

interface TimeRange {
  readonly min: Date;
  readonly max: Date;
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
  if (rows.length !== due.end - due.first) return null;
  const words = blockWords();
  for (const { seq, entry } of rows) {
    // The sequencer has proved what stands in the log; proving it again would cost twice as much as all the rest.
    words.add(Number(seq) - due.block * BLOCK_SIZE, entryWords(JSON.parse(entry) as AuditEntry));
  }
  return { ...due, times: timesOf(rows), parts: words.parts() };
}

function timesOf(rows: readonly EntryRow[]): TimeRange[] {
  const times: TimeRange[] = [];
  for (let at = 0; at < rows.length; at += RUN_SIZE) {
    const run = rows.slice(at, at + RUN_SIZE).map(({ ts }) => ts.getTime());
    times.push({ min: new Date(Math.min(...run)), max: new Date(Math.max(...run)) });
  }
  return times;
}

/** Stores blocks in one statement, so that each is there with all its words or not at all; those known stay as they are. */
export async function storeBlocks(client: pg.Pool | pg.ClientBase, blocks: readonly IndexedBlock[]): Promise<void> {
  if (blocks.length === 0) return;
  const rows = blocks.flatMap(({ parts, ...block }) => parts.map((part) => ({ ...part, ...block })));
  await client.query(
    `with added as (
       insert into log_search_blocks
         (tenant_id, level, epoch, block, first_seq, last_seq, min_ts, max_ts, run_min_ts, run_max_ts)
       select tenant_id, 0, epoch, block, first_seq, end_seq - 1,
              (select min(ts) from unnest(mins) ts), (select max(ts) from unnest(maxs) ts), mins, maxs
         from unnest($1::uuid[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])
           as b (tenant_id, epoch, block, first_seq, end_seq, min_texts, max_texts),
           lateral (select min_texts::timestamptz[], max_texts::timestamptz[]) as t (mins, maxs)
       on conflict do nothing returning tenant_id, epoch, block
     )
     insert into log_search_words (tenant_id, level, part, epoch, block, postings)
     select tenant_id, 0, part, epoch, block, decode(postings, 'hex')
       from unnest($8::uuid[], $9::smallint[], $10::integer[], $11::integer[], $12::text[])
         as w (tenant_id, part, epoch, block, postings)
       join added using (tenant_id, epoch, block)`,
    [
      blocks.map(({ tenantId }) => tenantId),
      blocks.map(({ epoch }) => epoch),
      blocks.map(({ block }) => block),
      blocks.map(({ first }) => first),
      blocks.map(({ end }) => end),
      blocks.map(({ times }) => arrayText(times.map(({ min }) => min))),
      blocks.map(({ times }) => arrayText(times.map(({ max }) => max))),
      rows.map(({ tenantId }) => tenantId),
      rows.map(({ part }) => part),
      rows.map(({ epoch }) => epoch),
      rows.map(({ block }) => block),
      rows.map(({ postings }) => postings.toString('hex')),
    ],
  );
}

/** Arrays of several lengths cannot be parameters of one statement but as texts. */
function arrayText(times: readonly Date[]): string {
  return `{${times.map((time) => time.toISOString()).join()}}`;
}

/** A span of a log whose blocks are all there. */
export interface DueSpan {
  readonly tenantId: string;
  readonly epoch: number;
  readonly span: number;
}

/** Returns a span whose blocks are all indexed and not merged yet, or null where there is none. */
export async function findDueSpan(client: pg.Pool | pg.ClientBase): Promise<DueSpan | null> {
  const { rows } = await client.query<{ tenant_id: string; epoch: number; span: number }>(
    `select tenant_id, epoch, block / ${SPAN_BLOCKS} as span from log_search_blocks b
      where level = 0 and block % 64 = 63 and not exists (
        select from log_search_blocks s
         where s.tenant_id = b.tenant_id and s.level = 1 and s.epoch = b.epoch and s.block = b.block / ${SPAN_BLOCKS})
      order by tenant_id, epoch, block limit 1`,
  );
  const [row] = rows;
  return row === undefined ? null : { tenantId: row.tenant_id, epoch: row.epoch, span: row.span };
}

/** Stores the words of a span by those of its blocks, in the caller's transaction. */
export async function mergeSpan(client: pg.ClientBase, { tenantId, epoch, span }: DueSpan): Promise<void> {
  const log = [tenantId, epoch, span];
  const [first, end] = [span * SPAN_BLOCKS, (span + 1) * SPAN_BLOCKS];
  for (let part = 0; part < PART_COUNT; part++) {
    const { rows } = await client.query<{ block: number; postings: Buffer }>(
      `select block, postings from log_search_words
        where tenant_id = $1 and level = 0 and part = $2 and epoch = $3 and block >= $4 and block < $5 limit ${SPAN_BLOCKS}`,
      [tenantId, part, epoch, first, end],
    );
    const parts = mergeParts(part, new Map(rows.map(({ block, postings }) => [block - first, postings])));
    await client.query(
      `insert into log_search_words (tenant_id, level, part, epoch, block, postings)
       select $1, 1, part, $2, $3, decode(postings, 'hex') from unnest($4::smallint[], $5::text[]) as w (part, postings)`,
      [...log, parts.map((each) => each.part), parts.map(({ postings }) => postings.toString('hex'))],
    );
  }
  await client.query(
    `insert into log_search_blocks (tenant_id, level, epoch, block, first_seq, last_seq, min_ts, max_ts)
     select tenant_id, 1, epoch, $3, min(first_seq), max(last_seq), min(min_ts), max(max_ts) from log_search_blocks
      where tenant_id = $1 and level = 0 and epoch = $2 and block >= $4 and block < $5 group by tenant_id, epoch`,
    [...log, first, end],
  );
}
