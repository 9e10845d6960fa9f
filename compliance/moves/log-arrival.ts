import { fail } from '#schema/errors.ts';
import { moveDisplaced } from '../sealing/epoch.ts';
import { recordPlatformEvent } from '../platform/event.ts';
import type { SealingOptions } from '../sealing/options.ts';
import type { MoveEnd } from './end.ts';
import { FenceLifted } from './fence.ts';

/** A log between two cells. */
export interface LogPath {
  readonly source: MoveEnd;
  readonly target: MoveEnd;
}

/** Throws FenceLifted while something of the log is between its states: half sealed, or being brought back. */
export async function requireSettledLog({ source }: LogPath): Promise<void> {
  const [row] = await source.inContext((tx) =>
    tx.query<{ sealing: boolean; recovering: boolean }>(
      `select exists (select from app.segments where state in ('segment_put', 'manifest_put')) as sealing,
              exists (select from app.log_heads where recovering_since is not null)
                or exists (select from app.log_displaced where settled_at is null) as recovering`,
    ),
  );
  if (row?.sealing === true) throw new FenceLifted('a segment of her log was being sealed');
  if (row?.recovering === true) throw new FenceLifted('her log was being brought back from the archive');
}

/**
 * Lets the log go on in its next epoch in the cell that it has come to; what was not sealed yet is sealed there. Done
 * again it changes nothing. `sealing` is that of the new cell, without its pool.
 */
export async function openArrivedLog(
  { source, target }: LogPath,
  sealing: Omit<SealingOptions, 'audit'>,
  tenantId: string,
): Promise<void> {
  const [left, arrived] = await Promise.all([epochAt(source), epochAt(target)]);
  if (left === null || arrived === null || arrived > left) return;
  const audit = target.openPool();
  try {
    const moved = await moveDisplaced({ ...sealing, audit }, tenantId, {
      mustOpen: true,
      tell: (event) => target.alone((tx) => recordPlatformEvent(tx, event)),
    });
    if (moved === null) fail('CONFLICT', 'the archive of the new cell holds more of the log than has come');
  } finally {
    await audit.end();
  }
}

async function epochAt(end: MoveEnd): Promise<number | null> {
  const rows = await end.inContext((tx) => tx.query<{ epoch: number }>('select epoch from app.log_heads'));
  if (rows.length > 1) return fail('INTERNAL_SERVER_ERROR', 'a tenant has one log');
  return rows[0]?.epoch ?? null;
}
