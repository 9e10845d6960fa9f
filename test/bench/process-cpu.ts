import { readdirSync, readFileSync } from 'node:fs';

/** Length of a tick of `/proc/<pid>/stat`; Linux shows 100 a second to every program, whatever the kernel counts. */
const TICK_MS = 10;

/**
 * Returns the CPU time in ms that a process and all below it have spent, those that ended among them; null where the
 * system has no `/proc`.
 */
export function treeCpuMs(rootPid: number): number | null {
  if (process.platform !== 'linux') return null;
  const stats = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(readStat)
    .filter((stat) => stat !== null);
  const members = new Set([rootPid]);
  // A child may stand before its parent in the list.
  for (let size = 0; size !== members.size;) {
    size = members.size;
    for (const { pid, parent } of stats) if (members.has(parent)) members.add(pid);
  }
  return stats.filter(({ pid }) => members.has(pid)).reduce((sum, { ticks }) => sum + ticks * TICK_MS, 0);
}

/** The fields behind the name, which may hold blanks: 2 is the parent, 12 to 15 are the times of it and its children. */
function readStat(pid: string): { pid: number; parent: number; ticks: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return { pid: Number(pid), parent: Number(fields[1]), ticks };
  } catch {
    return null;
  }
}
