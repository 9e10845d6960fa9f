import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { ensureDatabase, ensureRoles, migrateDatabase, setDatabaseRights, withStore } from '#kit/database-setup.ts';
import { mintId, uuidOf, uuidv7, type Id } from '#schema/ids.ts';
import { databaseToken } from '#schema/tenant-context.ts';
import { CONTEXT_KEYS } from '../support/databases.ts';
import { findDebianPostgres, startDebianPostgres, type DebianPostgres } from '../support/debian-postgres.ts';
import { withClient } from '../support/postgres.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const bin = findDebianPostgres();
if (bin === null)
  process.stderr.write('SKIPPED: no PostgreSQL with pg_dump in /usr/lib/postgresql (Debian: postgresql)\n');

const ACME = { id: mintId('tnt'), store: 'bridge_1_7', project: 'Apollo' };
const INITECH = { id: mintId('tnt'), store: 'bridge_1_8', project: 'Zeus' };
const CELL = { name: 'eu-1', region: 'eu' };
const PASSWORDS = { tenon_owner: 'owner', tenon_app: 'app', tenon_worker: 'worker' };

describe.skipIf(bin === null)('the schemas of one tenant of a bridge', { timeout: 120_000 }, () => {
  let server: DebianPostgres;
  beforeAll(async () => {
    server = await startDebianPostgres(bin ?? '');
    await ensureRoles(server.url('postgres'), PASSWORDS);
    for (const database of ['source', 'target']) await ensureDatabase(server.url('postgres'), database);
    for (const { id, store, project } of [ACME, INITECH]) {
      await migrateDatabase({
        url: asRole('source', 'tenon_owner'),
        kind: 'cell',
        cell: CELL,
        store,
        keys: CONTEXT_KEYS,
        log: () => undefined,
      });
      await inContext('source', { id, store }, async (client) => {
        await client.query(
          `insert into tenants (slug, name, tier, region, cell, state) values ($1, $1, 'GROWTH', 'eu', 'eu-1', 'active')`,
          [project.toLowerCase()],
        );
        await client.query('insert into projects (id, name) values ($1, $2)', [uuidv7(), project]);
      });
    }
  }, 120_000);
  afterAll(() => server?.stop());

  const asRole = (database: string, role: keyof typeof PASSWORDS) => {
    const url = new URL(server.url(database));
    url.username = role;
    url.password = PASSWORDS[role];
    return url.href;
  };
  const inContext = <T>(
    database: string,
    { id, store }: { readonly id: Id<'tnt'> | null; readonly store: string },
    work: (client: pg.Client) => Promise<T>,
  ): Promise<T> =>
    withStore(asRole(database, 'tenon_app'), store, async (client) => {
      await client.query('begin');
      const token = id === null ? '' : databaseToken({ tenant: id, cell: CELL.name }, CONTEXT_KEYS, Date.now());
      await client.query(`select set_config('app.tenant', $1, true)`, [token]);
      const result = await work(client);
      await client.query('commit');
      return result;
    });
  const projects = (database: string, at: { readonly id: Id<'tnt'> | null; readonly store: string }) =>
    inContext(database, at, async (client) => {
      const { rows } = await client.query<{ name: string }>('select name from projects');
      return rows.map(({ name }) => name);
    });

  it('lie beside those of others, whom their contexts keep apart once more', async () => {
    expect(await projects('source', ACME)).toEqual(['Apollo']);
    expect(await projects('source', INITECH)).toEqual(['Zeus']);
    expect(await projects('source', { ...ACME, store: INITECH.store })).toEqual([]);
    expect(await projects('source', { ...ACME, id: null })).toEqual([]);
  });

  it('are dumped by pg_dump, and restored elsewhere they are whole, and theirs alone', async () => {
    const file = join(temporaryFolder('dump'), 'acme.dump');
    const schemas = ['app_7', 'tenon_7', 'graphile_worker_7'].flatMap((schema) => ['-n', schema]);
    await server.run('pg_dump', ['-Fc', '-f', file, ...schemas, server.url('source')]);
    await server.run('pg_restore', ['--exit-on-error', '-d', server.url('target'), file]);
    await setDatabaseRights(asRole('target', 'tenon_owner'));
    expect(await projects('target', ACME)).toEqual(['Apollo']);
    expect(await projects('target', { ...ACME, id: INITECH.id })).toEqual([]);
    expect(await projects('target', { ...ACME, id: null })).toEqual([]);
    const { rows } = await withClient(server.url('target'), (client) =>
      client.query<{ name: string }>(`select nspname as name from pg_namespace where nspname ~ '_[0-9]+$' order by 1`),
    );
    expect(rows.map(({ name }) => name)).toEqual(['app_7', 'graphile_worker_7', 'tenon_7']);
  });

  it('take the next migrations where they were restored', async () => {
    const lines: string[] = [];
    const order = {
      url: asRole('target', 'tenon_owner'),
      kind: 'cell',
      cell: CELL,
      store: ACME.store,
      keys: CONTEXT_KEYS,
    } as const;
    await migrateDatabase({ ...order, log: (line) => lines.push(line) });
    expect(lines).toEqual([]);
    await inContext('target', ACME, (client) =>
      client.query('insert into projects (id, name) values ($1, $2)', [uuidOf('prj', mintId('prj')), 'Hermes']),
    );
    expect((await projects('target', ACME)).toSorted((one, other) => one.localeCompare(other))).toEqual([
      'Apollo',
      'Hermes',
    ]);
  });
});
