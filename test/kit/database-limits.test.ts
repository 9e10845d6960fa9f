import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { beginBulk } from '#kit/bulk-lane.ts';
import { connectionUse, inTenant, inTenantAudit, openDatabases, type TenantScope } from '#kit/database.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { RequestEnding } from '#kit/request-ending.ts';
import { readConfig } from '#schema/config.ts';
import { DATABASE_LIMITS } from '#schema/database-limits.ts';
import { TenonError } from '#schema/errors.ts';
import { mintId } from '#schema/ids.ts';
import { TIERS, type Tier } from '#schema/tenant-context.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { CONTEXT_KEYS, makeStores } from '../support/databases.ts';
import { scopeOf, seedTenant } from '../isolation/two-tenants.ts';

const stores = await makeStores();
const settings = {
  ...stores.settingsFor('tenon_app', 'file:///nowhere'),
  keys: CONTEXT_KEYS,
  dataKeys: DATA_KEYS,
  entities: [],
};
const databases = await openDatabases({ ...settings, poolSize: 8 });
const { id } = await seedTenant(stores, 'acme');
const platform = { config: readConfig({}), databases, clock: () => new Date(), publicUrl: 'http://tenon.test' };
const scope = (tier: Tier, lane?: 'bulk'): TenantScope => {
  const { tenant } = scopeOf(databases, id);
  return { tenant: { ...tenant, tier }, databases, lane };
};

afterAll(() => databases.close());

const TIMEOUTS = `select current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock`;
const inMs = (text: string) => (text.endsWith('ms') ? Number.parseInt(text, 10) : Number.parseInt(text, 10) * 1_000);

async function timeoutsOf(of: TenantScope): Promise<number[]> {
  const [row] = await inTenant(of, (tx) => tx.query<{ statement: string; lock: string }>(TIMEOUTS));
  return [inMs(row?.statement ?? ''), inMs(row?.lock ?? '')];
}

async function errorOf(work: Promise<unknown>): Promise<TenonError> {
  const thrown: unknown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  return thrown instanceof TenonError ? thrown : expect.fail(String(thrown));
}

describe('a transaction', () => {
  it('has the timeouts of the tier of its tenant, and no tenant keeps those of another', async () => {
    for (const tier of [...TIERS, ...TIERS.toReversed()]) {
      const { statementTimeoutMs, lockTimeoutMs } = DATABASE_LIMITS[tier];
      expect(await timeoutsOf(scope(tier))).toEqual([statementTimeoutMs, lockTimeoutMs]);
    }
  });

  it('has longer statements in bulk, and in a process that answers nobody', async () => {
    expect(await timeoutsOf(scope('FREE', 'bulk'))).toEqual([20_000, 2_000]);
    const worker = await openDatabases({ ...settings, longStatements: true });
    expect(await timeoutsOf({ ...scope('FREE'), databases: worker })).toEqual([20_000, 2_000]);
    await worker.close();
  });

  it('that waits for a lock is SERVICE_UNAVAILABLE when the time of its tier is over', async () => {
    const holder = new pg.Client({ connectionString: stores.url('eu-1') });
    await holder.connect();
    await holder.query('begin; lock table app.projects in access exclusive mode');
    const started = performance.now();
    const error = await errorOf(inTenant(scope('FREE'), (tx) => tx.query('select from projects')));
    const tookMs = performance.now() - started;
    await holder.query('rollback');
    await holder.end();
    expect(error.code).toBe('SERVICE_UNAVAILABLE');
    expect(Math.abs(tookMs - DATABASE_LIMITS.FREE.lockTimeoutMs)).toBeLessThan(1_500);
  });

  it('counts in the share of its tenant at both stores, until it ends in whatever way', async () => {
    const other = await seedTenant(stores, 'globex');
    const seen: number[] = [];
    const note = () => {
      for (const store of ['tenant', 'audit'] as const) seen.push(connectionUse(databases, 'eu-1', store).held);
    };
    await inTenant(scope('FREE'), () =>
      inTenantAudit(scopeOf(databases, other.id), async (tx) => {
        note();
        await tx.query('select 1/0');
      }),
    ).catch(() => note());
    expect(seen).toEqual([1, 1, 0, 0]);
  });
});

