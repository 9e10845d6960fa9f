import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addPlaces, BLOCK_SIZE, blockWords, noPlaces, partOf, SPAN_BLOCKS } from '#schema/search-block.ts';
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
    `select concat_ws(' ', epoch, block, first_seq, last_seq) as block from log_search_blocks where tenant_id = $1 and level = 0 order by epoch, block`,
    [uuidOf('tnt', tenant)],
  );
  return rows.map(({ block }) => block);
}

/** Where a word stands, block after block. */
async function placesWith(tenant: Id<'tnt'>, word: number): Promise<number[][]> {
  const { rows } = await audit.query<{ postings: Buffer | null }>(
    `select postings from log_search_blocks b left join log_search_words w
       on w.tenant_id = b.tenant_id and w.level = b.level and w.part = $2 and w.epoch = b.epoch and w.block = b.block
      where b.tenant_id = $1 and b.level = 0 order by b.epoch, b.block`,
    [uuidOf('tnt', tenant), partOf(word, 0)],
  );
  return rows.map(({ postings }) => {
    const places = noPlaces(0);
    if (postings !== null) addPlaces(places, postings, word);
    return Array.from({ length: BLOCK_SIZE }, (_, place) => place).filter(
      (place) => ((places[place >>> 5] ?? 0) >>> (place & 31)) & 1,
    );
  });
}

const newTurn = () => createSearchTurn({ audit, pauseMs: 0 });

async function indexAll(turn = newTurn()): Promise<void> {
  while ((await turn()) === 'worked');
}

