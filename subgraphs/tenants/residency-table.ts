import { residencyOf, type ResidencyEntry } from '#schema/residency.ts';
import { DATA_CLASSES, TABLE_CLASSES, type DataClassName, type StoreKind } from '#schema/stored-data.ts';

/** A cell with everything that can be set up, so that every place shows. */
const WHOLE = {
  profile: 'production',
  cell: {
    name: 'eu-1',
    region: 'eu',
    database: 'postgres://cell',
    auditDatabase: 'postgres://audit',
    archive: 's3://archive',
  },
  directoryUrl: 'postgres://directory',
  mailUrl: 'smtp://mail',
  redisUrl: 'redis://budgets',
  otlpEndpoint: 'http://collector',
  tsaUrl: 'http://authority',
  witnesses: [{ verifierKey: '', url: 'http://witness' }],
} as const;

/** Returns the table of all places, in Markdown. */
export function placesTable(): string {
  const own = residencyOf({ ...WHOLE, cell: { ...WHOLE.cell, mail: 'smtp://own' } });
  const shared = residencyOf(WHOLE).filter(({ place }) => place === 'mail');
  const rows = own.concat(shared).toSorted((left, right) => orderOf(own, left) - orderOf(own, right));
  return [
    '| place | | holds | what, and why |',
    '| --- | --- | --- | --- |',
    ...rows.map(({ place, residency, holds, why }) => `| \`${place}\` | ${residency} | ${holds.join(', ')} | ${why} |`),
  ].join('\n');
}

/** Returns the table of the classes of data with their tables, in Markdown. */
export function dataTable(): string {
  const classes = Object.entries(DATA_CLASSES) as [DataClassName, string][];
  return [
    '| class | what | tenant database | audit database | directory |',
    '| --- | --- | --- | --- | --- |',
    ...classes.map(
      ([name, about]) =>
        `| ${name} | ${about} | ${tablesOf('cell', name)} | ${tablesOf('audit', name)} | ${tablesOf('directory', name)} |`,
    ),
  ].join('\n');
}

/** Both ways of mail stand beside each other. */
function orderOf(entries: readonly ResidencyEntry[], { place }: ResidencyEntry): number {
  return entries.findIndex((entry) => entry.place === place);
}

function tablesOf(kind: StoreKind, wanted: DataClassName): string {
  return Object.entries(TABLE_CLASSES[kind])
    .filter(([, found]) => found === wanted)
    .map(([table]) => `\`${table}\``)
    .join(' ');
}
