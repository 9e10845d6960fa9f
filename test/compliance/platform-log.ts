import { mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeAll, beforeEach, expect } from 'vitest';
import { parseCheckpoint, type Checkpoint } from '#schema/checkpoint.ts';
import type { Id } from '#schema/ids.ts';
import {
  parsePlatformEntry,
  parsePlatformHead,
  parsePlatformTick,
  type PlatformEntry,
  type PlatformHead,
} from '#schema/platform-entry.ts';
import { noteVerifier, verifyNote } from '#schema/signed-note.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { outboxOf } from '../../compliance/outbox-reader.ts';
import { sequence } from '../../compliance/sequencer.ts';
import { isEpochEnd } from '../../compliance/platform/tick-object.ts';
import { createPlatformTurn, type PlatformTurnOptions } from '../../compliance/platform/turn.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { anEvent } from './an-event.ts';
import { openTestCell, type TestCell } from './cell.ts';

export const MINUTE_MS = 60_000;
export const TEST_VERIFIER = noteVerifier(TEST_SIGNING_KEY.name, TEST_SIGNING_KEY.privateKey);

/** What the running test keeps a platform log of: made anew for each, with one tenant and an empty archive. */
export const platform: {
  cell: TestCell;
  tenant: Id<'tnt'>;
  folder: string;
  archive: Archive;
  now: Date;
  lines: string[];
} = Object.create(null);

/** Makes `platform` ready before every test of the calling file. */
export function preparePlatform(): void {
  beforeAll(async () => {
    platform.cell = await openTestCell();
  });

  beforeEach(async () => {
    await platform.cell.superuserOfTenants.query('truncate app.outbox, app.sequenced_events, app.mutation_notes');
    await platform.cell.superuserOfAudit.query(
      `truncate app.log_heads, app.log_entries, app.log_tiles, app.segments, app.log_refusals, app.platform_events,
         app.platform_log, app.platform_ticks, app.platform_entries, app.platform_tiles, app.platform_heads,
         app.mutation_hours, app.mutation_totals, app.missing_events`,
    );
    platform.tenant = await platform.cell.addTenant();
    platform.folder = mkdtempSync(join(platform.cell.archiveFolder, 'case-'));
    platform.now = new Date('2026-05-01T10:00:10Z');
    platform.archive = await filesystemArchive({ folder: platform.folder, clock: () => platform.now });
    platform.lines = [];
  });
}

/** Returns a turn of the cell. */
export function platformTurn(options: Partial<PlatformTurnOptions> = {}) {
  return createPlatformTurn({
    audit: platform.cell.audit,
    archive: platform.archive,
    region: 'eu',
    cell: 'eu-1',
    signer: TEST_SIGNING_KEY,
    clock: () => platform.now,
    retentionMs: 90 * 86_400_000,
    log: (level, message, fields) => void platform.lines.push(JSON.stringify({ level, message, ...fields })),
    ...options,
  });
}

/** Lets a minute pass. */
export function minutePasses(): void {
  platform.now = new Date(platform.now.getTime() + MINUTE_MS);
}

/** Writes and sequences that many events of a tenant. */
export async function logEvents(count: number, of = platform.tenant): Promise<void> {
  await platform.cell.write(
    of,
    Array.from({ length: count }, () => anEvent(of)),
  );
  const outbox = outboxOf(platform.cell.tenants);
  for (let left = count; left > 0;) {
    const rows = await outbox.take({ limit: 5000, skipPositions: [], skipTenants: [] });
    const { settled } = await sequence(platform.cell.audit, rows, platform.now);
    await outbox.remove(settled);
    left -= rows.length;
  }
}

/** A tick as it stands in the archive. */
export interface ReadTick {
  readonly name: string;
  readonly entries: readonly PlatformEntry[];
  readonly texts: readonly string[];
  readonly heads: readonly PlatformHead[];
  readonly checkpoint: Checkpoint;
}

/** Returns the signed ticks of an epoch in the archive's folder, whose signatures it has checked. */
export function ticksInArchive(epoch = 1, folder = platform.folder): ReadTick[] {
  const place = join(folder, 'v1', 'eu', 'platform', String(epoch), 'cp');
  const names = readdirSync(place).filter((name) => name.endsWith('.json.gz'));
  return names.toSorted().flatMap((name) => {
    const tick = parsePlatformTick(gunzipSync(readFileSync(join(place, name))));
    if (isEpochEnd(tick)) return [];
    return {
      name,
      texts: tick.entries,
      entries: tick.entries.map((text) => parsePlatformEntry(Buffer.from(text))),
      heads: tick.heads.map((text) => parsePlatformHead(Buffer.from(text))),
      checkpoint: parseCheckpoint(verifyNote(tick.checkpoint, [TEST_VERIFIER]).text),
    };
  });
}

/** Returns the alarm of the platform log. */
export async function platformAlarm(): Promise<string | null> {
  const { rows } = await platform.cell.audit.query<{ alarm: string | null }>('select alarm from platform_log');
  return (rows[0] ?? expect.fail('no platform log')).alarm;
}
