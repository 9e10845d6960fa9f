import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { findTenant, findTenantBySlug, forgetTenant } from '#kit/directory.ts';
import { inTenant, type Databases } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { verifyStatement } from '#schema/dsse.ts';
import { erasureOfStatement, type ErasurePredicate } from '../../compliance/privacy/erasure-statement.ts';
import { listErasures } from '../../subgraphs/audit/personal-erasure.ts';
import { createView } from '../../subgraphs/audit/saved-views.ts';
import { provisionTenant } from '../../subgraphs/tenants/provisioning.ts';
import { endTenant } from '../../subgraphs/tenants/ending.ts';
import { systemOrigin } from '../../subgraphs/tenants/operator.ts';
import { withClient } from '../support/postgres.ts';
import type { StoreName } from '../support/databases.ts';
import { openEvidenceHouse, type EvidenceHouse } from './evidence-fixture.ts';
import { act, asSuperuser, dumpOf, erasureTurn, requestOf, VERIFIER } from './privacy-world.ts';

const ORIGIN = systemOrigin('test', 'req_test');
/** Words that stand nowhere but in what is hers and open. */
const WORDS = ['wrenfield', 'dora.gone@example.com'];
/** Rows of hers that stay in a cell, by table. */
const KEPT = ['tenant_contracts', 'tenant_keys', 'tenants'];

let house: EvidenceHouse;
let ended: Id<'tnt'>;
let uuid: string;
let ctx: RequestContext;
let before: ReadonlyMap<string, number>;
let others: ReadonlyMap<string, number>;

beforeAll(async () => {
  house = await openEvidenceHouse();
  const { tenant } = await provisionTenant(
    house.platform,
    {
      slug: 'wrenfield',
      name: 'Wrenfield',
      tier: 'FREE',
      region: 'eu',
      adminEmail: 'root@wrenfield.example',
      adminName: 'Root',
    },
    ORIGIN,
  );
  ended = (await findTenantBySlug(house.platform.databases, tenant.slug))?.id ?? ended;
  uuid = uuidOf('tnt', ended);
  ctx = await house.contextOf(ended);
  const dora = await house.addPerson(ended, 'dora.gone@example.com');
  await act(await requestOf(house, { tenant: ended, person: dora }));
  await createView(ctx, { name: 'wrenfield all', shared: true, filter: {} });
  await house.seal();
  before = await rowsOf('eu-1', uuid);
  others = await rowsOf('eu-1', uuidOf('tnt', house.acme));
  await asSuperuser(
    house,
    'eu-1',
    `update app.tenants set state = 'soft_deleted', state_since = now() - interval '31 days' where tenant_id = $1`,
    [uuid],
  );
  await endTenant(house.platform, { tenant: ended, origin: ORIGIN });
  await house.seal();
});

