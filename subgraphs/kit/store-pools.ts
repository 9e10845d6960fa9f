import type pg from 'pg';
import { fail } from '#schema/errors.ts';
import type { CellSettings, StoreBudget } from '#schema/setting-readers.ts';
import { schemaNumber, storeKey, storeUrl } from '#schema/tenant-store.ts';

/** Where a store is, and how many connections a pool may have to its database. */
export interface StoreAddress {
  readonly cell: CellSettings;
  readonly store: string;
  readonly url: string;
  readonly most: number;
}

/** The same of a database, in which other stores may come and go. */
export interface OpenAddress extends Omit<StoreAddress, 'store'> {
  /** The store that was asked for last, and so one that is there. */
  readonly latest: () => string;
}

/** What the pools of stores are made of. */
export interface StorePoolOptions {
  readonly cells: readonly CellSettings[];
  readonly budget: StoreBudget;
  /** Opens a pool to a database of a cell; its connections are made when they are needed. */
  readonly open: (address: OpenAddress) => pg.Pool;
  /** Passes a store that this program may work with, else throws; asked when its database is opened. */
  readonly admit: (place: { readonly cell: string; readonly store: string }) => Promise<void>;
}

/** A pool that stays open until it is given back. */
export interface LentPool {
  readonly pool: pg.Pool;
  readonly giveBack: () => void;
}

/** The pools of the stores that are in use, within a budget. */
export interface StorePools {
  /**
   * Lends the pool of a store, opened where it is not. Where the cell's budget is spent, the one that nobody has used for
   * the longest time is closed first; where all are in use it waits for one, SERVICE_UNAVAILABLE after a while.
   */
  lend(place: { readonly cell: string; readonly store: string }): Promise<LentPool>;
  /** How many connections the open pools of a cell may have. */
  reserved(cell: string): number;
  /** Closes all, once what they are lent for has ended. */
  close(): Promise<void>;
}

const WAIT_MS = 5_000;

interface OpenPool {
  readonly cell: string;
  /** Connections that it may have. */
  readonly most: number;
  readonly pool: pg.Pool;
  readonly latest: { store: string };
  users: number;
}

interface Shelf {
  /** The least recently used first. */
  readonly pools: Map<string, OpenPool>;
  readonly reserved: Map<string, number>;
  /** Who waits for room, first come first. */
  waiting: (() => void)[];
}

/** Returns the pools, none of them open. */
export function createStorePools(options: StorePoolOptions): StorePools {
  const shelf: Shelf = { pools: new Map(), reserved: new Map(), waiting: [] };
  const known = new Set<string>();
  const admitted = async (place: { readonly cell: string; readonly store: string }) => {
    if (known.has(storeKey(place))) return;
    await options.admit(place);
    known.add(storeKey(place));
  };
  return {
    lend: async (place) => {
      await admitted(place);
      const address = addressOf(options, place);
      const untilMs = performance.now() + (options.budget.waitMs ?? WAIT_MS);
      for (;;) {
        const open = take(shelf, address) ?? openPool(shelf, options, address);
        if (open !== null) return { pool: open.pool, giveBack: giverOf(shelf, open) };
        closeIdle(shelf, address.cell.name);
        await room(shelf, untilMs - performance.now());
      }
    },
    reserved: (cell) => shelf.reserved.get(cell) ?? 0,
    close: async () => {
      const all = [...shelf.pools.values()];
      shelf.pools.clear();
      shelf.reserved.clear();
      await Promise.all(all.map(({ pool }) => pool.end()));
    },
  };
}

function addressOf(
  { cells, budget }: StorePoolOptions,
  place: { readonly cell: string; readonly store: string },
): StoreAddress {
  const cell = cells.find(({ name }) => name === place.cell);
  if (cell === undefined) return fail('SERVICE_UNAVAILABLE', `this process does not serve the cell ${place.cell}`);
  const most = schemaNumber(place.store) === null ? budget.perSilo : budget.perBridge;
  return { url: storeUrl(cell.database, place.store), cell, store: place.store, most };
}

function take(shelf: Shelf, { url, store }: StoreAddress): OpenPool | null {
  const open = shelf.pools.get(url);
  if (open === undefined) return null;
  shelf.pools.delete(url);
  shelf.pools.set(url, open);
  open.users += 1;
  open.latest.store = store;
  return open;
}

function openPool(shelf: Shelf, { open, budget }: StorePoolOptions, address: StoreAddress): OpenPool | null {
  const { url, most } = address;
  const cell = address.cell.name;
  const reserved = shelf.reserved.get(cell) ?? 0;
  if (reserved > 0 && reserved + most > budget.perCell) return null;
  shelf.reserved.set(cell, reserved + most);
  const latest = { store: address.store };
  const pool = open({ cell: address.cell, url, most, latest: () => latest.store });
  const opened = { cell, most, pool, latest, users: 1 };
  shelf.pools.set(url, opened);
  return opened;
}

/** Begins to close the least recently used pool of a cell that nobody uses; there is room once its connections are gone. */
function closeIdle(shelf: Shelf, cell: string): void {
  const [url, idle] = [...shelf.pools].find(([, open]) => open.cell === cell && open.users === 0) ?? [];
  if (url === undefined || idle === undefined) return;
  shelf.pools.delete(url);
  const gone = () => {
    shelf.reserved.set(cell, (shelf.reserved.get(cell) ?? 0) - idle.most);
    wake(shelf);
  };
  idle.pool.end().then(gone, gone);
}

function giverOf(shelf: Shelf, open: OpenPool): () => void {
  let given = false;
  return () => {
    if (given) return;
    given = true;
    open.users -= 1;
    if (open.users === 0) wake(shelf);
  };
}

function wake(shelf: Shelf): void {
  for (const resolve of shelf.waiting.splice(0)) resolve();
}

async function room(shelf: Shelf, waitMs: number): Promise<void> {
  if (waitMs <= 0) fail('SERVICE_UNAVAILABLE', 'all connections to stores of the cell are in use');
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, waitMs);
    shelf.waiting.push(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
