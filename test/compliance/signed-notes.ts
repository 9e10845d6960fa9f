import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type pg from 'pg';
import { expect } from 'vitest';
import { parseEntry, type AuditEntry } from '#schema/audit-event.ts';
import { parseCheckpoint, type Checkpoint } from '#schema/checkpoint.ts';
import type { Id } from '#schema/ids.ts';
import { parseVerifierKey, verifyNote } from '#schema/signed-note.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { objectsIn } from './stored-log.ts';

/** Every checkpoint that was ever signed, wherever it went. */
export interface SignedNotes {
  /** An archive that remembers the checkpoint of every manifest that is to be put, whether it comes to that or not. */
  watch(archive: Archive): Archive;
  /** Remembers those that the audit database holds now. */
  collect(audit: pg.Pool): Promise<void>;
  /** Returns them, having checked that no two are of one log and size and of different content. */
  check(): string[];
}

/** Returns an empty collection. */
export function signedNotes(): SignedNotes {
  const notes = new Set<string>();
  return {
    watch: (archive) => ({
      ...archive,
      put: (key, bytes, options) => {
        if (key.includes('/man/'))
          notes.add((JSON.parse(Buffer.from(bytes).toString()) as { checkpoint: string }).checkpoint);
        return archive.put(key, bytes, options);
      },
    }),
    collect: async (audit) => {
      const { rows } = await audit.query<{ checkpoint: string }>(
        'select checkpoint from app.segments where checkpoint is not null',
      );
      for (const { checkpoint } of rows) notes.add(checkpoint);
    },
    check: () => checked(notes),
  };
}

function checked(notes: ReadonlySet<string>): string[] {
  const roots = new Map<string, string>();
  for (const note of notes) {
    const { origin, size, root } = checkpointOf(note);
    const place = `${origin} ${size}`;
    const hex = Buffer.from(root).toString('hex');
    expect(hex, `two roots were signed for ${place}`).toBe(roots.get(place) ?? hex);
    roots.set(place, hex);
  }
  return [...notes];
}

function checkpointOf(note: string): Checkpoint {
  return parseCheckpoint(verifyNote(note, [parseVerifierKey(TEST_SIGNING_KEY.verifierKey)]).text);
}

/** Lets the real verifier judge the whole archive against everything that was ever signed of it. */
export async function expectSound(folder: string, notes: SignedNotes): Promise<void> {
  const checkpoints = notes.check();
  const report = await verifyTarget(folder, { keys: [TEST_SIGNING_KEY.verifierKey], checkpoints });
  expect(report.integrity).toMatchObject({ verdict: 'pass' });
  expect(report.completeness).toMatchObject({ verdict: 'pass' });
}

/** Returns the entries of every epoch of a tenant's archived log, oldest first. */
export function archivedEntries(folder: string, tenant: Id<'tnt'>): AuditEntry[] {
  const base = join(folder, 'v1/eu', tenant);
  return epochsIn(base).flatMap((epoch) =>
    objectsIn(join(base, epoch, 'man')).flatMap((name) => {
      const manifest = JSON.parse(readFileSync(join(base, epoch, 'man', name), 'utf8')) as { segment: { key: string } };
      const lines = gunzipSync(readFileSync(join(folder, manifest.segment.key)))
        .toString()
        .split('\n')
        .slice(0, -1);
      return lines.map((line) => parseEntry(Buffer.from(line)));
    }),
  );
}

/** Returns the epochs that the archive holds of a tenant, oldest first. */
export function epochsOf(folder: string, tenant: Id<'tnt'>): number[] {
  return epochsIn(join(folder, 'v1/eu', tenant)).map(Number);
}

function epochsIn(base: string): string[] {
  return readdirSync(base).toSorted((left, right) => Number(left) - Number(right));
}