describe('the erasure of a tenant who has ended', () => {
  it('refuses to take rows of a tenant whose key is not destroyed, and tables that stay', async () => {
    const asked = async (tenant: Id<'tnt'>, table: string) => {
      const { databases } = house.builder.platform;
      const other = await house.contextOf(tenant);
      return inTenant({ ...other, databases }, (tx) => tx.query('select tenon.erase_tenant_rows($1, 10)', [table]));
    };
    await expect(asked(house.acme, 'users')).rejects.toThrow('the key of this tenant is not destroyed');
    await expect(asked(ended, 'tenants')).rejects.toThrow('no table that a tenant is erased from');
    await expect(asked(ended, 'users; drop')).rejects.toThrow('no table that a tenant is erased from');
  });

  it('stops at a legal hold, whenever it comes, and goes on when it is released', async () => {
    await asSuperuser(
      house,
      'eu-1',
      `insert into app.legal_holds (tenant_id, id, reason, placed_by, placed_at) values ($1, $1, 'a case', 'usr_x', now())`,
      [uuid],
    );
    expect(await erasureTurn(house)()).toBe(false);
    expect(await states()).toEqual(['held']);
    expect((await rowsOf('eu-1', uuid)).get('users')).toBe(before.get('users'));
    await asSuperuser(house, 'eu-1', 'delete from app.legal_holds where tenant_id = $1', [uuid]);
  });

  it('goes on where it was each time its process dies, and loses no count', async () => {
    let turns = 0;
    for (let steps = 4; (await states())[0] !== 'erased'; steps += 1) {
      await erasureTurn(house, { platform: dyingAfter(steps), sliceMs: 0 })().catch(() => false);
      turns += 1;
      expect(turns).toBeLessThan(60);
    }
    expect(turns).toBeGreaterThan(5);
    const certified = new Map((await certificate()).stores.map(({ store, rows }) => [store, rows]));
    for (const table of ['users', 'roles', 'audit_views', 'credentials', 'user_roles'])
      expect(certified.get(`cell.${table}`), table).toBe(before.get(table));
  });

  it('leaves nothing in any store but her id, and what is sealed under the destroyed key', async () => {
    // Her last events have left the cell once the archive holds them.
    await house.seal();
    await house.seal();
    expect([...(await rowsOf('eu-1', uuid)).keys()]).toEqual(KEPT);
    const cell = await dumpOf(house, 'eu-1');
    const directory = await dumpOf(house, 'directory');
    for (const word of WORDS) expect([cell.includes(word), directory.includes(word)], word).toEqual([false, false]);
    const audit = [...(await rowsOf('eu-1 audit', uuid)).keys()];
    expect(
      audit.filter((table) => !/^(?:log_heads|log_entries|log_tiles|segments|erasures|archive_\w+)$/.test(table)),
    ).toEqual([]);
    expect(await rowsOf('eu-1', uuidOf('tnt', house.acme))).toEqual(others);
  });

  it('is the end of her life, and nobody else gets her slug', async () => {
    forgetTenant(house.platform.databases, ended);
    const place = await findTenant(house.platform.databases, ended);
    expect(place).toMatchObject({ state: 'erased', slug: `erased-${ended.slice(4)}` });
    const claim = {
      slug: 'wrenfield',
      name: 'Another',
      tier: 'FREE',
      region: 'eu',
      adminEmail: 'a@another.example',
      adminName: 'A',
    } as const;
    await expect(provisionTenant(house.platform, claim, ORIGIN)).rejects.toMatchObject({ code: 'UNIQUENESS' });
  });

  it('is certified store by store: how, how many, what a search found afterwards, and until when the rest is kept', async () => {
    const { stores, person, basis } = await certificate();
    expect({ person, basis }).toEqual({ person: null, basis: 'tenant_ended' });
    expect(stores.filter(({ method, left }) => method === 'deleted' && left !== 0)).toEqual([]);
    expect(stores.map(({ store }) => store)).toEqual(
      expect.arrayContaining(['cell.users', 'cell.jobs', 'cell.job_queue', 'audit.evidence_packs', 'audit.index']),
    );
    expect(stores.find(({ store }) => store === 'cell.keys')).toMatchObject({ method: 'key_destroyed', rows: 1 });
    const archive = stores.find(({ store }) => store === 'archive');
    expect(archive?.method).toBe('key_destroyed');
    expect(archive?.rows).toBeGreaterThan(0);
    expect(Date.parse(archive?.kept_until ?? '')).toBeGreaterThan(Date.now());
  });

  it('is done again where a backup brings her back, whatever hold stands in it', async () => {
    await asSuperuser(
      house,
      'eu-1',
      `update app.tenants set state = 'active', name = 'Wrenfield' where tenant_id = $1`,
      [uuid],
    );
    await asSuperuser(
      house,
      'eu-1',
      `insert into app.users (tenant_id, id, user_name) values ($1, $1, 'dora.gone@example.com')`,
      [uuid],
    );
    await asSuperuser(
      house,
      'eu-1',
      `insert into app.legal_holds (tenant_id, id, reason, placed_by, placed_at) values ($1, $1, 'a case', 'usr_x', now())`,
      [uuid],
    );
    await erasureTurn(house)();
    expect([...(await rowsOf('eu-1', uuid)).keys()]).toEqual(KEPT);
    expect((await dumpOf(house, 'eu-1')).toLowerCase()).not.toContain('wrenfield');
    expect(await dumpOf(house, 'eu-1 audit')).toContain('erasure.reapplied');
    expect(await erasureTurn(house)()).toBe(false);
  });

  it('is taken back from the archive where the audit database has forgotten it', async () => {
    const { erased_at: erasedAt } = await certificate();
    await asSuperuser(house, 'eu-1 audit', 'delete from app.erasures where tenant_id = $1', [uuid]);
    await asSuperuser(
      house,
      'eu-1',
      `insert into app.users (tenant_id, id, user_name) values ($1, $1, 'dora.gone@example.com')`,
      [uuid],
    );
    await erasureTurn(house)();
    expect((await rowsOf('eu-1', uuid)).has('users')).toBe(false);
    expect((await certificate()).erased_at).toBe(erasedAt);
  });
});

