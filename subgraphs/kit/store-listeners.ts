import type { StorePlace } from '#schema/tenant-store.ts';
import { storeKey } from '#schema/tenant-store.ts';
import type { ChangeListener } from './change-listener.ts';

/** Listeners to stores beside the pools: open while somebody asks about them. */
export interface StoreListeners {
  /** Returns the listener of a store, or null while it is being opened. */
  find(place: StorePlace): ChangeListener | null;
  /** Those that are open, by `storeKey`. */
  open(): ReadonlyMap<string, ChangeListener>;
  close(): Promise<void>;
}

/** A store that nobody asked about for so long is not listened to: each costs a connection. */
const IDLE_MS = 60_000;
/** Beyond so many, the one that was asked about longest ago is closed first; to the others nothing is remembered. */
const MOST_OPEN = 64;

interface Entry {
  listener: ChangeListener | null;
  readonly opening: Promise<ChangeListener | null>;
  askedMs: number;
}

/** Returns listeners, none of them open; `listen` opens one, or returns null where there is no such store. */
export function newStoreListeners(listen: (place: StorePlace) => Promise<ChangeListener> | null): StoreListeners {
  /** Those that were asked about longest ago come first. */
  const entries = new Map<string, Entry>();
  const drop = (key: string, { opening }: Entry) => {
    entries.delete(key);
    return opening.then((listener) => listener?.close());
  };
  const timer = setInterval(() => {
    for (const [key, entry] of entries) if (performance.now() - entry.askedMs > IDLE_MS) drop(key, entry).catch(ignore);
  }, IDLE_MS / 4).unref();
  return {
    find: (place) => {
      const key = storeKey(place);
      const known = entries.get(key);
      const entry = known ?? openEntry(() => listen(place));
      entries.delete(key);
      entries.set(key, entry);
      entry.askedMs = performance.now();
      const [oldest] = entries;
      if (entries.size > MOST_OPEN && oldest !== undefined) drop(...oldest).catch(ignore);
      return entry.listener;
    },
    open: () =>
      new Map([...entries].flatMap(([key, { listener }]) => (listener === null ? [] : [[key, listener] as const]))),
    close: async () => {
      clearInterval(timer);
      await Promise.all([...entries].map(([key, entry]) => drop(key, entry)));
    },
  };
}

function openEntry(listen: () => Promise<ChangeListener> | null): Entry {
  const opening = Promise.resolve(listen()).catch(() => null);
  const entry: Entry = { listener: null, opening, askedMs: 0 };
  void opening.then((listener) => (entry.listener = listener));
  return entry;
}

function ignore(): void {}
