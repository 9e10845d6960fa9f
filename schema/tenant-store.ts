import { fail } from './errors.ts';

/** How a tenant's rows lie: among others', in a schema of her own, or in a database of her own. */
export const PLACEMENTS = ['pool', 'bridge', 'silo'] as const;
/** How a tenant's rows lie. */
export type Placement = (typeof PLACEMENTS)[number];

/** The name of a cell's store for all whom no other one was made for: the tenant database of its settings. */
export const POOL = 'pool';

/** A store of a cell; absent it is the pool. */
export interface StorePlace {
  readonly cell: string;
  readonly store?: string | undefined;
}

const STORE = /^(?:silo_([1-9]\d{0,5})|bridge_([1-9]\d{0,5})_([1-9]\d{0,5}))$/;

/** Returns how tenants lie in the store of a name: `pool`, `silo_7`, `bridge_2_31`; any other name is a fault of ours. */
export function placementOf(store: string): Placement {
  if (store === POOL) return 'pool';
  const [, silo] = STORE.exec(store) ?? fail('INTERNAL_SERVER_ERROR', `no store is named ${store}`);
  return silo === undefined ? 'bridge' : 'silo';
}

/** Returns one text for a cell's store, which for the pool is the name of the cell. */
export function storeKey({ cell, store = POOL }: StorePlace): string {
  return store === POOL ? cell : `${cell}/${store}`;
}

/** Tells whether a place is the pool of its cell. */
export function isPool({ store = POOL }: StorePlace): boolean {
  return store === POOL;
}

/**
 * Returns the address of a store's database: that of the cell's tenant database, whose name the store's is appended to
 * (`cell_eu_1` has `cell_eu_1_silo_7`). The stores of a bridge's database share it.
 */
export function storeUrl(cellUrl: string, store: string): string {
  if (placementOf(store) === 'pool') return cellUrl;
  const url = new URL(cellUrl);
  url.pathname = `${url.pathname}_${databaseSuffix(store)}`;
  return url.href;
}

function databaseSuffix(store: string): string {
  const [, , bridge] = STORE.exec(store) ?? [];
  return bridge === undefined ? store : `bridge_${bridge}`;
}
