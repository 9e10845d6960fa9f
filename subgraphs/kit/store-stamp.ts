import { callbackify } from 'node:util';
import type pg from 'pg';
import { fail } from '#schema/errors.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { inStore, POOL } from '#schema/tenant-store.ts';

/** Whose store a database is: the rows or the audit log of the tenants of one cell, in one region. */
export interface StoreStamp {
  readonly kind: 'cell' | 'audit';
  readonly cell: string;
  readonly region: string;
}

/** Returns the stamp that a cell's database of that kind has. */
export function stampOf({ name, region }: Pick<CellSettings, 'name' | 'region'>, kind: StoreStamp['kind']): StoreStamp {
  return { kind, cell: name, region };
}

/** Stamps a database that has no stamp yet; one with another is SERVICE_UNAVAILABLE and keeps it. */
export async function stampStore(client: pg.ClientBase, stamp: StoreStamp): Promise<void> {
  await client.query('insert into tenon.store (kind, cell, region) values ($1, $2, $3) on conflict do nothing', [
    stamp.kind,
    stamp.cell,
    stamp.region,
  ]);
  await requireStamp(client, stamp);
}

/** SERVICE_UNAVAILABLE where a database has another stamp than this; one that was never migrated passes. */
export async function refuseForeignStore(client: pg.ClientBase, stamp: StoreStamp): Promise<void> {
  const { rows } = await client.query<{ stamped: boolean }>(`select to_regclass('tenon.store') is not null as stamped`);
  if (rows[0]?.stamped !== true) return;
  const found = await readStamp(client);
  if (found !== null) compare(found, stamp);
}

/**
 * What a pool needs so that it lends no connection to another store than this one: every new connection is asked whose it
 * leads to, for an address may come to lead elsewhere while the process runs. Its error is SERVICE_UNAVAILABLE.
 */
export function onlyTo(stamp: StoreStamp, storeOf = () => POOL): object {
  return {
    verify: callbackify((client: pg.ClientBase) => requireStamp(client, stamp, storeOf())),
  };
}

/** SERVICE_UNAVAILABLE where a database has another stamp than this, or none. */
export async function requireStamp(client: pg.ClientBase, stamp: StoreStamp, store = POOL): Promise<void> {
  const found = await readStamp(client, store);
  if (found === null) fail('SERVICE_UNAVAILABLE', `the database is the store of no cell yet; run tenon migrate`);
  compare(found, stamp);
}

async function readStamp(client: pg.ClientBase, store = POOL): Promise<StoreStamp | null> {
  const { rows } = await client.query<StoreStamp>(inStore('select kind, cell, region from tenon.store', store));
  return rows[0] ?? null;
}

function compare(found: StoreStamp, stamp: StoreStamp): void {
  if (found.kind === stamp.kind && found.cell === stamp.cell && found.region === stamp.region) return;
  fail('SERVICE_UNAVAILABLE', `the address of ${told(stamp)} leads to ${told(found)}`);
}

function told({ kind, cell, region }: StoreStamp): string {
  return `the ${kind === 'cell' ? 'tenant' : 'audit'} database of ${cell} in ${region}`;
}
