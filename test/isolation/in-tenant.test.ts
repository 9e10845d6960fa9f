import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inTenant, inTenantAudit, openDatabases, type Databases, type TenantTransaction } from '#kit/database.ts';
import { ERRORS, fail, TenonError, type ErrorCode } from '#schema/errors.ts';
import { parseContextKeys } from '#schema/tenant-context.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';
import { everything, scopeOf, seedTenant, type TestTenant } from './two-tenants.ts';

type Query = TenantTransaction['query'];

let stores: TestStores;
let databases: Databases;
let superuser: pg.Client;
let a: TestTenant;

beforeAll(async () => {
  stores = await makeStores();
  // One connection for a tenant database and two for an audit database: whatever is not given back is missed at once.
  databases = await openWith({});
  superuser = new pg.Client({ connectionString: stores.url('eu-1') });
  await superuser.connect();
  a = await seedTenant(stores, 'acme');
});

afterAll(async () => {
  await databases.close();
  await superuser.end();
});

function openWith(change: Partial<Parameters<typeof openDatabases>[0]>): Promise<Databases> {
  const settings = stores.settingsFor('tenon_app', 'file:///nowhere');
  return openDatabases({ ...settings, keys: CONTEXT_KEYS, dataKeys: DATA_KEYS, entities: [], poolSize: 1, ...change });
}

/** Both doors and their pools, so that each promise is tested at each. */
const DOORS = [
  [
    'inTenant',
    <T>(work: (query: Query) => Promise<T>) =>
      inTenant(scopeOf(databases, a.id), (tx) => work((text, values) => tx.query(text, values))),
    () => (databases.tenantSource('eu-1').driver as unknown as { master: pg.Pool }).master,
  ],
  [
    'inTenantAudit',
    <T>(work: (query: Query) => Promise<T>) =>
      inTenantAudit(scopeOf(databases, a.id), (tx) => work((text, values) => tx.query(text, values))),
    () => databases.auditPool('eu-1'),
  ],
] as const;

/** Returns the error of the table that the work ends with. */
async function failure(work: Promise<unknown>): Promise<TenonError> {
  const error: unknown = await work.then(
    () => expect.fail('the work was done'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof TenonError)) throw error;
  return error;
}

async function pid(query: Query): Promise<number> {
  return (await query<{ pid: number }>('select pg_backend_pid() as pid'))[0]?.pid ?? 0;
}

/** Ends a connection from the server's side and returns once the server has forgotten it. */
async function terminate(backend: number): Promise<void> {
  await superuser.query('select pg_terminate_backend($1, 10000)', [backend]);
}

const PROJECT = 'insert into projects (id, name) values (gen_random_uuid(), $1)';
const PACK = `insert into evidence_packs (id, kind, window_from, window_to, requested_by)
  values (gen_random_uuid(), 'soc2', '2026-01-01', '2026-02-01', $1)`;
const projects = (name: string) => everything(stores, 'select from app.projects where name = $1', [name]);
const packs = (by: string) =>
  withClient(
    stores.url('eu-1 audit'),
    async (client) => (await client.query('select from app.evidence_packs where requested_by = $1', [by])).rows,
  );

