import { systemContext } from '#kit/credential.ts';
import { recordAudit } from '#kit/outbox.ts';
import type { Platform } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf } from '#schema/ids.ts';
import type { NoteSigner, NoteVerifier } from '#schema/signed-note.ts';
import { storeUrl } from '#schema/tenant-store.ts';
import type { MovePhase } from '#schema/tenant-move.ts';
import type { WorkerCell } from '../worker.ts';
import { openEnd, type MoveEnd } from './end.ts';
import { readMove, type TenantMove } from './move-store.ts';
import type { RowPath } from './row-copy.ts';

/** A phase begins, or inside of one something has just been done. */
export type MoveStep = MovePhase | 'copied' | 'held' | 'departed' | 'opened' | 'turned' | 'removed';

/** What moving tenants needs; the platform is opened as `tenon_worker`. */
export interface MoverOptions {
  readonly platform: Platform;
  readonly cells: readonly WorkerCell[];
  /** Signs certificates, and what a log says of itself in its new cell. */
  readonly signer: NoteSigner;
  readonly olderKeys?: readonly NoteVerifier[];
  /** How long the archive keeps what is put into it. */
  readonly retentionMs: number;
  /** How long a tenant is held at most. */
  readonly budgetMs?: number;
  /** Ends what is under way; the next worker goes on with it. */
  readonly signal?: AbortSignal;
  /** Told where a move is; for tests that end it there. */
  readonly onStep?: (step: MoveStep) => Promise<void>;
}

/** A move under way, and both ends of what is moved. */
export interface MoveScope {
  readonly options: MoverOptions;
  readonly move: TenantMove;
  /** UUID. */
  readonly tenantId: string;
  readonly from: WorkerCell;
  readonly to: WorkerCell;
  readonly cell: RowPath;
  /** Null where she stays in her cell, and her log where it is. */
  readonly audit: RowPath | null;
}

/** It was called off before it had changed where the tenant lives. */
export class MoveCancelled extends Error {
  override readonly name = 'MoveCancelled';
}

/** Runs work with both ends of a move open. */
export async function withEnds<T>(
  options: MoverOptions,
  move: TenantMove,
  work: (scope: MoveScope) => Promise<T>,
): Promise<T> {
  const { databases, clock } = options.platform;
  const cellOf = (name: string) =>
    options.cells.find((cell) => cell.name === name) ??
    fail('SERVICE_UNAVAILABLE', `this process does not serve the cell ${name}`);
  const [from, to] = [cellOf(move.fromCell), cellOf(move.toCell)];
  const ends: MoveEnd[] = [];
  const open = (name: string, url: string, cell: string): MoveEnd => {
    const end = openEnd({ name, url, cell, tenant: move.tenant, keys: databases.keys, clock });
    ends.push(end);
    return end;
  };
  const [source, target] = [storeUrl(from.database, move.fromStore), storeUrl(to.database, move.toStore)];
  const cell: RowPath = {
    store: 'cell',
    source: open(`${from.name} ${move.fromStore}`, source, from.name),
    target: open(`${to.name} ${move.toStore}`, target, to.name),
  };
  const audit: RowPath = {
    store: 'audit',
    source: open(`${from.name} audit`, from.auditDatabase, from.name),
    target: open(`${to.name} audit`, to.auditDatabase, to.name),
  };
  try {
    return await work({
      options,
      move,
      tenantId: uuidOf('tnt', move.tenant),
      from,
      to,
      cell,
      audit: from === to ? null : audit,
    });
  } finally {
    await Promise.all(ends.map((end) => end.close()));
  }
}

/** Throws where the move was called off, or where this process is about to end. */
export async function requireWanted({ options, move }: MoveScope): Promise<void> {
  options.signal?.throwIfAborted();
  const { isCancelled } = await readMove(options.platform.databases, move.id);
  if (isCancelled) throw new MoveCancelled();
}

/** Writes into the tenant's own log how far her move is. */
export async function recordPhase({ options, move }: MoveScope, phase: MovePhase): Promise<void> {
  const { databases, clock } = options.platform;
  const tenant = await systemContext(databases, move.tenant, { name: 'moves', requestId: mintId('req') });
  await recordAudit(
    { tenant, databases, clock },
    {
      action: 'tenant.move',
      resource: { type: 'tenant', id: move.tenant, name: null },
      context: {
        move: idOf('mov', move.id),
        phase,
        from_cell: move.fromCell,
        from_store: move.fromStore,
        to_cell: move.toCell,
        to_store: move.toStore,
      },
    },
  );
}
