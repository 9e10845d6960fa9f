import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** True where this process may mount a disk in memory; the tests of a really full disk are skipped elsewhere. */
export const TINY_DISK = canMount();

/** Mounts a disk of that size (as `mount -o size=` takes it) for the time of the work. */
export async function withTinyDisk(size: string, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mount(size);
  try {
    await work(folder);
  } finally {
    unmount(folder);
  }
}

function mount(size: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-tiny-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'tmpfs', folder], { stdio: 'ignore' });
  return folder;
}

function unmount(folder: string): void {
  execFileSync('umount', ['-l', folder], { stdio: 'ignore' });
  rmSync(folder, { recursive: true });
}

function canMount(): boolean {
  try {
    unmount(mount('64k'));
    return true;
  } catch {
    process.stderr.write('SKIPPED: the tests of a full disk need the right to mount one (root)\n');
    return false;
  }
}
