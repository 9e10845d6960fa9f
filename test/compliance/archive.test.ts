import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe } from 'vitest';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { describeArchive } from './archive-contract.ts';

const root = mkdtempSync(join(tmpdir(), 'tenon-archive-contract-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('the archive in a folder', () => {
  describeArchive(async () => {
    const folder = mkdtempSync(join(root, 'case-'));
    let now = new Date('2026-05-01T00:00:00Z');
    return {
      open: () => filesystemArchive({ folder, clock: () => now }),
      now: () => now,
      reach: async (date) => {
        now = date;
      },
    };
  });
});
