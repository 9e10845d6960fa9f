import type pg from 'pg';
import type { Databases } from '#kit/database.ts';
import { fail } from '#schema/errors.ts';
import { idOf, type Id } from '#schema/ids.ts';
import type { StorePlace } from '#schema/tenant-store.ts';
import type { MovePhase } from '#schema/tenant-move.ts';
import type { LeftObjects } from './archive-copy.ts';
import type { TableSum } from './row-sums.ts';

/** A move as the directory remembers it. */
export interface TenantMove {
  /** UUID. */
  readonly id: string;
  readonly tenant: Id<'tnt'>;
  readonly fromCell: string;
  readonly fromStore: string;
  readonly toCell: string;
  readonly toStore: string;
  readonly phase: MovePhase;
  readonly reason: string;
  readonly requestedBy: string;
  readonly isCancelled: boolean;
  readonly fences: number;
  readonly fenceMs: number | null;
  readonly comparedRows: number | null;
  readonly sums: readonly TableSum[] | null;
  readonly left: LeftObjects | null;
  readonly switchedAt: Date | null;
  readonly removed: number;
}

/** What of a move is noted. */
export interface MoveNote {
  readonly phase?: MovePhase;
  readonly progressDone?: number;
  readonly progressTotal?: number;
  readonly fences?: number;
  readonly obstacle?: string | null;
  readonly fenceMs?: number;
  readonly comparedRows?: number;
  readonly sums?: readonly TableSum[];
  readonly left?: LeftObjects;
  readonly removed?: number;
  readonly endedAt?: Date;
  readonly certificate?: string;
}

const COLUMNS = {
  phase: 'phase',
  progressDone: 'progress_done',
  progressTotal: 'progress_total',
  fences: 'fences',
  obstacle: 'obstacle',
  fenceMs: 'fence_ms',
  comparedRows: 'compared_rows',
  sums: 'sums',
  left: 'left_objects',
  removed: 'removed',
  endedAt: 'ended_at',
  certificate: 'certificate',
} as const satisfies Record<keyof MoveNote, string>;

const SELECT = `select id, tenant_id as tenant, from_cell as "fromCell",
  from_store as "fromStore", to_cell as "toCell", to_store as "toStore", phase, reason,
  requested_by as "requestedBy", cancel_requested_at is not null as "isCancelled", fences, fence_ms as "fenceMs",
  compared_rows::integer as "comparedRows", sums,
  left_objects as left,
  switched_at as "switchedAt", removed::integer as removed from tenant_moves`;

/** Returns the moves that have not ended, oldest first. */
export async function openMoves({ directory }: Databases): Promise<TenantMove[]> {
  const { rows } = await directory.query<TenantMove>(`${SELECT} where ended_at is null order by id`);
  return rows.map(withPublicId);
}

/** Returns a move as it stands now. */
export async function readMove({ directory }: Databases, id: string): Promise<TenantMove> {
  const { rows } = await directory.query<TenantMove>(`${SELECT} where id = $1`, [id]);
  return rows[0] === undefined ? fail('NOT_FOUND', 'no such move') : withPublicId(rows[0]);
}

/** Notes what has become of a move. */
export async function noteMove({ directory }: Databases, id: string, note: MoveNote): Promise<void> {
  const keys = (Object.keys(note) as (keyof MoveNote)[]).filter((key) => note[key] !== undefined);
  const changes = keys.map((key, index) => `${COLUMNS[key]} = $${index + 2}`);
  const values = keys.map((key) => (key === 'sums' || key === 'left' ? JSON.stringify(note[key]) : note[key]));
  await directory.query(`update tenant_moves set ${changes.join(', ')} where id = $1`, [id, ...values]);
}

/** Sends whoever asks for the tenant to her new store from now on, and notes that the move has got so far: both or neither. */
export async function turnDirectory(
  { directory }: Databases,
  move: TenantMove,
  { region, at }: { readonly region: string; readonly at: Date },
): Promise<void> {
  await directory.query(
    `with turned as (
       update tenants t set cell = m.to_cell, region = $2, store = m.to_store, placement = split_part(m.to_store, '_', 1)
         from tenant_moves m where m.id = $1 and t.id = m.tenant_id
       returning m.id)
     update tenant_moves m set phase = 'removing', switched_at = $3, obstacle = null from turned where m.id = turned.id`,
    [move.id, region, at],
  );
}

/** Notes that nobody lives in a store of hers any more; the pool is everybody's. */
export async function giveUpStore({ directory }: Databases, { cell, store }: StorePlace, at: Date): Promise<void> {
  await directory.query(
    'update stores set tenant_id = null, left_at = coalesce(left_at, $3) where cell = $1 and name = $2',
    [cell, store, at],
  );
}

/** "move" in ASCII: nothing else in the directory locks this number. */
const LOCK_CLASS = 0x6d6f7665;

/** Runs work unless another worker drives this move: then null. The lock ends with this process. */
export async function drivenAlone<T>({ directory }: Databases, id: string, work: () => Promise<T>): Promise<T | null> {
  const client: pg.PoolClient = await directory.connect();
  let isBroken = true;
  try {
    const { rows } = await client.query<{ held: boolean }>('select pg_try_advisory_lock($1, hashtext($2)) as held', [
      LOCK_CLASS,
      id,
    ]);
    const isHeld = rows[0]?.held === true;
    const result = isHeld ? await work() : null;
    isBroken = isHeld;
    return result;
  } finally {
    client.release(isBroken);
  }
}

function withPublicId(row: TenantMove): TenantMove {
  return { ...row, tenant: idOf('tnt', row.tenant) };
}
