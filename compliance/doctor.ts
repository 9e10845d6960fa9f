import pg from 'pg';
import { DATABASE_KINDS, sqlPath, type DatabaseRole } from '#kit/database-setup.ts';
import { lintCatalog, type CatalogFault } from '#kit/catalog-lint.ts';
import { sqlState } from '#kit/database.ts';
import { storeSettings, type SettingsFor, type StoreDatabase } from '#kit/embedded-stores.ts';
import { scopeClient } from '#kit/store-scope.ts';
import { reachableDatabasesOf } from '#kit/store-setup.ts';
import { migrationStatus } from '#kit/migrations.ts';
import { assessVersion } from '#kit/postgres-version.ts';
import { requireStamp, stampOf } from '#kit/store-stamp.ts';
import type { Config } from '#schema/config.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { databaseToken, type ContextKeys } from '#schema/tenant-context.ts';
import { POOL } from '#schema/tenant-store.ts';
import { selfTestArchive } from './archive-self-test.ts';
import { openCellArchive } from './archive/cell-archive.ts';
import { archiveCredentials } from './archive/open.ts';
import { LOG_EXAMINATIONS, type Finding, type LogLook } from './doctor-logs.ts';

/** One thing that was looked at. */
export interface Examination {
  readonly check: string;
  /** The database, archive or file; empty where the check has one subject alone. */
  readonly subject: string;
  /** `skip`: the role of the given address may not see it. */
  readonly status: 'ok' | 'warn' | 'fail' | 'skip';
  readonly sentence: string;
}

/** What is examined. */
export interface Patient {
  readonly config: Config;
  readonly keys: ContextKeys;
  readonly clock: () => Date;
}

/** The program runs on these (package.json `engines`). */
const NODE = { from: [20, 19], below: 25 } as const;
/** Sessions, tokens and the order of events lean on clocks; machines that keep time are within a second. */
const MAX_SKEW_MS = 2_000;
const CONNECT_TIMEOUT_MS = 5_000;
const PERMISSION_DENIED = '42501';

/** Says whether this version of Node.js is one that the program runs on. */
export function examineNode(version = process.versions.node): Examination {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < NODE.from[0] || (major === NODE.from[0] && minor < NODE.from[1]);
  const row = { check: 'node', subject: '' };
  if (isOld || major >= NODE.below) {
    return {
      ...row,
      status: 'fail',
      sentence: `Node.js ${version} is not supported; ${NODE.from.join('.')} up to ${NODE.below - 1} is.`,
    };
  }
  return { ...row, status: 'ok', sentence: `Node.js ${version}` };
}

/** Yields what was found of the databases and archives, one thing after the other; only stores that are away are a throw. */
export async function* examineStores(patient: Patient): AsyncGenerator<Examination> {
  const settingsFor = storeSettings(patient.config);
  const servers = new Set<string>();
  for (const database of await reachableDatabasesOf(settingsFor('tenon_owner'))) {
    const server = new URL(database.url).host;
    yield* examineDatabase(patient, { ...database, isFirstOfServer: !servers.has(server) });
    servers.add(server);
  }
  for (const database of (await reachableDatabasesOf(settingsFor('tenon_app'))).filter(
    ({ kind }) => kind !== 'directory',
  )) {
    yield await examined('context keys', database.name, () =>
      withClient(database.url, async (client) => {
        await scopeClient(client, database.store ?? POOL);
        return contextKeysOf(client, database, patient);
      }),
    );
  }
  for (const cell of cellsFor(settingsFor, 'tenon_worker')) yield* examineCell(patient, cell);
}

function cellsFor(settingsFor: SettingsFor, role: DatabaseRole): readonly CellSettings[] {
  return settingsFor(role).cells;
}

