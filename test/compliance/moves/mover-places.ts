import { join } from 'node:path';
import { openDatabases } from '#kit/database.ts';
import type { Platform } from '#kit/request-context.ts';
import { readConfig } from '#schema/config.ts';
import { subgraphs } from '#subgraphs';
import { filesystemArchive } from '../../../compliance/archive/filesystem.ts';
import type { MoverOptions, MoveStep } from '../../../compliance/moves/mover.ts';
import type { WorkerCell } from '../../../compliance/worker.ts';
import { CONTEXT_KEYS } from '../../support/context-keys.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';
import type { TestStores } from '../../support/databases.ts';
import { TEST_SIGNING_KEY } from '../../support/signing-key.ts';

/** The stores as one role, and the folder of the archives. */
export interface MoverPlaces extends ReturnType<TestStores['settingsFor']> {
  readonly folder: string;
}

/** What a process that drives a move is told. */
export interface MoverTask {
  readonly places: MoverPlaces;
  /** UUID. */
  readonly move: string;
  /** Where it says so and goes no further. */
  readonly step: MoveStep;
}

/** Opens what drives moves; the databases of its platform are the caller's to close. */
export async function openMover({ folder, ...settings }: MoverPlaces): Promise<MoverOptions> {
  const clock = () => new Date();
  const cells: WorkerCell[] = await Promise.all(
    settings.cells.map(async (cell) => ({
      ...cell,
      archive: await filesystemArchive({ folder: join(folder, cell.name), clock }),
    })),
  );
  return { platform: await openPlatform(settings), cells, signer: TEST_SIGNING_KEY, retentionMs: 60_000 };
}

/** Opens the stores as the role that the settings are for; its databases are the caller's to close. */
export async function openPlatform(settings: ReturnType<TestStores['settingsFor']>): Promise<Platform> {
  const databases = await openDatabases({
    ...settings,
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: subgraphs.flatMap(({ entities }) => entities),
    poolSize: 6,
  });
  return { config: readConfig({}), databases, clock: () => new Date(), publicUrl: 'http://tenon.test' };
}
