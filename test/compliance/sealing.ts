import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, expect } from 'vitest';
import type { AuditEvent } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { outboxOf } from '../../compliance/outbox-reader.ts';
import { createSealer, type SealingTurn } from '../../compliance/sealer.ts';
import { sequence } from '../../compliance/sequencer.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { anEvent } from './an-event.ts';
import { openTestCell, type TestCell } from './cell.ts';
import { entriesInArchive } from './stored-log.ts';

export const DAY_MS = 86_400_000;

/** What the running test seals: made anew for each, with one tenant and an empty archive. */
export const sealing: { cell: TestCell; tenant: Id<'tnt'>; folder: string; archive: Archive; now: Date } =
  Object.create(null);

/** Makes `sealing` ready before every test of the calling file. */
export function prepareSealing(): void {
  beforeAll(async () => {
    sealing.cell = await openTestCell();
  });

  beforeEach(async () => {
    // One log at a time, so that a sealer's turn is about the tenant of the test.
    await sealing.cell.superuserOfAudit.query(
      'truncate app.log_heads, app.log_entries, app.log_tiles, app.segments, app.log_refusals, app.log_displaced, app.platform_events',
    );
    await sealing.cell.superuserOfTenants.query('truncate app.outbox, app.sequenced_events');
    sealing.tenant = await sealing.cell.addTenant();
    sealing.folder = mkdtempSync(join(sealing.cell.archiveFolder, 'case-'));
    sealing.now = new Date('2026-05-01T10:00:00Z');
    sealing.archive = await filesystemArchive({ folder: sealing.folder, clock: () => sealing.now });
  });
}

interface SealerCase {
  readonly archive?: Archive;
  readonly sealIntervalMs?: number;
}

/** Returns a sealer of the cell; by default it waits for nothing. */
export function sealer({ archive = sealing.archive, sealIntervalMs = 0 }: SealerCase = {}): () => Promise<SealingTurn> {
  return createSealer({
    audit: sealing.cell.audit,
    archive,
    region: 'eu',
    signer: TEST_SIGNING_KEY,
    clock: () => sealing.now,
    sealIntervalMs,
    retentionMs: 90 * DAY_MS,
    log: () => undefined,
  });
}

/** Writes and sequences that many events and returns their ids. */
export async function log(count: number, options: { size?: number; of?: Id<'tnt'> } = {}): Promise<string[]> {
  return logEvents(
    Array.from({ length: count }, () => anEvent(options.of ?? sealing.tenant, options)),
    options.of,
  );
}

/** Writes the events and sequences them; other databases of the server have transactions of their own to wait for. */
export async function logEvents(events: readonly AuditEvent[], of = sealing.tenant): Promise<string[]> {
  await sealing.cell.write(of, events);
  const outbox = outboxOf(sealing.cell.tenants);
  for (let left = events.length; left > 0;) {
    const rows = await outbox.take({ limit: 5000, skipPositions: [], skipTenants: [] });
    const { settled } = await sequence(sealing.cell.audit, rows, sealing.now);
    await outbox.remove(settled);
    left -= rows.length;
  }
  return events.map(({ id }) => id);
}

/** Returns what the entries from that number on take in a segment. */
export async function bytesFrom(seq: number): Promise<number> {
  const { rows } = await sealing.cell.audit.query<{ bytes: string }>(
    'select sum(octet_length(entry) + 1) as bytes from log_entries where tenant_id = $1 and seq >= $2',
    [uuidOf('tnt', sealing.tenant), seq],
  );
  return Number(rows[0]?.bytes);
}

/** Returns the ids of the events in the archive, whose files it has checked. */
export const archived = (of = sealing.tenant, from = sealing.folder): string[] =>
  entriesInArchive(from, of).map(({ event }) => event.id);

interface HeadState {
  readonly size: string;
  readonly sealed_size: string;
  readonly next_segment: number;
  readonly unsealed_bytes: string;
  readonly alarm: string | null;
  readonly alarm_since: Date | null;
}

/** Returns the head of the log. */
export async function head(): Promise<HeadState> {
  const { rows } = await sealing.cell.audit.query<HeadState>(
    'select size, sealed_size, next_segment, unsealed_bytes, alarm, alarm_since from log_heads where tenant_id = $1',
    [uuidOf('tnt', sealing.tenant)],
  );
  return rows[0] ?? expect.fail('no head');
}

/** Returns the states of the segments of the log by number. */
export async function state(): Promise<string[]> {
  const { rows } = await sealing.cell.audit.query<{ state: string }>(
    'select state from segments where tenant_id = $1 order by number',
    [uuidOf('tnt', sealing.tenant)],
  );
  return rows.map((row) => row.state);
}

/** An sealing.archive whose n-th call of a function fails, before or after it has done its work, as a full disk or a crash may. */
export function failing(when: 'before' | 'after', call: number, name: 'put' | 'head' | 'list' | 'get'): Archive {
  let calls = 0;
  const stop = (at: string): void => {
    if (at === when && calls === call) fail('SERVICE_UNAVAILABLE', 'no space left');
  };
  const through = async <T>(of: string, work: () => Promise<T>): Promise<T> => {
    if (of === name) calls += 1;
    if (of === name) stop('before');
    const result = await work();
    if (of === name) stop('after');
    return result;
  };
  return {
    ...sealing.archive,
    put: (...args) => through('put', () => sealing.archive.put(...args)),
    head: (key) => through('head', () => sealing.archive.head(key)),
    get: (key) => through('get', () => sealing.archive.get(key)),
  };
}
