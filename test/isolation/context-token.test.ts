import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { installContextKeys } from '#kit/database-setup.ts';
import { mintId } from '#schema/ids.ts';
import { databaseToken, parseContextKeys, type ContextKeys } from '#schema/tenant-context.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';
import { connectAs, NAMES, refusal, seedTenant, within, type TestTenant } from './two-tenants.ts';

let stores: TestStores;
let app: pg.Client;
let a: TestTenant;
let b: TestTenant;

beforeAll(async () => {
  stores = await makeStores();
  app = await connectAs(stores, 'tenon_app');
  a = await seedTenant(stores, 'acme');
  b = await seedTenant(stores, 'bolt');
});

afterAll(() => app.end());

const SEEN = 'select tenant_id as id from users';
const seenUnder = (token: string | null, client = app) =>
  within(client, token, async () => new Set((await client.query<{ id: string }>(SEEN)).rows.map(({ id }) => id)));

/** The token with one of its four parts replaced. */
function forge(token: string, place: 0 | 1 | 2 | 3, part: string): string {
  return token.split('.').with(place, part).join('.');
}

function keys(signing: string, secrets: Record<string, string>): ContextKeys {
  const file = { signing, keys: Object.entries(secrets).map(([kid, byte]) => ({ kid, secret: byte.repeat(32) })) };
  return parseContextKeys(JSON.stringify(file));
}

describe('without a context', () => {
  it('no tenant table of either database shows a row or takes one', async () => {
    for (const store of ['eu-1', 'eu-1 audit'] as const) {
      await withClient(stores.url(store, 'tenon_app'), async (client) => {
        const tables = await client.query<{ name: string; readable: boolean }>(
          `select tablename as name, has_table_privilege(tablename::regclass, 'select') as readable
             from pg_tables where schemaname = 'app'`,
        );
        expect(tables.rowCount).toBeGreaterThan(5);
        for (const { name, readable } of tables.rows) {
          if (readable) expect((await client.query(`select from ${name}`)).rowCount, name).toBe(0);
        }
      });
    }
    const insert = app.query(`insert into users (id, user_name) values (gen_random_uuid(), 'eve')`);
    expect((await refusal(insert)).code).toBe('42501');
    expect((await app.query('update users set active = false')).rowCount).toBe(0);
    expect((await app.query('delete from users')).rowCount).toBe(0);
    expect(await seenUnder(b.token)).toEqual(new Set([b.uuid]));
  });

  it('an empty setting, as every used connection has it, is no context and no error', async () => {
    expect(await seenUnder(a.token)).toEqual(new Set([a.uuid]));
    expect((await app.query(`select current_setting('app.tenant') as value`)).rows).toEqual([{ value: '' }]);
    expect((await app.query(SEEN)).rows).toEqual([]);
    await app.query('reset all');
    expect((await app.query(SEEN)).rows).toEqual([]);
    expect(await seenUnder('')).toEqual(new Set());
  });
});

