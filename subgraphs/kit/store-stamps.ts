import { schemaNumber } from '#schema/tenant-store.ts';
import type { Databases } from './database.ts';

/** The tables that somebody drains or goes over without a tenant's context: what is written elsewhere is nobody's business. */
export const DRAINED_TABLES = [
  'outbox',
  'sequenced_events',
  'mutation_notes',
  'jobs',
  'security_event_deliveries',
  'security_event_receivers',
  'audit_streams',
  'retention_policies',
  'legal_holds',
  'privacy_requests',
] as const;

interface Bridge {
  /** Of the whole database. */
  readonly stamp: string;
  /** By number of the schemas. */
  readonly ofSchemas: ReadonlyMap<string, string>;
}

/**
 * Returns the function that reads, for stores of a cell, texts that change with every write: one statement of the cell's own
 * database for all of them, and one more for each database of a bridge that something was written in since.
 */
export function newStamps(
  databases: Databases,
  cell: string,
): (names: readonly string[]) => Promise<ReadonlyMap<string, string>> {
  const bridges = new Map<string, Bridge>();
  return async (names) => {
    const sums = await readSums(databases, cell);
    const stamps = new Map<string, string>();
    for (const name of names) {
      const number = schemaNumber(name);
      const database = number === null ? name : name.slice(0, -number.length - 1);
      const sum = sums.get(database);
      if (sum === undefined) continue;
      const last = bridges.get(database);
      const isKnown = number === null || last?.stamp === sum;
      if (!isKnown)
        bridges.set(database, { stamp: sum, ofSchemas: await readSchemas(databases, { cell, store: name }) });
      const stamp = number === null ? sum : bridges.get(database)?.ofSchemas.get(number);
      if (stamp !== undefined) stamps.set(name, stamp);
    }
    return stamps;
  };
}

/** Sums of every database of the server that belongs to the cell: a transaction in a store has its own written at its end. */
async function readSums(databases: Databases, cell: string): Promise<ReadonlyMap<string, string>> {
  const rows = await databases.tenantSource(cell).query<{ name: string; stamp: string }[]>(
    `select substr(datname, length(current_database()) + 2) as name,
            concat_ws('/', tup_inserted, tup_updated, tup_deleted, stats_reset) as stamp
       from pg_stat_database where starts_with(datname, current_database() || '_')`,
  );
  return new Map(rows.map(({ name, stamp }) => [name, stamp]));
}

async function readSchemas(
  databases: Databases,
  place: { readonly cell: string; readonly store: string },
): Promise<ReadonlyMap<string, string>> {
  const { pool, giveBack } = await databases.stores.lend(place);
  try {
    const { rows } = await pool.query<{ number: string; stamp: string }>(
      `select substr(n.nspname, 5) as number, string_agg(concat_ws('/', pg_stat_get_tuples_inserted(c.oid),
                pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid)), ' ' order by c.relname) as stamp
         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relname = any($1) and c.relkind = 'r' and n.nspname ~ '^app_[0-9]+$' group by 1`,
      [[...DRAINED_TABLES]],
    );
    return new Map(rows.map(({ number, stamp }) => [number, stamp]));
  } finally {
    giveBack();
  }
}
