import type { Command } from '#kit/command.ts';
import { storeSettings } from '#kit/embedded-stores.ts';
import { readSigningKey } from '#kit/key-files.ts';
import { readConfig } from '#schema/config.ts';
import { selfTestNote, testArchive, type SelfTest } from './archive-self-test.ts';
import { openCellArchive } from './archive/cell-archive.ts';
import { archiveCredentials } from './archive/open.ts';

const clock = () => new Date();

/** `archive self-test`: shows that what was archived can neither be changed nor removed, in every cell. */
export const archiveSelfTestCommand: Command = {
  name: 'archive self-test',
  about:
    'Puts an object into the archive of every cell and tries to delete, shorten, overwrite and release it, on the store itself too.',
  run: async ({ write, json }) => {
    const config = readConfig();
    const credentials = archiveCredentials(config);
    const { cells } = storeSettings(config)('tenon_worker');
    const signer = readSigningKey(config);
    const archives = [];
    for (const settings of cells) {
      const cell = settings.name;
      const test = await testArchive(await openCellArchive(settings, { clock, credentials }), clock);
      const { testedAt, ...found } = test;
      archives.push({ cell, testedAt: testedAt.toISOString(), ...found, note: selfTestNote(test, { cell, signer }) });
      if (!json) for (const each of linesOf(cell, test)) write(each);
    }
    if (json) write(JSON.stringify({ archives }, null, 2));
    return archives.every(({ isSound }) => isSound) ? 0 : 1;
  },
};

const MARKS = { kept: 'ok  ', differs: 'note', broken: 'FAIL' } as const;

function linesOf(cell: string, { promises, attacks }: SelfTest): string[] {
  return [
    ...promises.map(
      ({ promise, isKept, sentence }) =>
        `${isKept ? 'ok  ' : 'FAIL'} ${cell.padEnd(8)} ${promise}${isKept ? '' : `: ${sentence}`}`,
    ),
    ...attacks.map(
      ({ attempt, verdict, answer }) =>
        `${MARKS[verdict]} ${cell.padEnd(8)} ${attempt.replaceAll('_', ' ')}: ${answer}`,
    ),
  ];
}