describe('a token', () => {
  it('shows the rows of the tenant it names', async () => {
    expect(await seenUnder(a.token)).toEqual(new Set([a.uuid]));
    expect(await seenUnder(b.token)).toEqual(new Set([b.uuid]));
  });

  it('that names another tenant, hour or key than it was signed for is refused', async () => {
    const [, expiry] = a.token.split('.');
    for (const forged of [
      forge(a.token, 0, b.uuid),
      forge(a.token, 1, String(Number(expiry) + 1)),
      forge(a.token, 2, 'k1'),
      forge(a.token, 2, 'k9'),
      forge(a.token, 3, '0'.repeat(64)),
      forge(a.token, 3, a.token.slice(-64).toUpperCase()),
      forge(a.token, 3, ''),
      `${b.uuid}.${a.token}`,
      `${a.token}.${b.uuid}`,
      a.token.slice(0, -1),
      ` ${a.token}`,
      `${a.token}\n`,
    ]) {
      expect(await refusal(seenUnder(forged)), forged).toMatchObject({ code: '42501' });
    }
  });

  it('signed with a key of her own is refused, whatever she calls it', async () => {
    const secret = Buffer.alloc(32, 7);
    for (const kid of ['k1', 'k2', '', "' or true --"]) {
      const body = `${b.uuid}.9999999999.${kid}`;
      const mac = createHmac('sha256', secret).update(body).digest('hex');
      expect((await refusal(seenUnder(`${body}.${mac}`))).code).toBe('42501');
    }
  });

  it('that has expired is refused, though it was good', async () => {
    const minute = 60_000;
    const inCell = { tenant: a.id, cell: 'eu-1' };
    expect(await seenUnder(databaseToken(inCell, CONTEXT_KEYS, Date.now() - 14 * minute))).toEqual(new Set([a.uuid]));
    const { code, text } = await refusal(seenUnder(databaseToken(inCell, CONTEXT_KEYS, Date.now() - 16 * minute)));
    expect(code).toBe('42501');
    expect(text).toContain('expired');
  });

  it('of a megabyte is refused as quickly as any other', async () => {
    const startMs = performance.now();
    for (const text of ['x'.repeat(1 << 20), '.'.repeat(1 << 20), `${a.token}${'.'.repeat(1 << 20)}`]) {
      expect((await refusal(seenUnder(text))).code).toBe('42501');
    }
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });

  it('of any other text is refused, and its error repeats nothing of it', async () => {
    const pieces = fc.constantFrom(a.uuid, b.uuid, '9999999999', 'k1', 'k2', '.', '..', '0'.repeat(64), "'", ' ');
    const anyText = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1 }),
      fc.array(pieces, { minLength: 1, maxLength: 9 }).map((parts) => parts.join('')),
    );
    await fc.assert(
      fc.asyncProperty(anyText, async (text) => {
        fc.pre(!text.includes('\0'));
        const refused = await refusal(seenUnder(text));
        expect(refused.code).toBe('42501');
        if (text.length > 8) expect(refused.text).not.toContain(text);
      }),
      { numRuns: 60 },
    );
  });

  it('set by injected SQL cannot be a bare tenant: the statement fails and shows nothing', async () => {
    await within(app, a.token, async () => {
      await app.query('savepoint before');
      for (const local of [true, false]) {
        const injected = `with x as materialized (select set_config('app.tenant', '${b.uuid}', ${local})) select u.* from x, users u`;
        expect((await refusal(app.query(injected))).code).toBe('42501');
        await app.query('rollback to before');
        await app.query(`select set_config('app.tenant', '${b.uuid}', ${local})`);
        expect((await refusal(app.query(SEEN))).code).toBe('42501');
        await app.query('rollback to before');
      }
      expect((await app.query(SEEN)).rowCount).toBe(NAMES.length);
    });
  });

  it('is asked for again by every statement, also by one that was prepared under another tenant', async () => {
    await app.query(`set plan_cache_mode = force_generic_plan`);
    await within(app, a.token, () => app.query(`prepare seen as ${SEEN}`));
    for (const tenant of [a, b, a, b]) {
      await within(app, tenant.token, async () => {
        const { rows } = await app.query('execute seen');
        expect(rows).toEqual(NAMES.map(() => ({ id: tenant.uuid })));
        const named = await app.query({ name: 'seen too', text: SEEN });
        expect(named.rows).toEqual(rows);
      });
    }
    expect((await app.query('execute seen')).rows).toEqual([]);
    expect((await app.query({ name: 'seen too', text: SEEN })).rows).toEqual([]);
    await app.query('deallocate all');
    await app.query('reset all');
  });

  it('changed in the middle of a transaction counts from the next statement on', async () => {
    await within(app, a.token, async () => {
      await app.query(`select set_config('app.tenant', $1, true)`, [b.token]);
      expect(new Set((await app.query(SEEN)).rows.map(({ id }) => id))).toEqual(new Set([b.uuid]));
      await app.query(`select set_config('app.tenant', '', true)`);
      expect((await app.query(SEEN)).rows).toEqual([]);
    });
  });

  it('travels as a parameter, so no other session reads it in pg_stat_activity', async () => {
    await withClient(stores.url('eu-1', 'tenon_app'), async (spy) => {
      await within(app, a.token, async () => {
        const { rows } = await spy.query<{ query: string }>(
          'select query from pg_stat_activity where pid <> pg_backend_pid()',
        );
        expect(rows.some(({ query }) => query.includes('set_config'))).toBe(true);
        expect(rows.some(({ query }) => query.includes(a.uuid))).toBe(false);
      });
    });
  });
});

describe('the keys', () => {
  it('cannot be read, changed or replaced by the roles of programs', async () => {
    for (const role of ['tenon_app', 'tenon_worker'] as const) {
      await withClient(stores.url('eu-1', role), async (client) => {
        for (const sql of [
          'select * from tenon.context_keys',
          'select count(*) from tenon.context_keys',
          `select pg_get_expr(null, 'tenon.context_keys'::regclass), kid from tenon.context_keys`,
          'copy tenon.context_keys to stdout',
          `insert into tenon.context_keys values ('mine', ''::bytea, ''::bytea)`,
          'delete from tenon.context_keys',
          'alter function tenon.tenant_id() volatile',
          `create or replace function tenon.tenant_id() returns uuid language sql as 'select gen_random_uuid()'`,
          `create function app.tenant_id() returns uuid language sql as 'select gen_random_uuid()'`,
        ]) {
          expect((await refusal(client.query(sql))).code, sql).toBe('42501');
        }
        expect((await client.query(`select from pg_stats where schemaname = 'tenon'`)).rowCount).toBe(0);
      });
    }
  });

  it('verify as long as they are listed: a retired one ends its tokens, those of the others stay good', async () => {
    const install = (listed: ContextKeys) =>
      withClient(stores.url('us-1', 'tenon_owner'), (client) => installContextKeys(client, listed, 'us-1'));
    const [old, current] = [keys('k1', { k1: '11' }), keys('k2', { k2: '22' })];
    const tenant = mintId('tnt');
    await withClient(stores.url('us-1', 'tenon_app'), async (client) => {
      const seen = (signing: ContextKeys) =>
        seenUnder(databaseToken({ tenant, cell: 'us-1' }, signing, Date.now()), client);
      await install(keys('k2', { k1: '11', k2: '22' }));
      expect(await seen(old)).toEqual(new Set());
      expect(await seen(current)).toEqual(new Set());
      await install(current);
      expect((await refusal(seen(old))).code).toBe('42501');
      expect(await seen(current)).toEqual(new Set());
      await install(keys('k2', { k2: '33' }));
      expect((await refusal(seen(current))).code).toBe('42501');
      await install(CONTEXT_KEYS);
      expect(await seen(old)).toEqual(new Set());
    });
  });
});