describe('a transaction of a tenant', () => {
  it('commits what the work did and returns its result', async () => {
    expect(await inTenant(scopeOf(databases, a.id), async (tx) => (await tx.query(PROJECT, ['kept']), 'done'))).toBe(
      'done',
    );
    expect(await projects('kept')).toHaveLength(1);
    expect(await inTenantAudit(scopeOf(databases, a.id), async (tx) => (await tx.query(PACK, ['kept']), 'done'))).toBe(
      'done',
    );
    expect(await packs('kept')).toHaveLength(1);
  });

  it('leaves nothing when the work throws, and hands on what was thrown', async () => {
    const thrown = new TenonError('CONFLICT', 'on purpose');
    const failing = inTenant(scopeOf(databases, a.id), async (tx) => {
      await tx.query(PROJECT, ['undone']);
      await tx.manager.query(PROJECT, ['undone']);
      throw thrown;
    });
    expect(await failure(failing)).toBe(thrown);
    expect(await projects('undone')).toEqual([]);
    const asking = inTenantAudit(scopeOf(databases, a.id), async (tx) => {
      await tx.query(PACK, ['undone']);
      throw thrown;
    });
    expect(await failure(asking)).toBe(thrown);
    expect(await packs('undone')).toEqual([]);
  });

  it.each(DOORS)('turns any other thrown thing into INTERNAL_SERVER_ERROR (%s)', async (_, door) => {
    for (const thrown of [new RangeError('inside'), 'text', null, undefined, { code: 23_505 }]) {
      const error = await failure(door(() => Promise.reject(thrown)));
      expect(error.code).toBe('INTERNAL_SERVER_ERROR');
      expect(error.publicMessage).toBe(ERRORS.INTERNAL_SERVER_ERROR.message);
    }
  });

  it.each(DOORS)(
    'that PostgreSQL rolled back after a swallowed error throws instead of pretending (%s)',
    async (_, door) => {
      const swallowing = door(async (query) => {
        await query('select 1 / 0').catch(() => undefined);
        return 'as if nothing had happened';
      });
      expect((await failure(swallowing)).code).toBe('INTERNAL_SERVER_ERROR');
    },
  );

  it('runs under the statement timeout, and the one of the next is not the last one’s', async () => {
    const timeout = (query: Query) => query('show statement_timeout');
    for (const [, door] of DOORS) {
      expect(await door(timeout)).toEqual([{ statement_timeout: '5s' }]);
      await door((query) => query(`select set_config('statement_timeout', '1s', false)`));
      expect(await door(timeout)).toEqual([{ statement_timeout: '5s' }]);
    }
  });

  it('of a cell that is not served here is SERVICE_UNAVAILABLE before the work begins', async () => {
    const scope = scopeOf(databases, a.id);
    const elsewhere = { ...scope, tenant: { ...scope.tenant, cell: 'mars-1' } };
    const work = (): never => expect.fail('the work began');
    for (const door of [inTenant, inTenantAudit]) {
      expect((await failure(door(elsewhere, async () => work()))).code).toBe('SERVICE_UNAVAILABLE');
    }
  });

  it('under keys that the database does not know is INTERNAL_SERVER_ERROR and shows nothing', async () => {
    const keys = parseContextKeys(JSON.stringify({ signing: 'k2', keys: [{ kid: 'k2', secret: '99'.repeat(32) }] }));
    const stranger = await openWith({ keys });
    const error = await failure(inTenant(scopeOf(stranger, a.id), (tx) => tx.query('select * from users')));
    expect([error.code, error.message]).toEqual(['INTERNAL_SERVER_ERROR', 'the tenant context is not signed by us']);
    await stranger.close();
  });
});

describe('an error of PostgreSQL', () => {
  const CASES: readonly [ErrorCode, string, string, unknown[]][] = [
    [
      'UNIQUENESS',
      'a value that is taken',
      'insert into users (id, user_name) values (gen_random_uuid(), $1)',
      ['ADA'],
    ],
    [
      'CONFLICT',
      'a reference to nothing',
      `insert into documents (id, project_id, name) values (gen_random_uuid(), gen_random_uuid(), $1)`,
      ['x'],
    ],
    ['BAD_USER_INPUT', 'a value that a check refuses', PROJECT, ['']],
    ['BAD_USER_INPUT', 'a null byte in a text', PROJECT, ['a\0b']],
    ['BAD_USER_INPUT', 'a null byte in a document', 'update users set resource = $1', [JSON.stringify({ a: 'a\0b' })]],
    [
      'BAD_USER_INPUT',
      'half a character in a document',
      'update users set resource = $1',
      [JSON.stringify({ a: '\ud800' })],
    ],
    ['BAD_USER_INPUT', 'a number beyond its column', 'update users set version = $1::bigint', ['9999999999']],
    ['BAD_USER_INPUT', 'a day that does not exist', 'select $1::timestamptz', ['2026-02-30']],
    ['INTERNAL_SERVER_ERROR', 'a table that does not exist', 'select * from nowhere where $1', [true]],
    ['INTERNAL_SERVER_ERROR', 'a right that is missing', 'select * from outbox where $1', [true]],
  ];

  it.each(CASES)('becomes %s for %s, and its words stay inside', async (code, _, sql, values) => {
    for (const say of [
      (tx: TenantTransaction) => tx.query(sql, values),
      (tx: TenantTransaction) => tx.manager.query(sql, values),
    ]) {
      const error = await failure(inTenant(scopeOf(databases, a.id), say));
      expect(error.code).toBe(code);
      expect(error.publicMessage).toBe(ERRORS[code].message);
      expect(error.message).not.toBe('');
    }
  });

  it.each([
    ['40001', 'SERVICE_UNAVAILABLE'],
    ['40P01', 'SERVICE_UNAVAILABLE'],
    ['55P03', 'SERVICE_UNAVAILABLE'],
    ['08006', 'SERVICE_UNAVAILABLE'],
    ['57P01', 'SERVICE_UNAVAILABLE'],
    ['25P03', 'SERVICE_UNAVAILABLE'],
    ['25P02', 'INTERNAL_SERVER_ERROR'],
    ['XX000', 'INTERNAL_SERVER_ERROR'],
  ] as const)('of SQLSTATE %s becomes %s', async (state, code) => {
    for (const [, door] of DOORS) {
      const raising = door((query) => query(`do $$ begin raise exception using errcode = '${state}'; end $$`));
      expect((await failure(raising)).code).toBe(code);
    }
  });

  it.each(DOORS)('is GATEWAY_TIMEOUT when a statement runs too long (%s)', async (_, door) => {
    const slow = door(async (query) => {
      await query(`select set_config('statement_timeout', '20', true)`);
      await query('select pg_sleep(30)');
    });
    expect((await failure(slow)).code).toBe('GATEWAY_TIMEOUT');
  });
});

