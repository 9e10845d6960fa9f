import type pg from 'pg';
import type { CellStores, Statements } from '#kit/cell-stores.ts';
import { log } from '#kit/log.ts';
import { asTenonError } from '#schema/errors.ts';
import { alone } from './alone.ts';
import { OUTBOX_COLUMNS, outboxRowOf, type SequencedRow, type StoredRow } from './outbox-reader.ts';
import { sequence } from './sequencer.ts';
import type { TurnResult } from './turn-loop.ts';

/** The databases of one cell, for `tenon_worker`. */
export interface KeptScope {
  readonly tenants: Statements;
  readonly audit: pg.Pool;
  readonly clock: () => Date;
  /** The stores of the cell beside its pool. */
  readonly stores?: CellStores | undefined;
}

/** So often what was sealed since is let go, and so many times until all is looked at. */
const INTERVAL_MS = 2_000;
const ROUNDS = 15;
/** Stores beside the pool are opened for nothing but what was sealed, and looked at as a whole only so often. */
const STORE_ROUNDS = 20 * ROUNDS;
/** Rows in memory at a time. */
const PAGE = 2_000;
/** The place of an event while nobody knows it; epochs begin at 1. */
const NOWHERE = 0;

/**
 * Returns the function that lets go, each time it is called and some seconds have passed, of the events of
 * `sequenced_events` that the archive holds. Those of a log that is being brought back stay, for they may be moving.
 */
export function createReleaseTurn(scope: KeptScope): () => Promise<TurnResult> {
  let dueMs = -Infinity;
  let round = 0;
  let released = new Map<string, string>();
  return async () => {
    if (performance.now() < dueMs) return 'idle';
    dueMs = performance.now() + INTERVAL_MS;
    const isWhole = round % ROUNDS === 0;
    await alone(scope.audit, 'release', async () => {
      const heads = await settledHeads(scope.audit);
      const moved = heads.filter((head) => released.get(head.tenantId) !== sizeOf(head));
      if (isWhole) await placeAgain(scope, heads);
      await release(scope.tenants, isWhole ? heads : moved);
      await releaseInStores(scope, { heads, moved, isWhole: round % STORE_ROUNDS === 0 });
      released = new Map(heads.map((head) => [head.tenantId, sizeOf(head)]));
      round += 1;
    });
    return 'idle';
  };
}

/**
 * Gives the logs every kept event that does not stand where it was, in the order of writing, and returns how many entries
 * were added: to be called before anything else enters logs that were set back. What cannot enter one stays kept, and is
 * tried again when the kept events are looked at as a whole.
 */
export async function sequenceAgain(scope: KeptScope): Promise<number> {
  let added = 0;
  for (let after: Pick<SequencedRow, 'tenantId' | 'id'> | undefined = FIRST; after !== undefined;) {
    const page: SequencedRow[] = await readKept(
      scope.tenants,
      'where (tenant_id, id) > ($2, $3) order by tenant_id, id limit $1',
      [PAGE, after.tenantId, after.id],
    );
    added += await sequenceMissing(scope, page);
    after = page.length < PAGE ? undefined : page.at(-1);
  }
  return added;
}

const FIRST = { tenantId: '00000000-0000-0000-0000-000000000000', id: '00000000-0000-0000-0000-000000000000' };

async function sequenceMissing({ tenants, audit, clock }: KeptScope, kept: readonly SequencedRow[]): Promise<number> {
  const missing = await notInPlace(audit, kept);
  if (missing.length === 0) return 0;
  // Where they stood others may stand soon, whose seal would let go of these.
  await notePlaces(
    tenants,
    missing.map((row) => ({ ...row, epoch: NOWHERE, seq: 0 })),
  );
  const inOrder = missing.toSorted((one, other) => (BigInt(one.position) < BigInt(other.position) ? -1 : 1));
  const { settled, added } = await sequence(audit, inOrder, clock());
  await notePlaces(tenants, settled);
  return added;
}

async function notInPlace(audit: pg.Pool, kept: readonly SequencedRow[]): Promise<SequencedRow[]> {
  if (kept.length === 0) return [];
  const { rows } = await audit.query<{ index: number }>(
    `select k.index::integer - 1 as index
     from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::bigint[]) with ordinality as k (tenant_id, id, epoch, seq, index)
     where not exists (select from log_entries e
                       where e.tenant_id = k.tenant_id and e.event_id = k.id and e.epoch = k.epoch and e.seq = k.seq)`,
    placeColumns(kept),
  );
  return rows.flatMap(({ index }) => kept[index] ?? []);
}

async function notePlaces(tenants: Statements, rows: readonly SequencedRow[]): Promise<void> {
  if (rows.length === 0) return;
  await tenants.query(
    `update sequenced_events k set epoch = p.epoch, seq = p.seq
     from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::bigint[]) as p (tenant_id, id, epoch, seq)
     where k.tenant_id = p.tenant_id and k.id = p.id`,
    placeColumns(rows),
  );
}

