import { hash } from 'node:crypto';
import type pg from 'pg';
import { PLATFORM_UUID } from '#kit/platform-log.ts';
import { verifyRotation } from '#schema/key-rotation.ts';
import { encodeVerifierKey } from '#schema/signed-note.ts';
import type { Archive } from '../archive/archive.ts';
import { inTransaction } from '../log-store.ts';
import { recordPlatformEvent } from '../platform/event.ts';

/** What making rotations known in one cell needs. */
export interface RotationTurnOptions {
  /** Pool of `tenon_worker` over the audit database. */
  readonly audit: pg.Pool;
  readonly archive: Archive;
  readonly region: string;
  /** The statements of the deployment, oldest first. */
  readonly statements: readonly string[];
  readonly clock: () => Date;
  /** How long a statement is kept at least. */
  readonly retentionMs: number;
}

/**
 * Returns the function that brings the statements of rotations into the archive of a cell and, once each, into its
 * platform log as `key.rotated`. It returns false, and does nothing more once all of them are there.
 */
export function createRotationTurn(options: RotationTurnOptions): () => Promise<boolean> {
  let isDone = options.statements.length === 0;
  return async () => {
    if (isDone) return false;
    for (const statement of options.statements) await announce(options, statement);
    isDone = true;
    return false;
  };
}

async function announce(
  { audit, archive, region, clock, retentionMs }: RotationTurnOptions,
  statement: string,
): Promise<void> {
  const { number, oldKey, newKey, at } = verifyRotation(statement);
  const now = clock();
  const key = `v1/${region}/keys/${String(number).padStart(9, '0')}-${hash('sha256', statement, 'hex').slice(0, 16)}.note`;
  await inTransaction(audit, async (client) => {
    const { rowCount } = await client.query(
      `insert into key_rotations (tenant_id, number, statement, key, retain_until) values ($1, $2, $3, $4, $5)
       on conflict do nothing`,
      [PLATFORM_UUID, number, statement, key, new Date(now.getTime() + retentionMs)],
    );
    if (rowCount === 0) return;
    const detail = {
      number,
      old_key: encodeVerifierKey(oldKey),
      new_key: encodeVerifierKey(newKey),
      at: at.toISOString(),
    };
    await recordPlatformEvent(client, { type: 'key.rotated', detail, at: now });
  });
  const { rows } = await audit.query<{ key: string; statement: string; retain_until: Date; archived_at: Date | null }>(
    'select key, statement, retain_until, archived_at from key_rotations where tenant_id = $1 and number = $2',
    [PLATFORM_UUID, number],
  );
  const [row] = rows;
  if (row === undefined || row.archived_at !== null) return;
  await archive.put(row.key, Buffer.from(row.statement), { retainUntil: row.retain_until });
  await audit.query('update key_rotations set archived_at = $3 where tenant_id = $1 and number = $2', [
    PLATFORM_UUID,
    number,
    clock(),
  ]);
}
