import { UsageError, type Command, type CommandSurroundings } from '#kit/command.ts';
import { adminAddress, storeSettings } from '#kit/embedded-stores.ts';
import { readContextKeys } from '#kit/key-files.ts';
import { listStores, planStores, SCHEMAS_PER_DATABASE, type StoreMaker, type StoreRow } from '#kit/store-setup.ts';
import { migrateStores, storeName, type WaveReport } from '#kit/store-waves.ts';
import { readConfig, type Config } from '#schema/config.ts';
import { PLACEMENTS } from '#schema/tenant-store.ts';
import { createProgress } from './progress.ts';

/** Faults after which a run begins no other store: one may be a store's own, several are the migration's. */
const MOST_FAULTS = 3;
const AT_ONCE = 2;
const MOST_COUNT = 1_000;

const add: Command = {
  name: 'store add',
  about: 'Makes stores for tenants to come, so that each can be given one at once; ADMIN_DATABASE_URL makes databases.',
  options: {
    cell: { about: 'The cell they belong to', required: true },
    placement: {
      about: `silo: a database each; bridge: a schema each, ${SCHEMAS_PER_DATABASE} to a database`,
      required: true,
    },
    count: { about: `How many, up to ${MOST_COUNT}; by default 1` },
  },
  run: async (surroundings, { options }) => {
    const maker = makerOf(readConfig());
    const placement = PLACEMENTS.find((known) => known === options['placement']);
    if (placement === undefined || placement === 'pool') throw new UsageError('--placement takes silo or bridge');
    const count = wholeNumber('count', options['count'], 1);
    const planned = await planStores(maker, { cell: options['cell'] ?? '', placement, count });
    const report = await runWaves({ maker, rows: planned, options, surroundings });
    if (surroundings.json) writeReport(surroundings, report);
    else surroundings.write(`${report.migrated} of ${report.total} stores stand ready.`);
    return report.migrated === report.total ? 0 : 1;
  },
};

const list: Command = {
  name: 'store list',
  about: 'Lists the stores beside the pools: who lives there, and at which migration each stands.',
  run: async (surroundings) => {
    const rows = await listStores(makerOf(readConfig()));
    if (surroundings.json) surroundings.write(JSON.stringify(rows, null, 2));
    for (const row of surroundings.json ? [] : rows)
      surroundings.write([storeName(row), row.slug ?? '-', String(row.version), row.fault ?? ''].join('  ').trimEnd());
    return 0;
  },
};

/** The commands about stores beside the pools. */
export const storeCommands: readonly Command[] = [add, list];

/** The options of a run over the stores. */
export const WAVE_OPTIONS = {
  canary: {
    about: 'Short names of tenants whose stores go first, with commas; by default the first, an empty one if any',
  },
  'at-once': { about: `Stores worked on beside each other; by default ${AT_ONCE}` },
  'most-faults': { about: `Stores that may fail before no other is begun; by default ${MOST_FAULTS}` },
} as const;

/** Returns what stores are made with, by the settings of `tenon_owner`. */
export function makerOf(config: Config): StoreMaker {
  const { directoryUrl, cells } = storeSettings(config)('tenon_owner');
  return { directoryUrl, cells, adminUrl: adminAddress(config), keys: readContextKeys(config) };
}

/** What a run over the stores is made of. */
export interface WaveRun {
  readonly maker: StoreMaker;
  readonly rows: readonly StoreRow[];
  readonly options: Readonly<Record<string, string | undefined>>;
  readonly surroundings: Pick<CommandSurroundings, 'write' | 'json'>;
}

/** Migrates stores with a bar on the terminal, and tells of those that failed. */
export async function runWaves({ maker, rows, options, surroundings }: WaveRun): Promise<WaveReport> {
  const progress = createProgress('stores');
  try {
    const report = await migrateStores(maker, rows, {
      canaries: (options['canary'] ?? '').split(',').filter((slug) => slug !== ''),
      atOnce: wholeNumber('at-once', options['at-once'], AT_ONCE),
      mostFaults: wholeNumber('most-faults', options['most-faults'], MOST_FAULTS),
      onProgress: ({ done, total }) => progress.update(done / total),
    });
    progress.end();
    for (const { store, fault } of surroundings.json ? [] : report.failed)
      surroundings.write(`${storeName(store)} failed: ${fault}`);
    if (!surroundings.json && report.left > 0) surroundings.write(`${report.left} stores were not begun.`);
    return report;
  } finally {
    progress.end();
  }
}

/** Returns a report as machines read it. */
export function shownReport({ total, migrated, failed, left }: WaveReport) {
  return { total, migrated, failed: failed.map(({ store, fault }) => ({ store: storeName(store), fault })), left };
}

function writeReport({ write }: CommandSurroundings, report: WaveReport): void {
  write(JSON.stringify(shownReport(report), null, 2));
}

function wholeNumber(option: string, value: string | undefined, fallback: number): number {
  const number = Number(value ?? fallback);
  if (Number.isInteger(number) && number >= 1 && number <= MOST_COUNT) return number;
  throw new UsageError(`--${option} takes a whole number from 1 to ${MOST_COUNT}`);
}
