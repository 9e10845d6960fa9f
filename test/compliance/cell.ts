import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll } from 'vitest';
import type { AuditEvent } from '#schema/audit-event.ts';
import { canonicalJson } from '#schema/canonical-json.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { databaseToken } from '#schema/tenant-context.ts';
import { CONTEXT_KEYS, makeStores } from '../support/databases.ts';

/** The databases of one cell and a folder for its archive, empty, for the calling test file alone. */
export interface TestCell {
  readonly name: 'eu-1';
  readonly region: 'eu';
  /** URLs for `tenon_worker`. */
  readonly database: string;
  readonly auditDatabase: string;
  /** Pools of `tenon_worker`. */
  readonly tenants: pg.Pool;
  readonly audit: pg.Pool;
  /** Pools of the superuser: for looking and for damaging. */
  readonly superuserOfTenants: pg.Pool;
  readonly superuserOfAudit: pg.Pool;
  readonly archiveFolder: string;
  /** Makes a tenant of the cell. */
  addTenant(): Promise<Id<'tnt'>>;
  /** Writes events in one transaction of the application under the tenant's context, and commits it. */
  write(tenant: Id<'tnt'>, events: readonly AuditEvent[]): Promise<void>;
  /** Begins such a transaction; it is the caller's to end. */
  begin(tenant: Id<'tnt'>): Promise<WriterTransaction>;
  /** Puts a text into the outbox that no writer of ours would. */
  writeRaw(tenant: Id<'tnt'>, row: { id: string; event: string }): Promise<void>;
}

/** A business transaction that is under way. */
export interface WriterTransaction {
  write(...events: AuditEvent[]): Promise<void>;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

/** Opens a cell; it is closed when the test file ends. */
export async function openTestCell(): Promise<TestCell> {
  const stores = await makeStores();
  const archiveFolder = mkdtempSync(join(tmpdir(), 'tenon-archive-'));
  const pools = [
    stores.url('eu-1', 'tenon_worker'),
    stores.url('eu-1 audit', 'tenon_worker'),
    stores.url('eu-1'),
    stores.url('eu-1 audit'),
    stores.url('eu-1', 'tenon_app'),
  ].map((connectionString) => new pg.Pool({ connectionString, max: 8 }));
  // The databases are dropped under connections that a test left open.
  for (const pool of pools) pool.on('error', () => undefined);
  const [tenants, audit, superuserOfTenants, superuserOfAudit, app] = pools as [
    pg.Pool,
    pg.Pool,
    pg.Pool,
    pg.Pool,
    pg.Pool,
  ];
  afterAll(async () => {
    await Promise.all(pools.map((pool) => pool.end()));
    rmSync(archiveFolder, { recursive: true, force: true });
  });
  const begin = (tenant: Id<'tnt'>) => beginWriting(app, tenant);
  return {
    name: 'eu-1',
    region: 'eu',
    database: stores.url('eu-1', 'tenon_worker'),
    auditDatabase: stores.url('eu-1 audit', 'tenon_worker'),
    tenants,
    audit,
    superuserOfTenants,
    superuserOfAudit,
    archiveFolder,
    addTenant: () => addTenant(app),
    begin,
    write: async (tenant, events) => {
      const transaction = await begin(tenant);
      await transaction.write(...events);
      await transaction.commit();
    },
    writeRaw: async (tenant, { id, event }) => {
      await inContext(app, tenant, (client) =>
        client.query(`insert into outbox (id, outcome, action_version, event) values ($1, 'success', 1, $2)`, [
          id,
          event,
        ]),
      );
    },
  };
}

async function addTenant(app: pg.Pool): Promise<Id<'tnt'>> {
  const tenant = mintId('tnt');
  await inContext(app, tenant, (client) =>
    client.query(
      `insert into tenants (slug, name, tier, region, cell, state) values ($1, 'A tenant', 'FREE', 'eu', 'eu-1', 'active')`,
      [tenant.toLowerCase()],
    ),
  );
  return tenant;
}

async function beginWriting(app: pg.Pool, tenant: Id<'tnt'>): Promise<WriterTransaction> {
  const client = await app.connect();
  await client.query('begin');
  await client.query(`select set_config('app.tenant', $1, true)`, [
    databaseToken({ tenant, cell: 'eu-1' }, CONTEXT_KEYS, Date.now()),
  ]);
  const end = (statement: string) => async () => {
    await client.query(statement);
    client.release();
  };
  return {
    write: async (...events) => {
      await client.query(
        `insert into outbox (id, outcome, action_version, event)
         select id, 'success', 1, event from unnest($1::uuid[], $2::text[]) as e (id, event)`,
        [events.map(({ id }) => uuidOf('aud', id)), events.map((event) => canonicalJson(event))],
      );
    },
    commit: end('commit'),
    rollback: end('rollback'),
  };
}

async function inContext(
  app: pg.Pool,
  tenant: Id<'tnt'>,
  work: (client: pg.PoolClient) => Promise<unknown>,
): Promise<void> {
  const client = await app.connect();
  try {
    await client.query('begin');
    await client.query(`select set_config('app.tenant', $1, true)`, [
      databaseToken({ tenant, cell: 'eu-1' }, CONTEXT_KEYS, Date.now()),
    ]);
    await work(client);
    await client.query('commit');
  } finally {
    client.release();
  }
}
