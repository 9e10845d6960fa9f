import type { Command } from '#kit/command.ts';
import { storeSettings } from '#kit/embedded-stores.ts';
import { readConfig } from '#schema/config.ts';
import { selfTestArchive } from './archive-self-test.ts';
import { archiveCredentials, openArchive } from './archive/open.ts';

const clock = () => new Date();

/** `archive self-test`: shows that what was archived can neither be changed nor removed, in every cell. */
export const archiveSelfTestCommand: Command = {
  name: 'archive self-test',
  about:
    'Puts an object into the archive of every cell and tries to overwrite, remove and release it; all must be refused.',
  run: async ({ write, json }) => {
    const config = readConfig();
    const credentials = archiveCredentials(config);
    const results = [];
    for (const { name, archive: url } of storeSettings(config)('tenon_worker').cells) {
      const archive = await openArchive(url, { clock, credentials });
      const promises = await selfTestArchive(archive, clock);
      results.push({ cell: name, lockMode: archive.lockMode, promises });
      if (json) continue;
      for (const { promise, isKept, sentence } of promises) {
        write(`${isKept ? 'ok  ' : 'FAIL'} ${name.padEnd(8)} ${promise}${isKept ? '' : `: ${sentence}`}`);
      }
    }
    if (json) write(JSON.stringify({ archives: results }, null, 2));
    return results.every(({ promises }) => promises.every(({ isKept }) => isKept)) ? 0 : 1;
  },
};
