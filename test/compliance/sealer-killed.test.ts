import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { head, log, prepareSealing, sealer, sealing, state } from './sealing.ts';
import { archivedEntries, expectSound, signedNotes } from './signed-notes.ts';

prepareSealing();

test.each([
  ['before it asks what the archive holds', 'head', 1, 'before', undefined],
  ['before its segment is put', 'put', 1, 'before', 'planned'],
  ['after its segment is put', 'put', 1, 'after', 'planned'],
  ['before its manifest is put', 'put', 2, 'before', 'segment_put'],
  ['after its manifest is put', 'put', 2, 'after', 'segment_put'],
  ['before it looks at the segment', 'head', 3, 'before', 'manifest_put'],
  ['before it looks at the manifest', 'head', 4, 'before', 'manifest_put'],
  ['after it has looked at both', 'head', 4, 'after', 'manifest_put'],
] as const)(
  'a sealer killed by the system %s is followed by one that goes on there',
  { timeout: 120_000 },
  async (...at) => {
    const [, name, call, when, expected] = at;
    const notes = signedNotes();
    const ids = await log(5);
    await killAt({ name, call, when });
    expect(await state()).toEqual(expected === undefined ? [] : [expected]);
    await notes.collect(sealing.cell.superuserOfAudit);
    ids.push(...(await log(2)));
    const next = sealer({ archive: notes.watch(sealing.archive) });
    expect((await next()).failures).toEqual([]);
    await next();
    await notes.collect(sealing.cell.superuserOfAudit);
    await expectSound(sealing.folder, notes);
    expect(archivedEntries(sealing.folder, sealing.tenant).map(({ event }) => event.id)).toEqual(ids);
    expect(await head()).toMatchObject({ sealed_size: '7', alarm: null });
  },
);

async function killAt(point: { name: string; call: number; when: string }): Promise<void> {
  const file = fileURLToPath(new URL('./sealing-process.ts', import.meta.url));
  const { folder, cell } = sealing;
  const options = JSON.stringify({ auditDatabase: cell.auditDatabase, folder, ...point });
  const child = spawn(process.execPath, ['--import', 'tsx', file, options], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [output] = (await once(child.stdout, 'data')) as [Buffer];
  expect(output.toString()).toBe('stopped\n');
  child.kill('SIGKILL');
  await once(child, 'exit');
}
