import type pg from 'pg';
import { log as logLine } from '#kit/log.ts';
import type { NoteSigner } from '#schema/signed-note.ts';
import { alone } from '../alone.ts';
import { selfTestNote, testArchive } from '../archive-self-test.ts';
import type { Archive } from '../archive/archive.ts';
import { recordPlatformEvent } from '../platform/event.ts';
import type { TurnResult } from '../turn-loop.ts';

/** What testing the archive of one cell needs. */
export interface SelfTestTurnOptions {
  readonly cell: string;
  /** Pool of `tenon_worker` over the audit database. */
  readonly audit: pg.Pool;
  readonly archive: Archive;
  /** Signs what was found; its name is the deployment's. */
  readonly signer: NoteSigner;
  readonly clock: () => Date;
  /** Time between two tests; a day without it. */
  readonly intervalMs?: number;
  readonly log?: typeof logLine;
}

const INTERVAL_MS = 24 * 60 * 60 * 1000;

/**
 * Returns the function that tests the archive of a cell at its first call and once a day, on the store itself, and
 * records what it answered, signed, as the platform event `archive.self_tested`. An archive that is away is broken at
 * that time.
 */
export function createSelfTestTurn(options: SelfTestTurnOptions): () => Promise<TurnResult> {
  const { cell, audit, archive, signer, clock, intervalMs = INTERVAL_MS, log = logLine } = options;
  let dueMs = -Infinity;
  return async () => {
    if (performance.now() < dueMs) return 'idle';
    const result = await alone(audit, 'selfTest', async () => {
      const test = await testArchive(archive, clock);
      const { lockMode, isSound, testedAt } = test;
      const detail = { lock_mode: lockMode, is_sound: isSound, note: selfTestNote(test, { cell, signer }) };
      await recordPlatformEvent(audit, { type: 'archive.self_tested', detail, at: testedAt });
      if (!isSound) log('error', 'the archive does not keep what it should', { cell, lockMode });
      return 'worked' as const;
    });
    if (result !== null) dueMs = performance.now() + intervalMs;
    return result ?? 'waiting';
  };
}
