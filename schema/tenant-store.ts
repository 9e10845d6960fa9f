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

/** Returns the number that a bridge's schemas end with (`app_31`, `tenon_31`), or null for a store with a database of its own. */
export function schemaNumber(store: string): string | null {
  return STORE.exec(store)?.[3] ?? null;
}

/** Returns where unqualified names are looked for in a store. */
export function searchPathOf(store: string): string {
  const number = schemaNumber(store);
  return number === null ? 'app, pg_catalog' : `app_${number}, pg_catalog`;
}

/** Names of settings stand where names of tables do, and stay. */
const QUALIFIED = /(?<!(?:current_setting|set_config)\(')(?<![\w$.])(app|tenon|graphile_worker)(?=\.["%'a-z_])/g;
const SCHEMA = /(?<=\bschema (?:if not exists )?(?:tenon, )?)(app|tenon|graphile_worker)\b(?![.\w])/g;
/** Where the catalog is asked for a schema by its name. */
const NAMED = /(?<=\b(?:nspname|schemaname) (?:= |in \()(?:'app', )?)'(app|tenon)'|'(app|tenon)'(?=::regnamespace)/g;
const CHANNEL = /\btenon(?:_changes|_deliveries| changes(?='))/g;

/**
 * Returns a statement as a store takes it: in a bridge every schema has the store's number behind its name, and so has what
 * is announced. For every other store it is the same statement.
 */
export function inStore(text: string, store: string): string {
  const number = schemaNumber(store);
  if (number === null) return text;
  return text
    .replace(QUALIFIED, `$1_${number}`)
    .replace(SCHEMA, `$1_${number}`)
    .replace(NAMED, (_, one: string | undefined, other: string) => `'${one ?? other}_${number}'`)
    .replace(CHANNEL, `$&_${number}`);
}
