import { readFileSync } from 'node:fs';
import pg from 'pg';
import { UsageError, type CommandSurroundings } from '#kit/command.ts';
import {
  dataKeyFile,
  newDataKeyFile,
  parseDataKeys,
  rewrapTenantKey,
  type DataKeys,
  type Rewrapped,
} from '#kit/data-keys.ts';
import { storeSettings, type StoreSettings } from '#kit/embedded-stores.ts';
import { dataKeyFileOf, readContextKeys } from '#kit/key-files.ts';
import { scopeClient } from '#kit/store-scope.ts';
import type { Config } from '#schema/config.ts';
import { idOf } from '#schema/ids.ts';
import { databaseToken, type ContextKeys } from '#schema/tenant-context.ts';
import { storeUrl } from '#schema/tenant-store.ts';
import { replaceFile, requireFile } from './key-file.ts';

/** What a rotation of the data key has come to. */
export interface DataRotation {
  readonly kid: string;
  /** Whether there is a new key, or an earlier rotation went on. */
  readonly isNew: boolean;
  /** Tenants whose key was wrapped anew now. */
  readonly rewrapped: number;
  /** Keys that the file still holds beside it. */
  readonly older: readonly string[];
}

/** What is done with which stores. */
export interface DataRotationOrder {
  readonly file: string;
  readonly stores: StoreSettings;
  readonly contextKeys: ContextKeys;
  /** Takes keys out of the file that no tenant needs any more. */
  readonly isForgetting?: boolean;
}

/** A tenant whose key was made meanwhile by a process that did not know the new one is met by another round. */
const MOST_ROUNDS = 5;

/** `keys rotate --data`. */
export async function rotateData(
  config: Config,
  { write, json, isForgetting }: Pick<CommandSurroundings, 'write' | 'json'> & { readonly isForgetting: boolean },
): Promise<0> {
  const file = dataKeyFileOf(config);
  requireFile(file);
  const stores = storeSettings(config)('tenon_worker');
  const rotation = await rotateDataKey({ file, stores, contextKeys: readContextKeys(config), isForgetting });
  const { kid, isNew, rewrapped, older } = rotation;
  if (json) write(JSON.stringify({ dataKey: kid, isNew, rewrapped, older }, null, 2));
  else {
    write(
      `${kid} ${isNew ? 'is new and' : 'goes on and'} wraps the keys of all tenants; ${rewrapped} were wrapped anew.`,
    );
    if (older.length > 0)
      write(`${older.join(', ')} stay in the file: backups from before need them. --forget takes them out.`);
    write('Processes read the file when they meet a key that they do not know; no restart is needed.');
  }
  return 0;
}

/**
 * Exchanges the key that wraps the keys of tenants. First the file holds the new key beside the old one, then the key of
 * each tenant is wrapped by it, in a transaction of her own; ended at any point, the next call goes on with the same key.
 * Values and keys of people stay as they are.
 */
export async function rotateDataKey(order: DataRotationOrder): Promise<DataRotation> {
  const { file, isForgetting = false } = order;
  const before = parseDataKeys(readFileSync(file, 'utf8'));
  const isBegun = (await usedKeys(order)).some((kid) => kid !== before.current.kid);
  const isNew = !isBegun && !isForgetting;
  if (isNew) await replaceFile(file, newDataKeyFile(before.all), () => Promise.resolve());
  const keys = parseDataKeys(readFileSync(file, 'utf8'));
  let rewrapped = 0;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const done = await inAllTenants(order, (client, tenant) => rewrapTenantKey(rowsOf(client), tenant, keys));
    const count = done.filter((each): each is Rewrapped => each === 'rewrapped').length;
    rewrapped += count;
    if (count === 0) break;
  }
  const { current, all } = keys;
  if (!isForgetting) return { kid: current.kid, isNew, rewrapped, older: olderOf(keys) };
  const used = new Set(await usedKeys(order));
  if (!used.has(current.kid) && used.size > 0) throw new UsageError('tenants need another key than the current one');
  const kept = all.filter((key) => key === current || used.has(key.kid));
  await replaceFile(file, dataKeyFile({ current, all: kept }), () => Promise.resolve());
  return { kid: current.kid, isNew, rewrapped, older: olderOf({ current, all: kept }) };
}

function olderOf({ current, all }: DataKeys): string[] {
  return all.filter(({ kid }) => kid !== current.kid).map(({ kid }) => kid);
}

async function usedKeys(order: DataRotationOrder): Promise<string[]> {
  const used = await inAllTenants(order, async (client) => {
    const { rows } = await client.query<{ kid: string }>(
      'select data_kid as kid from tenant_keys where wrapped is not null',
    );
    return rows[0]?.kid ?? null;
  });
  return [...new Set(used.filter((kid) => kid !== null))];
}

/** Under the context of each tenant, for nobody reads the keys of two. */
async function inAllTenants<T>(
  { stores, contextKeys }: DataRotationOrder,
  work: (client: pg.Client, tenant: `tnt_${string}`) => Promise<T>,
): Promise<T[]> {
  const done: T[] = [];
  for (const { name, database } of stores.cells) {
    const places = await withClient(stores.directoryUrl, async (client) => {
      const { rows } = await client.query<{ store: string; ids: string[] }>(
        'select store, array_agg(id::text order by id) as ids from tenants where cell = $1 group by store order by store',
        [name],
      );
      return rows;
    });
    for (const { store, ids } of places) {
      const tenants = ids.map((id) => idOf('tnt', id));
      done.push(...(await inTenantsOf(storeUrl(database, store), { store, tenants, cell: name, contextKeys }, work)));
    }
  }
  return done;
}

interface HeldTenants {
  readonly store: string;
  readonly tenants: readonly `tnt_${string}`[];
  readonly cell: string;
  readonly contextKeys: ContextKeys;
}

async function inTenantsOf<T>(
  database: string,
  { store, tenants, cell, contextKeys }: HeldTenants,
  work: (client: pg.Client, tenant: `tnt_${string}`) => Promise<T>,
): Promise<T[]> {
  const done: T[] = [];
  await withClient(database, async (client) => {
    await scopeClient(client, store);
    for (const tenant of tenants) {
      await client.query('begin');
      try {
        const token = databaseToken({ tenant, cell }, contextKeys, Date.now());
        await client.query(`select set_config('app.tenant', $1, true)`, [token]);
        done.push(await work(client, tenant));
        await client.query('commit');
      } catch (error) {
        await client.query('rollback').catch(() => undefined);
        throw error;
      }
    }
  });
  return done;
}

function rowsOf(client: pg.Client) {
  return {
    query: async <Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> =>
      (await client.query<Row>(text, [...values])).rows,
  };
}

async function withClient<T>(connectionString: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString, application_name: 'tenon-cli' });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
