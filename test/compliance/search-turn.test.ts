import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BLOCK_SIZE, partOf, runsOf, RUN_SIZE } from '#schema/search-block.ts';
import { fieldWord } from '#schema/search-words.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { databaseToken } from '#schema/tenant-context.ts';
import { createSearchTurn } from '../../compliance/search/turn.ts';
import { beginLog } from '../support/audit-log.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';

let stores: TestStores;
let audit: pg.Pool;

beforeAll(async () => {
  stores = await makeStores();
  audit = new pg.Pool({ connectionString: stores.url('eu-1 audit', 'tenon_worker'), max: 4 });
});

afterAll(() => audit.end());

/** Begins a tenant's log with so many entries, each of an actor of its own. */
async function logOf(size: number, epoch = 1, tenant: Id<'tnt'> = mintId('tnt')) {
  const log = beginLog({ url: stores.url('eu-1 audit', 'tenon_worker'), tenant, epoch });
  const drafts = (count: number, from: number) =>
    Array.from({ length: count }, (_, index) => ({ actor: { id: `actor-${from + index}` } }));
  await log.append(drafts(size, 0));
  return { tenant, grow: (count: number) => log.append(drafts(count, log.entries.length)) };
}

async function blocksOf(tenant: Id<'tnt'>) {
  const { rows } = await audit.query<{ block: string }>(
    `select concat_ws(' ', epoch, block, first_seq, last_seq) as block from log_search_blocks where tenant_id = $1 order by epoch, block`,
    [uuidOf('tnt', tenant)],
  );
  return rows.map(({ block }) => block);
}

async function runsWith(tenant: Id<'tnt'>, word: number): Promise<bigint[]> {
  const { rows } = await audit.query<{ postings: Buffer }>(
    'select postings from log_search_words where tenant_id = $1 and part = $2 order by epoch, block',
    [uuidOf('tnt', tenant), partOf(word)],
  );
  return rows.map(({ postings }) => runsOf(postings, word));
}

const newTurn = () => createSearchTurn({ audit, pauseMs: 0 });

async function indexAll(turn = newTurn()): Promise<void> {
  while ((await turn()) === 'worked');
}

