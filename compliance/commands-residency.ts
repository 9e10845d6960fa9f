import type { Command } from '#kit/command.ts';
import { storeSettings } from '#kit/embedded-stores.ts';
import { readConfig } from '#schema/config.ts';
import { residencyOf, type ResidencyEntry } from '#schema/residency.ts';

/** `residency`: where everything of the tenants of each cell lies, by the schema and the settings. */
export const residencyCommand: Command = {
  name: 'residency',
  about: 'Says where everything of the tenants of each cell lies: what stays in its region, what does not, and why.',
  run: async ({ write, json }) => {
    const config = readConfig();
    const { directoryUrl, cells } = storeSettings(config)('tenon_app');
    const ledger = cells.map((cell) => ({
      cell: cell.name,
      region: cell.region,
      places: residencyOf({ ...config, cell, directoryUrl }),
    }));
    if (json) write(JSON.stringify({ cells: ledger }, null, 2));
    else
      for (const { cell, region, places } of ledger) {
        write(`${cell} in ${region}`);
        for (const place of places) write(lineOf(place));
      }
    return 0;
  },
};

function lineOf({ place, residency, holds, at, why }: ResidencyEntry): string {
  return `  ${residency.padEnd(7)} ${place.padEnd(17)} ${holds.join(', ')}${at === null ? '' : `, at ${at}`}: ${why}`;
}