describe('bulk work', () => {
  const contextIn = (tier: Tier, signal?: RequestEnding): RequestContext =>
    requestContext(platform, { ...scope(tier).tenant, tenant: mintId('tnt') }, signal);
  async function* pages(fault: () => Error | null) {
    for (let page = 0; page < 3; page++) {
      const error = fault();
      if (error !== null) throw error;
      yield page;
    }
  }
  const collect = async <T>(from: AsyncIterable<T>): Promise<T[]> => {
    const all: T[] = [];
    for await (const each of from) all.push(each);
    return all;
  };

  it('yields every page in order, and its transactions go by the lane for bulk', async () => {
    const work = await beginBulk(contextIn('FREE'));
    expect(work.ctx.lane).toBe('bulk');
    expect(await collect(work.paced(pages(() => null)))).toEqual([0, 1, 2]);
    work.end();
  });

  it('rests while requests come in the cell, and goes on at once where none do', async () => {
    const runs = async (request: () => Promise<unknown>): Promise<number> => {
      const work = await beginBulk(contextIn('FREE'));
      async function* slow() {
        for (let page = 0; page < 4; page++) {
          await inTenantAudit({ ...scope('FREE'), lane: 'bulk' }, (tx) => tx.query('select pg_sleep(0.01)'));
          await request();
          yield page;
        }
      }
      const started = performance.now();
      await collect(work.paced(slow()));
      work.end();
      return performance.now() - started;
    };
    const alone = await runs(async () => undefined);
    const beside = await runs(() => timeoutsOf(scope('GROWTH')));
    expect(beside / alone).toBeGreaterThan(3);
  });

  it('is as much at once as the tier of the tenant allows, and THROTTLED beyond, until one has ended', async () => {
    const ctx = contextIn('ENTERPRISE');
    const [first] = [await beginBulk(ctx), await beginBulk(ctx)];
    const started = performance.now();
    const error = await errorOf(beginBulk(ctx));
    expect([error.code, error.retryAfterSeconds]).toEqual(['THROTTLED', 10]);
    expect(performance.now() - started).toBeGreaterThan(900);
    (await beginBulk(contextIn('FREE'))).end();
    const waiting = [beginBulk(ctx), errorOf(beginBulk(ctx))] as const;
    first.end();
    first.end();
    expect((await waiting[0]).ctx.lane).toBe('bulk');
    expect((await waiting[1]).code).toBe('THROTTLED');
  });

  it('is left alone after three faults of the platform in a row, for this tenant and no other', async () => {
    const ctx = contextIn('ENTERPRISE_PLUS');
    const run = async (fault: () => Error | null, of = ctx) => {
      const work = await beginBulk(of);
      return collect(work.paced(pages(fault))).finally(work.end);
    };
    const away = () => new TenonError('GATEWAY_TIMEOUT', 'a statement took too long');
    for (let time = 0; time < 3; time++) expect((await errorOf(run(away))).code).toBe('GATEWAY_TIMEOUT');
    const refused = await errorOf(run(() => null));
    expect([refused.code, refused.retryAfterSeconds]).toEqual(['SERVICE_UNAVAILABLE', 30]);
    expect(await run(() => null, contextIn('FREE'))).toEqual([0, 1, 2]);
  });

  it('goes on whatever the caller asks wrongly, and however often she goes away', async () => {
    const signal = new RequestEnding();
    const ctx = contextIn('FREE', signal);
    const wrong = () => new TenonError('BAD_USER_INPUT', 'wrong');
    const gone = () => new TenonError('GATEWAY_TIMEOUT', 'nobody waits');
    const run = async (fault: () => Error) => {
      const work = await beginBulk(ctx);
      return errorOf(collect(work.paced(pages(fault)))).finally(work.end);
    };
    for (let time = 0; time < 4; time++) expect((await run(wrong)).code).toBe('BAD_USER_INPUT');
    signal.abort(new Error('gone'));
    for (let time = 0; time < 4; time++) expect((await run(gone)).code).toBe('GATEWAY_TIMEOUT');
  });

  it('is over the moment its stream is closed, and reads no further page', async () => {
    const work = await beginBulk(contextIn('FREE'));
    let read = 0;
    let left = (): void => undefined;
    const over = new Promise<void>((resolve) => (left = resolve));
    async function* endless() {
      try {
        while (true) yield String(++read);
      } finally {
        left();
      }
    }
    const stream = work.stream(work.paced(endless()), { objectMode: false });
    await stream[Symbol.asyncIterator]().next();
    stream.destroy();
    (await beginBulk(work.ctx)).end();
    await over;
    expect(read).toBe(1);
  });

  it('ends what it reads from when the reader stops early', async () => {
    let ended = false;
    async function* endless() {
      try {
        while (true) yield 1;
      } finally {
        ended = true;
      }
    }
    const work = await beginBulk(contextIn('FREE'));
    for await (const _ of work.paced(endless())) break;
    work.end();
    expect(ended).toBe(true);
  });
});