describe('indexing the logs of a cell', () => {
  it('leaves a block alone until it is whole, and then leads to the place of every word', async () => {
    const { tenant, grow } = await logOf(BLOCK_SIZE - 1);
    const turn = newTurn();
    await indexAll(turn);
    expect(await blocksOf(tenant)).toEqual([]);
    await grow(2);
    expect(await turn()).toBe('worked');
    expect(await turn()).toBe('idle');
    expect(await blocksOf(tenant)).toEqual([`1 0 0 ${BLOCK_SIZE - 1}`]);
    for (const seq of [0, 32, BLOCK_SIZE - 1]) {
      expect(await placesWith(tenant, fieldWord('actor', `actor-${seq}`))).toEqual([[seq]]);
    }
    expect(await placesWith(tenant, fieldWord('actor', `actor-${BLOCK_SIZE}`))).toEqual([[]]);
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
    expect(await placesWith(tenant, word)).toEqual([[]]);
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
    expect(await placesWith(tenant, word)).toEqual([[], [0], []]);
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
        databaseToken({ tenant: mine.tenant, cell: 'eu-1' }, CONTEXT_KEYS, Date.now()),
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

describe('a log that is set back while it is indexed', () => {
  const holds = `select count(*)::integer as held from pg_locks
    where locktype = 'advisory' and objid = 7 and not granted and database = (select oid from pg_database where datname = current_database())`;

  /** Resolves when somebody waits for the turn's lock. */
  async function someoneWaits(): Promise<void> {
    for (;;) {
      const { rows } = await audit.query<{ held: number }>(holds);
      if ((rows[0]?.held ?? 0) > 0) return;
    }
  }

  async function cut(client: pg.ClientBase, tenant: Id<'tnt'>, from: number): Promise<void> {
    await client.query('delete from app.log_entries where tenant_id = $1 and seq >= $2', [uuidOf('tnt', tenant), from]);
  }

  it('loses the blocks that a turn has read but not stored yet', async () => {
    const { tenant } = await logOf(2 * BLOCK_SIZE);
    await withClient(stores.url('eu-1 audit'), (holder) =>
      withClient(stores.url('eu-1 audit'), async (cutter) => {
        // The turn reads the entries, and waits where it would store their words.
        await holder.query('begin; lock table app.log_search_words in exclusive mode');
        const indexing = newTurn()();
        while (
          (
            await audit.query(`select from pg_locks where relation = 'app.log_search_words'::regclass and not granted
              and database = (select oid from pg_database where datname = current_database())`)
          ).rowCount === 0
        );
        const cutting = cut(cutter, tenant, BLOCK_SIZE + 5);
        await someoneWaits();
        await holder.query('rollback');
        expect(await indexing).toBe('worked');
        await cutting;
      }),
    );
    expect(await blocksOf(tenant)).toEqual([`1 0 0 ${BLOCK_SIZE - 1}`]);
    await indexAll();
    expect(await blocksOf(tenant)).toEqual([`1 0 0 ${BLOCK_SIZE - 1}`]);
  });

  it('is left alone by every turn until what leaves it has left', async () => {
    const { tenant } = await logOf(2 * BLOCK_SIZE);
    await withClient(stores.url('eu-1 audit'), async (client) => {
      await client.query('begin');
      await cut(client, tenant, BLOCK_SIZE + 5);
      expect(await newTurn()()).toBe('waiting');
      await client.query('commit');
    });
    await indexAll();
    expect(await blocksOf(tenant)).toEqual([`1 0 0 ${BLOCK_SIZE - 1}`]);
  });
});

describe('64 blocks of a log', () => {
  /** Writes words for every block of a span without entries: what is merged is what the blocks hold. */
  async function spanOf(tenant: Id<'tnt'>, blocks: number): Promise<void> {
    await audit.query(
      `with block as (
         insert into log_search_blocks select $1, 0, 1, n, n * 4096, n * 4096 + 4095, earliest, latest,
                array_fill(earliest, array[16]), array_fill(latest, array[16])
           from generate_series(0, $2::integer - 1) n,
                lateral (select to_timestamp(n) as earliest, to_timestamp(n + 1) as latest) as time returning block)
       insert into log_search_words select $1, 0, $3, 1, block, $4 from block`,
      [uuidOf('tnt', tenant), blocks, partOf(WORD, 0), wordAt(7)],
    );
  }
  const WORD = fieldWord('actor', 'everywhere');
  const wordAt = (place: number) => {
    const words = blockWords();
    words.add(place, [WORD]);
    return words.parts()[0]?.postings;
  };
  const spansOf = async (tenant: Id<'tnt'>) =>
    (
      await audit.query<{ block: number; first_seq: string; last_seq: string; max_ts: Date; postings: Buffer }>(
        `select block, first_seq, last_seq, max_ts, postings from log_search_blocks b
           join log_search_words w using (tenant_id, level, epoch, block)
          where tenant_id = $1 and level = 1 and part = $2 order by block`,
        [uuidOf('tnt', tenant), partOf(WORD, 1)],
      )
    ).rows;

  it('are merged once all are there, and unmerged where entries leave the log', async () => {
    const { tenant } = await logOf(10);
    await spanOf(tenant, SPAN_BLOCKS - 1);
    await indexAll();
    expect(await spansOf(tenant)).toEqual([]);
    await audit.query('delete from log_search_words where tenant_id = $1', [uuidOf('tnt', tenant)]);
    await audit.query('delete from log_search_blocks where tenant_id = $1', [uuidOf('tnt', tenant)]);
    await spanOf(tenant, SPAN_BLOCKS + 3);
    await indexAll();
    const [span, ...others] = await spansOf(tenant);
    expect(others).toEqual([]);
    expect(span).toMatchObject({ block: 0, first_seq: '0', last_seq: String(SPAN_BLOCKS * BLOCK_SIZE - 1) });
    expect(span?.max_ts).toEqual(new Date(SPAN_BLOCKS * 1000));
    const places = noPlaces(1);
    addPlaces(places, span?.postings ?? Buffer.alloc(0), WORD);
    expect([...places.keys()].filter((at) => places[at] === 1 << 7)).toEqual(
      Array.from({ length: SPAN_BLOCKS }, (_, block) => (block * BLOCK_SIZE) / 32),
    );
    await withClient(stores.url('eu-1 audit'), (client) =>
      client.query('delete from app.log_entries where tenant_id = $1 and seq = 9', [uuidOf('tnt', tenant)]),
    );
    expect(await spansOf(tenant)).toEqual([]);
    const { rowCount } = await audit.query('select from log_search_words where tenant_id = $1', [
      uuidOf('tnt', tenant),
    ]);
    expect(rowCount).toBe(0);
  });
});
