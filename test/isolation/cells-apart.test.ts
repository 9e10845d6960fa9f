import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrateDatabase, type DatabaseKind } from '#kit/database-setup.ts';
import { inTenant, inTenantAudit, openDatabases, type Databases } from '#kit/database.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { databaseToken } from '#schema/tenant-context.ts';
import { archiveOfCell } from '../../compliance/archive/cell-archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { openAuditPool, openOutboxPool } from '../../compliance/worker-pools.ts';
import { stampOf } from '#kit/store-stamp.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { withClient } from '../support/postgres.ts';
import { connectAs, refusal, scopeOf, seedTenant, within, type TestTenant } from './two-tenants.ts';

let stores: TestStores;
let tenant: TestTenant;
const EU = { name: 'eu-1', region: 'eu' };
const US = { name: 'us-1', region: 'us' };

beforeAll(async () => {
  stores = await makeStores();
  tenant = await seedTenant(stores, 'acme');
});

/** The settings of an application whose cell eu-1 has other addresses than it should. */
async function openWith(change: Partial<CellSettings>): Promise<Databases> {
  const { directoryUrl, cells } = stores.settingsFor('tenon_app', 'file:///nowhere');
  return openDatabases({
    directoryUrl,
    cells: cells.filter(({ name }) => name === 'eu-1').map((cell) => ({ ...cell, ...change })),
    keys: CONTEXT_KEYS,
    dataKeys: DATA_KEYS,
    entities: [],
    poolSize: 2,
  });
}

