import type pg from 'pg';
import { BLOCK_SIZE } from '#schema/search-block.ts';
import type { TurnResult } from '../turn-loop.ts';
import { findDueSpan, indexBlock, mergeSpan, storeBlocks, type DueBlock, type IndexedBlock } from './block-store.ts';

/** What indexing the logs of one cell needs. */
export interface SearchTurnOptions {
  /** Pool of `tenon_worker` over the audit database; a turn takes one connection. */
  readonly audit: pg.Pool;
  /** How long to wait until logs are looked at again when none had a block to index; 1 s by default. */
  readonly pauseMs?: number;
}

/** Blocks indexed in one turn: some 32,000 entries, read one block at a time. */
const BLOCKS_PER_TURN = 8;
const PAUSE_MS = 1_000;
/** "teno" in ASCII, as every lock of the worker, and a number of its own. */
const LOCK = '1952804463, 7';

/**
 * Returns the turn that indexes finished blocks of the logs of a cell for searching, and the last, unfinished block of an
 * epoch that another one follows; and merges the words of 64 blocks for searches that look far. It changes no log: ended at any point, and run by several workers, the next turn goes
 * on. A log that misses an entry is left alone by this worker from there on; what no block holds is searched entry by
 * entry. 'waiting' means that it was not looked whether there is work.
 */
export function createSearchTurn({ audit, pauseMs = PAUSE_MS }: SearchTurnOptions): () => Promise<TurnResult> {
  const progress: Progress = { next: new Map(), left: new Set() };
  let restsUntilMs = 0;
  return async () => {
    if (performance.now() < restsUntilMs) return 'waiting';
    const indexed = await inLock(audit, (client) => indexDue(client, progress)).catch((error: unknown) => {
      // What was not committed is to be asked for again.
      progress.next.clear();
      progress.left.clear();
      throw error;
    });
    if (indexed === null) return 'waiting';
    if (indexed > 0) return 'worked';
    restsUntilMs = performance.now() + pauseMs;
    return 'idle';
  };
}

/** What this worker remembers, so that it asks about few logs: all of it can be read again. */
interface Progress {
  /** Block that comes next, by log. */
  readonly next: Map<string, number>;
  /** Logs to leave alone: damaged, or of an earlier epoch and indexed to their end. */
  readonly left: Set<string>;
}

interface LogSize {
  readonly tenantId: string;
  readonly epoch: number;
  readonly size: number;
  /** An epoch that another one follows grows no more. */
  readonly closed: boolean;
}

async function indexDue(client: pg.PoolClient, progress: Progress): Promise<number> {
  const blocks: IndexedBlock[] = [];
  for (const log of await grownLogs(client, progress)) {
    if (blocks.length >= BLOCKS_PER_TURN) break;
    blocks.push(...(await indexLog(client, { log, progress, limit: BLOCKS_PER_TURN - blocks.length })));
  }
  await storeBlocks(client, blocks);
  return blocks.length + (await mergeDue(client));
}

async function mergeDue(client: pg.PoolClient): Promise<number> {
  const due = await findDueSpan(client);
  if (due === null) return 0;
  await mergeSpan(client, due);
  return 1;
}

async function indexLog(
  client: pg.PoolClient,
  { log, progress, limit }: { log: LogSize; progress: Progress; limit: number },
): Promise<IndexedBlock[]> {
  const name = nameOf(log);
  const blocks: IndexedBlock[] = [];
  const first = await nextBlock(client, log);
  const dueNow = () => dueBlock(log, first + blocks.length);
  for (let due = dueNow(); due !== null && blocks.length < limit; due = dueNow()) {
    const block = await indexBlock(client, due);
    if (block === null) {
      progress.left.add(name);
      return blocks;
    }
    blocks.push(block);
  }
  progress.next.set(name, first + blocks.length);
  if (log.closed && dueNow() === null) progress.left.add(name);
  return blocks;
}

/** The block, if it is whole or the last of its epoch. */
function dueBlock({ tenantId, epoch, size, closed }: LogSize, block: number): DueBlock | null {
  const first = block * BLOCK_SIZE;
  const end = Math.min(first + BLOCK_SIZE, size);
  return end > first && (closed || end - first === BLOCK_SIZE) ? { tenantId, epoch, block, first, end } : null;
}

/**
 * Returns the logs that, as far as this worker remembers, have grown a block, and epochs that have ended. The words of a
 * tenant who has ended are erased, and nobody looks for them.
 */
async function grownLogs(client: pg.PoolClient, { next, left }: Progress): Promise<LogSize[]> {
  const { rows } = await client.query<{ tenant_id: string; epoch: number; size: string }>(
    `select tenant_id, epoch, size from log_heads h where (size >= ${BLOCK_SIZE} or epoch > 1)
        and not exists (select from erasures e where e.tenant_id = h.tenant_id and e.subject_id is null)`,
  );
  const logs = rows.map((row): LogSize => ({
    tenantId: row.tenant_id,
    epoch: row.epoch,
    size: Number(row.size),
    closed: false,
  }));
  const grown = logs.filter((log) => log.size >= ((next.get(nameOf(log)) ?? 0) + 1) * BLOCK_SIZE);
  return [...grown, ...(await closedLogs(client, logs, left))].filter((log) => !left.has(nameOf(log)));
}

async function closedLogs(
  client: pg.PoolClient,
  logs: readonly LogSize[],
  left: ReadonlySet<string>,
): Promise<LogSize[]> {
  const closed = logs.flatMap(({ tenantId, epoch }) =>
    Array.from({ length: epoch - 1 }, (_, index): LogSize => ({ tenantId, epoch: index + 1, size: 0, closed: true })),
  );
  const open = closed.filter((log) => !left.has(nameOf(log)));
  if (open.length === 0) return [];
  const { rows } = await client.query<{ size: string }>(
    `select (select coalesce(max(seq) + 1, 0) from log_entries e where e.tenant_id = log.tenant_id and e.epoch = log.epoch) as size
       from unnest($1::uuid[], $2::integer[]) with ordinality as log (tenant_id, epoch, place) order by place`,
    [open.map(({ tenantId }) => tenantId), open.map(({ epoch }) => epoch)],
  );
  return open.map(({ tenantId, epoch }, index): LogSize => {
    return { tenantId, epoch, size: Number(rows[index]?.size ?? 0), closed: true };
  });
}

async function nextBlock(client: pg.PoolClient, { tenantId, epoch }: LogSize): Promise<number> {
  const { rows } = await client.query<{ next: number }>(
    `select block + 1 as next from log_search_blocks
      where tenant_id = $1 and level = 0 and epoch = $2 order by block desc limit 1`,
    [tenantId, epoch],
  );
  return rows[0]?.next ?? 0;
}

/** Runs the work in a transaction that no other worker runs at the same time: null where one does. */
async function inLock<T>(audit: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T | null> {
  const client = await audit.connect();
  let broken = true;
  try {
    await client.query('begin');
    const { rows } = await client.query<{ held: boolean }>(`select pg_try_advisory_xact_lock(${LOCK}) as held`);
    const result = rows[0]?.held === true ? await work(client) : null;
    await client.query('commit');
    broken = false;
    return result;
  } catch (error) {
    broken = await client.query('rollback').then(
      () => false,
      () => true,
    );
    throw error;
  } finally {
    client.release(broken);
  }
}

function nameOf({ tenantId, epoch }: Pick<LogSize, 'tenantId' | 'epoch'>): string {
  return `${tenantId} ${epoch}`;
}
