import type { CellSettings } from '#schema/setting-readers.ts';
import { idOf, type Id } from '#schema/ids.ts';
import { isPool, POOL, storeKey, storeUrl, type StorePlace } from '#schema/tenant-store.ts';
import type { Databases } from './database.ts';
import { openChangeListener, type ChangeListener } from './change-listener.ts';
import { newStoreListeners } from './store-listeners.ts';

/** What a change in a cell may be about; a revocation is told beside the change of credentials that it is. */
export const CHANGE_TOPICS = ['credentials', 'limits', 'operations', 'revocations'] as const;
/** What a change is about; `places` where tenants live, which the directory tells. */
export type ChangeTopic = (typeof CHANGE_TOPICS)[number] | 'places';

/** One committed change; a null tenant means every tenant of the store. */
export interface Change {
  /** The `storeKey` of where it was committed: the name of a cell, for its pool; empty for a change of places. */
  readonly cell: string;
  readonly tenant: Id<'tnt'> | null;
  readonly topic: ChangeTopic;
  /** UUID of the revocation that it is, for a gateway to say that it is in force here. */
  readonly revocation?: string;
}

/** News of committed changes, for caches to drop what is no longer true. */
export interface ChangeFeed {
  /**
   * True while every committed change of the cell's store arrives here; a cache must not be used while it is false. What
   * was committed 750 ms ago has been told where it is true, whatever was lost between the database and this process. To
   * a store beside the pool it begins to listen when it is asked about, and ends a minute after it was asked last.
   */
  isLive(place: StorePlace): boolean;
  /**
   * Calls the listener at every change, in order, until the returned function is called. When a feed comes back after a
   * loss, it tells of every topic with a null tenant before it is live again. A listener must not throw.
   */
  subscribe(listener: (change: Change) => void): () => void;
  /**
   * Resolves when the listeners have had every change of the store that was committed before this call: one round trip,
   * shared by those who wait together. Null waits for all stores and the directory. A feed that is not live holds nobody
   * up, since nobody relies on it.
   */
  caughtUp(place: StorePlace | null): Promise<void>;
  close(): Promise<void>;
}

/** What the feed listens to. */
export interface ChangeFeedOptions {
  /** A change of budgets of tiers is told as one of every cell, a change of places once. */
  readonly directoryUrl: string;
  /** With addresses that do not lead through a pooler of transactions, which loses messages. */
  readonly cells: readonly Pick<CellSettings, 'name' | 'database'>[];
}

/**
 * Opens the feed: one connection a database, which comes back by itself after a loss and is given up within seconds when
 * it falls silent. A database that does not answer now makes its cell not live, and nothing else.
 */
export async function openChangeFeed({ directoryUrl, cells }: ChangeFeedOptions): Promise<ChangeFeed> {
  const subscribers = new Set<(change: Change) => void>();
  const tell = (change: Change) => subscribers.forEach((listener) => listener(change));
  const ofCells = await Promise.all(
    cells.map(async ({ name, database }) => [name, await listenTo({ cell: name }, database, tell)] as const),
  );
  const pools = new Map<string, ChangeListener>(ofCells);
  const stores = newStoreListeners((place) => {
    const cell = cells.find(({ name }) => name === place.cell);
    return cell === undefined ? null : listenTo(place, storeUrl(cell.database, place.store ?? POOL), tell);
  });
  const tellAll = () =>
    [...pools.keys(), ...stores.open().keys()].forEach((cell) => tell({ cell, tenant: null, topic: 'limits' }));
  const directory = await openChangeListener({
    url: directoryUrl,
    onMessage: (payload) => {
      const place = PLACE.exec(payload)?.[1];
      if (place === undefined) tellAll();
      else tell({ cell: '', tenant: idOf('tnt', place), topic: 'places' });
    },
    onRestart: () => {
      tellAll();
      tell({ cell: '', tenant: null, topic: 'places' });
    },
    isCounted: false,
  });
  const all = () => [directory, ...pools.values(), ...stores.open().values()];
  const listenerOf = (place: StorePlace) => (isPool(place) ? pools.get(place.cell) : stores.find(place));
  return {
    isLive: (place) => listenerOf(place)?.isLive() === true,
    subscribe: (listener) => {
      subscribers.add(listener);
      return () => void subscribers.delete(listener);
    },
    caughtUp: async (place) => {
      if (place !== null) return listenerOf(place)?.caughtUp();
      await Promise.all(all().map((listener) => listener.caughtUp()));
    },
    close: async () => {
      await Promise.all([stores.close(), ...all().map((listener) => listener.close())]);
    },
  };
}

/** Opens the feed of the stores that a process works with; see `openChangeFeed`. */
export async function changeFeedOf({ directory, cells }: Pick<Databases, 'directory' | 'cells'>): Promise<ChangeFeed> {
  const { connectionString } = directory.options;
  if (connectionString === undefined) throw new Error('the directory was opened without an address');
  return openChangeFeed({ directoryUrl: connectionString, cells });
}

function listenTo(place: StorePlace, url: string, tell: (change: Change) => void): Promise<ChangeListener> {
  const cell = storeKey(place);
  return openChangeListener({
    url,
    store: place.store ?? POOL,
    isCounted: true,
    onMessage: (payload) => {
      const change = readMessage(cell, payload);
      if (change !== null) tell(change);
    },
    onRestart: () => CHANGE_TOPICS.forEach((topic) => tell({ cell, tenant: null, topic })),
  });
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const PLACE = /^places ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/**
 * `<topic> <tenant uuid> <number> <revocation uuid>`, the last where there is one. Another tenant than a UUID stands for
 * all, a topic of a newer program for nothing.
 */
function readMessage(cell: string, payload: string): Change | null {
  const [name, tenant = '', , revocation = ''] = payload.split(' ');
  const topic = CHANGE_TOPICS.find((known) => known === name);
  if (topic === undefined) return null;
  const change = { cell, tenant: UUID.test(tenant) ? idOf('tnt', tenant) : null, topic };
  return UUID.test(revocation) ? { ...change, revocation } : change;
}