describe('a process whose addresses are swapped', () => {
  it.each([
    ['the tenant database of another cell', () => ({ database: stores.url('us-1', 'tenon_app') }), 'us-1 in us'],
    ['the audit database of its own cell', () => ({ database: stores.url('eu-1 audit', 'tenon_app') }), 'audit'],
    ['another region of the same name', () => ({ region: 'ap' }), 'eu-1 in eu'],
  ])('does not open %s', async (_name, change, found) => {
    await expect(openWith(change())).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringContaining(found),
    });
  });

  it('reads no audit log of another cell, and says why', async () => {
    const databases = await openWith({ auditDatabase: stores.url('us-1 audit', 'tenon_app') });
    const read = inTenantAudit(scopeOf(databases, tenant.id), (tx) => tx.query('select 1'));
    await expect(read).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringContaining('the audit database of us-1 in us'),
    });
    await databases.close();
  });

  it('takes no event into the log of another cell', async () => {
    const urls = { cell: stores.url('us-1', 'tenon_worker'), audit: stores.url('us-1 audit', 'tenon_worker') };
    const outbox = openOutboxPool({ url: urls.cell, stamp: stampOf(EU, 'cell'), max: 1 });
    const audit = openAuditPool({ url: urls.audit, stamp: stampOf(EU, 'audit'), max: 1 });
    await expect(outbox.query('select from outbox')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    await expect(audit.query('select from log_entries')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    const own = openAuditPool({ url: urls.audit, stamp: stampOf(US, 'audit'), max: 1 });
    expect((await own.query('select from log_entries')).rowCount).toBe(0);
    await Promise.all([outbox, audit, own].map((pool) => pool.end()));
  });

  it('migrates nothing, and leaves stamp and keys as they are', async () => {
    const settled = () =>
      withClient(stores.url('us-1'), async (client) => ({
        stamp: (await client.query('select * from tenon.store')).rows,
        keys: (await client.query('select * from tenon.context_keys order by kid')).rows,
      }));
    const before = await settled();
    const migrate = (kind: DatabaseKind) =>
      migrateDatabase({
        url: stores.url('us-1', 'tenon_owner'),
        kind,
        cell: EU,
        keys: CONTEXT_KEYS,
        log: () => undefined,
      });
    await expect(migrate('cell')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    await expect(migrate('audit')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    expect(await settled()).toEqual(before);
  });
});

describe('a database', () => {
  it('refuses the context of another cell, though its signature is ours and nothing else stood in the way', async () => {
    for (const store of ['us-1', 'us-1 audit'] as const) {
      for (const role of ['tenon_app', 'tenon_worker'] as const) {
        const client = await connectAs(stores, role, store);
        const asked = (cell: string) =>
          within(client, databaseToken({ tenant: tenant.id, cell }, CONTEXT_KEYS, Date.now()), async () =>
            client.query('select tenon.tenant_id() as id'),
          );
        expect((await refusal(asked('eu-1'))).code).toBe('42501');
        expect((await asked('us-1')).rows).toEqual([{ id: tenant.uuid }]);
        await client.end();
      }
    }
  });

  it('takes no row of a tenant of another cell from a program that was led there', async () => {
    const { directoryUrl, cells } = stores.settingsFor('tenon_app', 'file:///nowhere');
    const databases = await openDatabases({
      directoryUrl,
      cells,
      keys: CONTEXT_KEYS,
      dataKeys: DATA_KEYS,
      entities: [],
      poolSize: 2,
    });
    const scope = scopeOf(databases, tenant.id);
    const misled = { ...databases, tenantSource: () => databases.tenantSource('us-1') };
    const insert = (to: Databases) =>
      inTenant({ ...scope, databases: to }, (tx) =>
        tx.query(`insert into projects (id, name) values (gen_random_uuid(), 'x')`),
      );
    await expect(insert(misled)).rejects.toThrow('not signed by us');
    await insert(databases);
    await withClient(stores.url('us-1'), async (client) =>
      expect((await client.query('select from app.projects')).rowCount).toBe(0),
    );
    await databases.close();
  });

  it('keeps its stamp from the roles of programs', async () => {
    for (const role of ['tenon_app', 'tenon_worker'] as const) {
      const client = await connectAs(stores, role);
      for (const sql of [
        `update tenon.store set region = 'us'`,
        'delete from tenon.store',
        `insert into tenon.store (singular, kind, cell, region) values (false, 'cell', 'us-1', 'us')`,
      ])
        expect((await refusal(client.query(sql))).code, sql).toBe('42501');
      await client.end();
    }
  });
});

describe('an archive', () => {
  const root = mkdtempSync(join(tmpdir(), 'tenon-cells-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  const clock = () => new Date();
  const retainUntil = new Date(Date.now() + 60_000);
  const opened = async (folder: string, cell: typeof EU) =>
    archiveOfCell(await filesystemArchive({ folder: join(root, folder), clock }), cell, clock);

  it('takes and shows nothing under the name of another cell, nor of another region', async () => {
    const eu = await opened('one', EU);
    await eu.put('v1/eu/a', Buffer.from('a'), { retainUntil });
    for (const stranger of [US, { name: 'eu-1', region: 'us' }]) {
      const other = await opened('one', stranger);
      const refused = { code: 'SERVICE_UNAVAILABLE', message: expect.stringContaining('"eu-1"') };
      await expect(other.put('v1/us/b', Buffer.from('b'), { retainUntil })).rejects.toMatchObject(refused);
      await expect(other.get('v1/eu/a')).rejects.toMatchObject(refused);
      await expect(other.head('v1/eu/a')).rejects.toMatchObject(refused);
      await expect(other.remove('v1/eu/a')).rejects.toMatchObject(refused);
      await expect(other.retention('v1/eu/a')).rejects.toMatchObject(refused);
      await expect(other.extendRetention('v1/eu/a', retainUntil)).rejects.toMatchObject(refused);
      await expect(other.setLegalHold('v1/eu/a', true)).rejects.toMatchObject(refused);
      await expect(other.legalHold('v1/eu/a')).rejects.toMatchObject(refused);
      await expect(other.list('')[Symbol.asyncIterator]().next()).rejects.toMatchObject(refused);
    }
    expect((await (await opened('one', EU)).get('v1/eu/a')).toString()).toBe('a');
    expect(await eu.head('v1/us/b')).toBeNull();
  });

  it('that only was read from is nobody’s yet', async () => {
    expect(await (await opened('two', EU)).head('v1/eu/a')).toBeNull();
    const us = await opened('two', US);
    await us.put('v1/us/a', Buffer.from('a'), { retainUntil });
    await expect((await opened('two', EU)).head('v1/us/a')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  });

  it('that was away when it was first asked is asked again', async () => {
    const store = await filesystemArchive({ folder: join(root, 'three'), clock });
    let isAway = true;
    const get: typeof store.get = async (key) => {
      if (isAway) throw new Error('away');
      return store.get(key);
    };
    const archive = archiveOfCell({ ...store, get }, EU, clock);
    await expect(archive.put('v1/eu/a', Buffer.from('a'), { retainUntil })).rejects.toThrow('away');
    isAway = false;
    await archive.put('v1/eu/a', Buffer.from('a'), { retainUntil });
    await expect((await opened('three', US)).get('v1/eu/a')).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  });
});
