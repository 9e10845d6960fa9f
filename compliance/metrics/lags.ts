import type pg from 'pg';
import type { Statements } from '#kit/cell-stores.ts';
import { BLOCK_SIZE } from '#schema/search-block.ts';
import type { TurnResult } from '../turn-loop.ts';

/** How far what follows the logs of a cell is behind them. */
export interface Lags {
  /** Entries in whole blocks that the search index does not hold. */
  searchEntries: number;
  /** Entries that wait for the stream that is furthest behind; those that are paused wait for nobody. */
  streamEntries: number;
  failingStreams: number;
}

/** Returns lags of nothing. */
export function newLags(): Lags {
  return { searchEntries: 0, streamEntries: 0, failingStreams: 0 };
}

const INTERVAL_MS = 15_000;

/** Returns the turn that measures the lags of a cell four times a minute, into an object that is updated in place. */
export function createLagTurn(stores: { tenants: Statements; audit: pg.Pool }, lags: Lags): () => Promise<TurnResult> {
  let doneMs = -Infinity;
  return async () => {
    if (performance.now() - doneMs < INTERVAL_MS) return 'idle';
    doneMs = performance.now();
    Object.assign(lags, await readLags(stores));
    return 'idle';
  };
}

/** Reads how far search index and streams of a cell are behind its logs. */
export async function readLags({ tenants, audit }: { tenants: Statements; audit: pg.Pool }): Promise<Lags> {
  const search = await audit.query<{ waiting: string }>(
    `select coalesce(sum(h.size / $1 * $1 - coalesce(b.next, 0)) filter (where h.size / $1 * $1 > coalesce(b.next, 0)), 0) as waiting
       from log_heads h left join lateral (
         select last_seq + 1 as next from log_search_blocks s
          where s.tenant_id = h.tenant_id and s.epoch = h.epoch order by block desc limit 1) b on true
      where h.size >= $1`,
    [BLOCK_SIZE],
  );
  const streams = await tenants.query<{ tenant_id: string; epoch: number; next_seq: string; failing: boolean }>(
    `select tenant_id, epoch, next_seq, failures > 0 as failing from audit_streams where state <> 'paused'`,
  );
  // Of an epoch that another one follows at least the whole new one waits.
  const waiting = await audit.query<{ most: string }>(
    `select coalesce(max(case when h.epoch > s.epoch then h.size else h.size - s.next_seq end), 0) as most
       from unnest($1::uuid[], $2::integer[], $3::bigint[]) as s (tenant_id, epoch, next_seq)
       join log_heads h on h.tenant_id = s.tenant_id`,
    [
      streams.rows.map(({ tenant_id: tenantId }) => tenantId),
      streams.rows.map(({ epoch }) => epoch),
      streams.rows.map(({ next_seq: next }) => next),
    ],
  );
  return {
    searchEntries: Number(search.rows[0]?.waiting ?? 0),
    streamEntries: Math.max(0, Number(waiting.rows[0]?.most ?? 0)),
    failingStreams: streams.rows.filter(({ failing }) => failing).length,
  };
}
