import pg from 'pg';
import { CATALOG_RULES, lintSnapshot } from '#kit/catalog-lint.ts';
import { catalogFingerprint, snapshotCatalog } from '#kit/catalog-snapshot.ts';
import type { SettingsFor, StoreDatabase } from '#kit/embedded-stores.ts';
import { scopeClient } from '#kit/store-scope.ts';
import { reachableDatabasesOf } from '#kit/store-setup.ts';
import { assessVersion } from '#kit/postgres-version.ts';
import type { ContextKeys } from '#schema/tenant-context.ts';
import { POOL } from '#schema/tenant-store.ts';
import { runAttacks, type Place } from './ground.ts';

/** What was asked of a store. */
export interface IsolationCheck {
  /** `version`, the name of a rule of the catalog, or `attack` with the number of its vector. */
  readonly check: string;
  /** Who asked; null where that does not matter. */
  readonly role: string | null;
  readonly verdict: 'pass' | 'fail' | 'cannot say';
  /** What holds, or what does not. */
  readonly sentence: string;
}

/** One database and all that was asked of it. */
export interface ExaminedStore {
  readonly store: string;
  readonly postgresql: string;
  /** SHA-256 of all that decides who sees which row (object-hash); null of a directory, which has no tenant's rows. */
  readonly catalogSha256: string | null;
  readonly checks: readonly IsolationCheck[];
}

/** The stores of a deployment and what their databases believe. */
export interface IsolationOrder {
  readonly settingsFor: SettingsFor;
  readonly keys: ContextKeys;
  readonly clock: () => Date;
}

const TIMEOUT_MS = 60_000;
/** An attack waits for nobody's lock, and one that got through would hold its own no longer than this. */
const ATTACK_TIMEOUT_MS = 10_000;
const ROLES = ['tenon_app', 'tenon_worker'] as const;

/**
 * Examines every store of a deployment as it runs: version, every rule of the catalog, and every attack by each of the
 * roles that programs have. Nothing is kept: what is written is rolled back. A store that is away is `cannot say`.
 */
export async function* examineIsolation({ settingsFor, keys, clock }: IsolationOrder): AsyncGenerator<ExaminedStore> {
  for (const database of await reachableDatabasesOf(settingsFor('tenon_app'))) {
    try {
      const examined = await withStore(database, examineCatalog(database));
      const checks = [...examined.checks];
      if (database.kind !== 'directory' && database.cell !== null) {
        const { name, kind, cell } = database;
        const all = await Promise.all(ROLES.map((role) => reachableDatabasesOf(settingsFor(role))));
        for (const url of new Set(all.map((databases) => databases.find((one) => one.name === name)?.url))) {
          if (url === undefined) continue;
          const at = { kind, cell: cell.name, keys, now: clock() };
          checks.push(...(await withStore({ ...database, url }, (client) => attackFrom(client, at))));
        }
      }
      yield { ...examined, checks };
    } catch (error) {
      const sentence = `the store cannot be examined: ${error instanceof Error ? error.message : String(error)}`;
      const check = { check: 'connection', role: null, verdict: 'cannot say' as const, sentence };
      yield { store: database.name, postgresql: '', catalogSha256: null, checks: [check] };
    }
  }
}

function withStore<T>(
  { url, store = POOL }: Pick<StoreDatabase, 'url' | 'store'>,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  return withClient(url, async (client) => {
    await scopeClient(client, store);
    return work(client);
  });
}

function examineCatalog({ name, kind }: StoreDatabase): (client: pg.Client) => Promise<ExaminedStore> {
  return async (client) => {
    const { rows } = await client.query<{ version: string; number: number }>(
      `select current_setting('server_version') as version, current_setting('server_version_num')::int as number`,
    );
    const { ok, sentence } = assessVersion(Number(rows[0]?.number));
    const version = { check: 'version', role: null, verdict: verdictOf(ok), sentence };
    const store = { store: name, postgresql: rows[0]?.version ?? '' };
    // The directory is one list for routing, which no tenant reads: there are no rows of tenants to keep apart.
    if (kind === 'directory') return { ...store, catalogSha256: null, checks: [version] };
    const catalog = await snapshotCatalog(client);
    const faults = lintSnapshot(catalog);
    const rules = CATALOG_RULES.map(({ name: rule, requirement }) => {
      const found = faults.filter((fault) => fault.rule === rule).map((fault) => fault.sentence);
      const said = found.length === 0 ? requirement : found.join(' ');
      return { check: `catalog: ${rule}`, role: null, verdict: verdictOf(found.length === 0), sentence: said };
    });
    return { ...store, catalogSha256: catalogFingerprint(catalog), checks: [version, ...rules] };
  };
}

/** Where addresses are given, one role has them; embedded, each has its own. */
async function attackFrom(
  client: pg.Client,
  at: Pick<Place, 'kind' | 'cell'> & { readonly keys: ContextKeys; readonly now: Date },
): Promise<IsolationCheck[]> {
  const { rows } = await client.query<{ name: string }>('select session_user as name');
  const login = ROLES.find((known) => known === rows[0]?.name);
  if (login === undefined) {
    const sentence = `attacks are made by ${ROLES.join(' or ')}, and the address is of ${rows[0]?.name}`;
    return [{ check: 'attacks', role: rows[0]?.name ?? null, verdict: 'cannot say', sentence }];
  }
  const checks = await attackAs(client, { ...at, role: login });
  // What the application steps down to while an operator acts whom a tenant let in.
  return login === 'tenon_app' ? [...checks, ...(await attackAs(client, { ...at, role: 'tenon_support' }))] : checks;
}

async function attackAs(
  client: pg.Client,
  at: Place & { readonly keys: ContextKeys; readonly now: Date },
): Promise<IsolationCheck[]> {
  const { role } = at;
  await client.query('begin');
  try {
    if (role === 'tenon_support') await client.query('set local role tenon_support');
    await client.query(`set local statement_timeout = ${ATTACK_TIMEOUT_MS}`);
    await client.query(`set local lock_timeout = ${ATTACK_TIMEOUT_MS / 10}`);
    return (await runAttacks(client, at)).map(({ vector, sentence, fault, verdict }) => ({
      check: `attack ${vector}`,
      role,
      verdict,
      sentence: fault === null ? sentence : `It should be so: ${sentence} But ${fault}`,
    }));
  } finally {
    await client.query('rollback');
  }
}

function verdictOf(isKept: boolean): 'pass' | 'fail' {
  return isKept ? 'pass' : 'fail';
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 5_000,
    statement_timeout: TIMEOUT_MS,
    application_name: 'tenon-doctor',
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
