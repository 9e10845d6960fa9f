import { afterAll } from 'vitest';
import { openDatabases } from '#kit/database.ts';
import type { Platform } from '#kit/request-context.ts';
import { identity } from '../../../subgraphs/identity/index.ts';
import { takeTurn } from '../../../subgraphs/identity/upkeep/turn.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';
import { CONTEXT_KEYS } from '../../support/databases.ts';
import type { IdentityPlatform } from './identity-platform.ts';

/** Opens the platform as a worker process has it; closed when the test file ends. */
export async function openUpkeepWorker(world: IdentityPlatform): Promise<Platform> {
  const databases = await openDatabases({
    ...world.stores.settingsFor('tenon_worker', 'file:///nowhere'),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: [...identity.entities],
    poolSize: 4,
  });
  afterAll(() => databases.close());
  return { ...world.platform, databases };
}

/** Takes a turn in a cell; tells whether no other process was at it. */
export async function turnIn(platform: Platform, name: 'eu-1' | 'us-1' = 'eu-1'): Promise<boolean> {
  const cell = platform.databases.cells.find((known) => known.name === name);
  if (cell === undefined) throw new Error('it is one of the cells');
  return takeTurn({ platform, cell, signal: new AbortController().signal });
}