describe('indexing the logs of a cell', () => {
  it('leaves a block alone until it is whole, and then leads to the run of every word', async () => {
    const { tenant, grow } = await logOf(BLOCK_SIZE - 1);
    const turn = newTurn();
    await indexAll(turn);
    expect(await blocksOf(tenant)).toEqual([]);
    await grow(2);
    expect(await turn()).toBe('worked');
    expect(await turn()).toBe('idle');
    expect(await blocksOf(tenant)).toEqual([`1 0 0 ${BLOCK_SIZE - 1}`]);
    for (const seq of [0, RUN_SIZE, BLOCK_SIZE - 1]) {
      const run = 1n << BigInt(Math.floor(seq / RUN_SIZE));
      expect(await runsWith(tenant, fieldWord('actor', `actor-${seq}`))).toEqual([run]);
    }
    expect(await runsWith(tenant, fieldWord('actor', `actor-${BLOCK_SIZE}`))).toEqual([0n]);
  });

  it('takes the last, unfinished block of an epoch that another one follows, and no unfinished one of the newest', async () => {
    const { tenant } = await logOf(BLOCK_SIZE + 10);
    await indexAll();
    expect(await blocksOf(tenant)).toEqual([`1 0 0 ${BLOCK_SIZE - 1}`]);
    await logOf(7, 2, tenant);
    await indexAll();
    expect(await blocksOf(tenant)).toEqual([`1 0 0 ${BLOCK_SIZE - 1}`, `1 1 ${BLOCK_SIZE} ${BLOCK_SIZE + 9}`]);
  });

  it('is done once by workers that run at the same time, and by one that knows nothing of what was done', async () => {
    const { tenant } = await logOf(2 * BLOCK_SIZE);
    const results = await Promise.all([newTurn()(), newTurn()(), newTurn()()]);
    expect(results).toContain('worked');
    await indexAll();
    expect(await blocksOf(tenant)).toHaveLength(2);
    const { rows } = await audit.query('select from log_search_words where tenant_id = $1', [uuidOf('tnt', tenant)]);
    await indexAll();
    expect(await blocksOf(tenant)).toHaveLength(2);
    const again = await audit.query('select from log_search_words where tenant_id = $1', [uuidOf('tnt', tenant)]);
    expect(again.rows).toHaveLength(rows.length);
  });

  it('looks again only after a pause, and says so', async () => {
    const turn = createSearchTurn({ audit, pauseMs: 3_600_000 });
    await indexAll(turn);
    const { tenant } = await logOf(BLOCK_SIZE);
    expect(await turn()).toBe('waiting');
    expect(await blocksOf(tenant)).toEqual([]);
    await indexAll();
  });

  it('passes over a log that misses an entry and goes on with the others', async () => {
    const [damaged, sound] = [await logOf(BLOCK_SIZE), await logOf(BLOCK_SIZE)];
    await withClient(stores.url('eu-1 audit'), (client) =>
      client.query('delete from app.log_entries where tenant_id = $1 and seq = 100', [uuidOf('tnt', damaged.tenant)]),
    );
    await indexAll();
    expect([await blocksOf(damaged.tenant), await blocksOf(sound.tenant)]).toEqual([[], [`1 0 0 ${BLOCK_SIZE - 1}`]]);
  });

  it('forgets blocks whose entries leave the log, and takes what stands there instead', async () => {
    const { tenant, grow } = await logOf(2 * BLOCK_SIZE);
    await indexAll();
    expect(await blocksOf(tenant)).toHaveLength(2);
    await withClient(stores.url('eu-1 audit'), async (client) => {
      await client.query('delete from app.log_entries where tenant_id = $1 and seq >= $2', [
        uuidOf('tnt', tenant),
        BLOCK_SIZE + 5,
      ]);
    });
    expect(await blocksOf(tenant)).toEqual([`1 0 0 ${BLOCK_SIZE - 1}`]);
    const word = fieldWord('actor', `actor-${BLOCK_SIZE}`);
    expect(await runsWith(tenant, word)).toEqual([0n]);
    await grow(BLOCK_SIZE);
    await withClient(stores.url('eu-1 audit'), (client) =>
      client.query(
        `insert into app.log_entries select tenant_id, epoch, seq - $2, gen_random_uuid(), leaf, entry, ts, action, outcome,
           actor_type, actor_id, resource_type, resource_id
         from app.log_entries where tenant_id = $1 and seq >= 2 * $2 + 5`,
        [uuidOf('tnt', tenant), BLOCK_SIZE],
      ),
    );
    await indexAll();
    expect(await blocksOf(tenant)).toHaveLength(3);
    expect(await runsWith(tenant, word)).toEqual([0n, 1n, 0n]);
  });

  it('begins again after a turn that failed', async () => {
    const { tenant } = await logOf(BLOCK_SIZE);
    const turn = newTurn();
    const rename = (from: string, to: string) =>
      withClient(stores.url('eu-1 audit'), (client) => client.query(`alter table app.${from} rename to ${to}`));
    await rename('log_search_words', 'elsewhere');
    await expect(turn()).rejects.toThrow('log_search_words');
    await rename('elsewhere', 'log_search_words');
    await indexAll(turn);
    expect(await blocksOf(tenant)).toHaveLength(1);
  });
});

describe('the index', () => {
  it('is read by the tenant alone and written by the worker alone', async () => {
    const [mine, theirs] = [await logOf(BLOCK_SIZE), await logOf(BLOCK_SIZE)];
    await indexAll();
    await withClient(stores.url('eu-1 audit', 'tenon_app'), async (client) => {
      for (const table of ['log_search_blocks', 'log_search_words']) {
        expect((await client.query(`select from ${table}`)).rowCount, table).toBe(0);
        for (const sql of [
          `delete from ${table}`,
          `update ${table} set block = 1`,
          `insert into ${table} default values`,
        ]) {
          await expect(client.query(sql), sql).rejects.toMatchObject({ code: '42501' });
        }
      }
      await client.query('begin');
      await client.query(`select set_config('app.tenant', $1, true)`, [
        databaseToken(mine.tenant, CONTEXT_KEYS, Date.now()),
      ]);
      for (const table of ['log_search_blocks', 'log_search_words']) {
        const { rows } = await client.query<{ tenant: string }>(`select distinct tenant_id as tenant from ${table}`);
        expect(rows, table).toEqual([{ tenant: uuidOf('tnt', mine.tenant) }]);
      }
      await client.query('rollback');
    });
    expect(await blocksOf(theirs.tenant)).toHaveLength(1);
  });
});