describe('the log of a tenant who is erased', () => {
  it('goes when the archive has let go of its last object, and not before; its head stays', async () => {
    const log = async () =>
      [...(await rowsOf('eu-1 audit', uuid)).keys()].filter((table) => /^(?:log|segm)/.test(table));
    await erasureTurn(house)();
    expect(await log()).toEqual(['log_entries', 'log_heads', 'segments']);
    await asSuperuser(house, 'eu-1 audit', 'update app.archive_objects set removed_at = now() where tenant_id = $1', [
      uuid,
    ]);
    rmSync(join(house.archiveFolder, 'eu-1', 'v1', 'eu', ended), { recursive: true, force: true });
    await erasureTurn(house)();
    expect(await log()).toEqual(['log_heads']);
    expect(await dumpOf(house, 'eu-1 audit')).toContain('log.expired');
    // Whoever compares logs with the archive from now on finds nothing to bring back.
    await house.seal();
    expect(await log()).toEqual(['log_heads']);
    expect((await rowsOf('eu-1 audit', uuidOf('tnt', house.acme))).get('log_entries')).toBeGreaterThan(0);
  });
});

async function states(): Promise<string[]> {
  return (await listErasures(ctx, { first: 20 })).edges.map(({ node }) => node.state);
}

async function certificate(): Promise<ErasurePredicate> {
  const { rows } = await withClient(house.stores.url('eu-1 audit'), (client) =>
    client.query<{ statement: string }>('select statement from app.erasures where tenant_id = $1', [uuid]),
  );
  const { statement } = verifyStatement(JSON.parse(rows[0]?.statement ?? 'null'), [VERIFIER]);
  const erasure = erasureOfStatement(statement);
  if (erasure === null) throw new Error('no statement of an erasure');
  return erasure;
}

/** Rows of a tenant in each table that has any. */
async function rowsOf(store: StoreName, tenantId: string): Promise<ReadonlyMap<string, number>> {
  return withClient(house.stores.url(store), async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `select tablename as name from pg_tables where schemaname = 'app' order by 1`,
    );
    const counts = new Map<string, number>();
    for (const { name } of tables) {
      const { rows } = await client.query<{ rows: number }>(
        `select count(*)::integer as rows from app.${name} where tenant_id = $1`,
        [tenantId],
      );
      // Events leave the cell whenever the archive has them.
      if ((rows[0]?.rows ?? 0) > 0 && name !== 'sequenced_events') counts.set(name, rows[0]?.rows ?? 0);
    }
    return counts;
  });
}

/** The worker's platform, whose databases are away after so many transactions. */
function dyingAfter(steps: number): typeof house.builder.platform {
  const { platform } = house.builder;
  let left = steps;
  const counted = <T>(open: (cell: string) => T) => {
    return (cell: string): T => {
      left -= 1;
      if (left < 0) throw new Error('killed');
      return open(cell);
    };
  };
  const { databases } = platform;
  const dying: Databases = {
    ...databases,
    tenantSource: counted((cell) => databases.tenantSource(cell)),
    auditPool: counted((cell) => databases.auditPool(cell)),
  };
  return { ...platform, databases: dying };
}