function placeColumns(rows: readonly SequencedRow[]): unknown[] {
  return [
    rows.map(({ tenantId }) => tenantId),
    rows.map(({ id }) => id),
    rows.map(({ epoch }) => epoch),
    rows.map(({ seq }) => seq),
  ];
}

/** How far a log is sealed. */
interface SealedHead {
  readonly tenantId: string;
  readonly epoch: number;
  readonly sealedSize: string;
}

function sizeOf({ epoch, sealedSize }: SealedHead): string {
  return `${epoch}/${sealedSize}`;
}

async function settledHeads(audit: pg.Pool): Promise<SealedHead[]> {
  const { rows } = await audit.query<{ tenant_id: string; epoch: number; sealed_size: string }>(
    `select tenant_id, epoch, sealed_size from log_heads h where recovering_since is null
       and not exists (select from log_displaced d where d.tenant_id = h.tenant_id and d.settled_at is null)`,
  );
  return rows.map((row) => ({ tenantId: row.tenant_id, epoch: row.epoch, sealedSize: row.sealed_size }));
}

async function release(tenants: Statements, heads: readonly SealedHead[]): Promise<void> {
  if (heads.length === 0) return;
  await tenants.query(
    `with waiting as materialized (select set_config('synchronous_commit', 'off', true) as mode)
     delete from sequenced_events k using waiting, unnest($1::uuid[], $2::integer[], $3::bigint[]) as s (tenant_id, epoch, size)
     where waiting.mode = 'off' and k.tenant_id = s.tenant_id and k.epoch = s.epoch and k.seq < s.size`,
    headColumns(heads),
  );
}

interface Sealed {
  readonly heads: readonly SealedHead[];
  /** Those that were sealed further since the last time. */
  readonly moved: readonly SealedHead[];
  readonly isWhole: boolean;
}

/** A store that is away keeps its events until it is looked at as a whole. */
async function releaseInStores(scope: KeptScope, { heads, moved, isWhole }: Sealed): Promise<void> {
  for (const { name, tenantId, statements } of (await scope.stores?.list()) ?? []) {
    const own = (isWhole ? heads : moved).filter((head) => head.tenantId === tenantId);
    if (own.length === 0) continue;
    try {
      if (isWhole) await placeAgain({ ...scope, tenants: statements }, own);
      await release(statements, own);
    } catch (error) {
      log('warn', `events were not let go of: ${asTenonError(error).message}`, { store: name });
    }
  }
}

/** Events whose log has gone on to another epoch, or whose place nobody has noted: they get the one that they have. */
async function placeAgain(scope: KeptScope, heads: readonly SealedHead[]): Promise<void> {
  const stray = await readKept(
    scope.tenants,
    `k where exists (select from unnest($2::uuid[], $3::integer[]) as s (tenant_id, epoch)
                     where s.tenant_id = k.tenant_id and k.epoch < s.epoch) limit $1`,
    [PAGE, ...headColumns(heads).slice(0, 2)],
  );
  await sequenceMissing(scope, stray);
  await forgetSealed(scope, stray);
}

/** An epoch that has ended is sealed to its end. */
async function forgetSealed({ tenants, audit }: KeptScope, rows: readonly SequencedRow[]): Promise<void> {
  if (rows.length === 0) return;
  const { rows: sealed } = await audit.query<{ tenant_id: string; event_id: string }>(
    `select e.tenant_id, e.event_id from unnest($1::uuid[], $2::uuid[]) as k (tenant_id, id)
     join log_entries e on e.tenant_id = k.tenant_id and e.event_id = k.id
     join log_heads h on h.tenant_id = e.tenant_id
     where e.epoch < h.epoch and h.recovering_since is null`,
    placeColumns(rows).slice(0, 2),
  );
  await tenants.query(
    `delete from sequenced_events k using unnest($1::uuid[], $2::uuid[]) as s (tenant_id, id)
     where k.tenant_id = s.tenant_id and k.id = s.id`,
    [sealed.map((row) => row.tenant_id), sealed.map((row) => row.event_id)],
  );
}

function headColumns(heads: readonly SealedHead[]): unknown[] {
  return [
    heads.map(({ tenantId }) => tenantId),
    heads.map(({ epoch }) => epoch),
    heads.map(({ sealedSize }) => sealedSize),
  ];
}

interface KeptRow extends StoredRow {
  readonly epoch: number;
  readonly seq: string;
}

async function readKept(tenants: Statements, which: string, values: readonly unknown[]): Promise<SequencedRow[]> {
  const { rows } = await tenants.query<KeptRow>(`select ${OUTBOX_COLUMNS}, epoch, seq from sequenced_events ${which}`, [
    ...values,
  ]);
  return rows.map((row) => Object.assign(outboxRowOf(row), { epoch: row.epoch, seq: Number(row.seq) }));
}