async function* examineDatabase(
  { config, clock }: Patient,
  database: StoreDatabase & { readonly isFirstOfServer: boolean },
): AsyncGenerator<Examination> {
  const client = new pg.Client({
    connectionString: database.url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'tenon-doctor',
  });
  client.on('error', () => undefined);
  const look = (check: string, work: () => Promise<Finding>) => examined(check, database.name, work);
  try {
    const reached = await look('connection', async () => {
      await client.connect();
      await scopeClient(client, database.store ?? POOL);
      const { rows } = await client.query<{ role: string }>('select current_user as role');
      return { status: 'ok', sentence: `reached as ${rows[0]?.role}` };
    });
    yield reached;
    if (reached.status === 'fail') return;
    if (database.isFirstOfServer) {
      yield await look('postgresql', () => versionOf(client, config));
      yield await look('clock', () => skewOf(client, clock));
      yield await look('moves', () => movableOf(client));
    }
    yield await look('migrations', () => migrationsOf(client, database));
    const { kind, cell } = database;
    if (kind === 'directory' || cell === null) return;
    yield await look('store', async () => {
      await requireStamp(client, stampOf(cell, kind));
      return { status: 'ok', sentence: `belongs to ${cell.name} in ${cell.region}` };
    });
    const faults = await catalogFaults(client);
    yield await look('roles', async () =>
      judgeFaults(await faults((rule) => ROLE_RULES.has(rule)), 'no role may step around row security'),
    );
    yield await look('catalog', async () =>
      judgeFaults(await faults((rule) => !ROLE_RULES.has(rule)), 'every table, view and function keeps tenants apart'),
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** The rules of the catalog lint about what the roles themselves are. */
const ROLE_RULES: ReadonlySet<string> = new Set(['roles', 'memberships']);

/** Without it tenants live there and stay there. */
async function movableOf(client: pg.Client): Promise<Finding> {
  const { rows } = await client.query<{ level: string; free: number }>(
    `select current_setting('wal_level') as level,
            current_setting('max_replication_slots')::integer - (select count(*) from pg_replication_slots)::integer as free`,
  );
  const { level = '', free = 0 } = rows[0] ?? {};
  if (level !== 'logical')
    return { status: 'warn', sentence: `no tenant can leave: wal_level is ${level}, not logical` };
  if (free < SLOTS_OF_A_MOVE)
    return { status: 'warn', sentence: `${free} replication slots are free; a move takes two` };
  return { status: 'ok', sentence: `wal_level is logical, ${free} replication slots are free` };
}

const SLOTS_OF_A_MOVE = 2;

async function versionOf(client: pg.Client, { profile }: Config): Promise<Finding> {
  const { rows } = await client.query<{ version: number }>(
    `select current_setting('server_version_num')::int as version`,
  );
  const { ok, sentence } = assessVersion(Number(rows[0]?.version));
  if (ok) return { status: 'ok', sentence };
  // Embedded mode warns at its start and goes on: its tenants are made up.
  return { status: profile === 'production' ? 'fail' : 'warn', sentence };
}

async function skewOf(client: pg.Client, clock: () => Date): Promise<Finding> {
  const before = clock().getTime();
  const { rows } = await client.query<{ now: Date }>('select clock_timestamp() as now');
  const after = clock().getTime();
  const now = rows[0]?.now.getTime() ?? Number.NaN;
  const skewMs = Math.round(now - (before + after) / 2);
  const sentence = `${Math.abs(skewMs)} ms apart from the clock of this machine`;
  return { status: Math.abs(skewMs) <= MAX_SKEW_MS + (after - before) / 2 ? 'ok' : 'fail', sentence };
}

async function migrationsOf(client: pg.Client, { kind }: StoreDatabase): Promise<Finding> {
  const statuses = await Promise.all(
    DATABASE_KINDS[kind].map((folder) => migrationStatus({ client, folder: sqlPath(folder) })),
  );
  const fault = statuses.find((status) => status.fault !== null)?.fault;
  if (fault !== undefined && fault !== null) return { status: 'fail', sentence: fault };
  const pending = statuses.flatMap((status) => status.pending);
  if (pending.length > 0) return { status: 'fail', sentence: `${pending.join(', ')} not applied; run tenon migrate` };
  return {
    status: 'ok',
    sentence: `${statuses.reduce((sum, { applied }) => sum + applied.length, 0)} applied, none is waiting`,
  };
}

/** The catalog is read once; a fault of reading shows in every row that needed it. */
async function catalogFaults(
  client: pg.Client,
): Promise<(wanted: (rule: string) => boolean) => Promise<CatalogFault[]>> {
  const reading = lintCatalog(client);
  await reading.catch(() => undefined);
  return async (wanted) => (await reading).filter(({ rule }) => wanted(rule));
}

function judgeFaults(faults: readonly CatalogFault[], good: string): Finding {
  const [first] = faults;
  if (first === undefined) return { status: 'ok', sentence: good };
  const more = faults.length === 1 ? '' : ` (and ${faults.length - 1} more)`;
  return { status: 'fail', sentence: `${first.sentence}${more}` };
}

/** Shows a token for a tenant that does not exist: only the signature is looked at. */
async function contextKeysOf(client: pg.Client, { cell }: StoreDatabase, { keys, clock }: Patient): Promise<Finding> {
  const tenant = mintId('tnt');
  const good = { status: 'ok' as const, sentence: `${keys.signing.kid} signs and is believed` };
  await client.query('begin');
  try {
    await client.query(`select pg_catalog.set_config('app.tenant', $1, true)`, [
      databaseToken({ tenant, cell: cell?.name ?? '' }, keys, clock().getTime()),
    ]);
    const { rows } = await client.query<{ tenant: string | null }>('select tenon.tenant_id() as tenant');
    if (rows[0]?.tenant === uuidOf('tnt', tenant)) return good;
    return {
      status: 'fail',
      sentence: `${keys.signing.kid} signs, but the database does not believe it; run tenon migrate`,
    };
  } finally {
    await client.query('rollback');
  }
}

async function* examineCell({ config, clock }: Patient, cell: CellSettings): AsyncGenerator<Examination> {
  for (const { check, look } of LOG_EXAMINATIONS)
    yield await examined(check, `${cell.name} audit`, () =>
      withClient(cell.auditDatabase, (client) => seen(client, look, clock)),
    );
  yield await examined('archive', cell.name, async () => {
    const archive = await openCellArchive(cell, { clock, credentials: archiveCredentials(config) });
    const promises = await selfTestArchive(archive, clock);
    const broken = promises.find(({ isKept }) => !isKept);
    if (broken !== undefined)
      return { status: 'fail', sentence: `it should be one that ${broken.promise}: ${broken.sentence}` };
    return { status: 'ok', sentence: `takes objects and refuses to change or remove them (${archive.lockMode})` };
  });
}

async function seen(client: pg.Client, look: LogLook, clock: () => Date): Promise<Finding> {
  const { rows } = await client.query<{ role: string }>('select current_user as role');
  if (rows[0]?.role !== 'tenon_worker')
    return { status: 'skip', sentence: 'only tenon_worker sees the logs of all tenants' };
  return look(client, clock());
}

async function examined(check: string, subject: string, work: () => Promise<Finding>): Promise<Examination> {
  try {
    return { check, subject, ...(await work()) };
  } catch (error) {
    if (sqlState(error) === PERMISSION_DENIED)
      return { check, subject, status: 'skip', sentence: 'only tenon_owner may see it' };
    return { check, subject, status: 'fail', sentence: error instanceof Error ? error.message : String(error) };
  }
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
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