describe('a connection', () => {
  it.each(DOORS)(
    'that dies under a statement is SERVICE_UNAVAILABLE, and the next transaction has another (%s)',
    async (_, door) => {
      let dead = 0;
      const dying = door(async (query) => {
        dead = await pid(query);
        await Promise.all([query('select pg_sleep(30)'), terminate(dead)]);
      });
      expect((await failure(dying)).code).toBe('SERVICE_UNAVAILABLE');
      expect(await door(pid)).not.toBe(dead);
    },
  );

  it.each(DOORS)('that dies between two statements does so too, and ends no process (%s)', async (_, door, pool) => {
    const ended = new Promise((resolve) => {
      pool().once('acquire', (client) => client.once('end', resolve));
    });
    let dead = 0;
    const dying = door(async (query) => {
      dead = await pid(query);
      await Promise.all([terminate(dead), ended]);
      await query('select 1');
    });
    expect((await failure(dying)).code).toBe('SERVICE_UNAVAILABLE');
    expect(await door(pid)).not.toBe(dead);
  });

  it.each(DOORS)('that dies before the commit fails the work, which left nothing (%s)', async (name, door) => {
    const dying = door(async (query) => {
      await query(name === 'inTenant' ? PROJECT : PACK, ['lost']);
      await terminate(await pid(query));
    });
    expect((await failure(dying)).code).toBe('SERVICE_UNAVAILABLE');
    expect(await projects('lost')).toEqual([]);
    expect(await packs('lost')).toEqual([]);
  });

  it.each(DOORS)('that dies in the pool is replaced (%s)', async (_, door, pool) => {
    const dead = await door(pid);
    const removed = new Promise((resolve) => {
      pool().once('remove', resolve);
    });
    await Promise.all([terminate(dead), removed]);
    expect(await door(pid)).not.toBe(dead);
  });

  it.each(DOORS)('goes back to the pool after every failure (%s)', async (_, door) => {
    const backend = await door(pid);
    for (let round = 0; round < 5; round++) {
      await failure(door((query) => query('select 1 / 0')));
      await failure(door(async () => fail('CONFLICT', 'on purpose')));
      await failure(door(async (query) => void (await query('select 1 / 0').catch(() => undefined))));
    }
    expect(await door(pid)).toBe(backend);
  });

  it('that cannot be made is SERVICE_UNAVAILABLE', async () => {
    const { cells, directoryUrl } = stores.settingsFor('tenon_app', 'file:///nowhere');
    const moved = cells.map((cell) => ({ ...cell, auditDatabase: cell.auditDatabase.replace(/:\d+\//, ':1/') }));
    const unreachable = await openWith({ cells: moved, directoryUrl });
    const error = await failure(inTenantAudit(scopeOf(unreachable, a.id), (tx) => tx.query('select 1')));
    expect(error.code).toBe('SERVICE_UNAVAILABLE');
    expect(error.publicMessage).toBe(ERRORS.SERVICE_UNAVAILABLE.message);
    await unreachable.close();
  });
});
