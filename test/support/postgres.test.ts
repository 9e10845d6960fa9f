import { describe, expect, inject, it } from 'vitest';
import { cloneDatabase, createDatabase, ensureTemplate, withClient } from './postgres.ts';

const exists = (name: string) =>
  withClient(
    inject('postgresUrl'),
    async (client) => (await client.query('select 1 from pg_database where datname = $1', [name])).rowCount === 1,
  );

const tables = (url: string) =>
  withClient(
    url,
    async (client) => (await client.query(`select tablename from pg_tables where schemaname = 'public'`)).rows,
  );

const prepareColours = (url: string) =>
  withClient(url, async (client) => void (await client.query('create table colours (name text)')));

describe('a test database', () => {
  it("is empty, the caller's own, and gone once dropped", async () => {
    const [one, other] = await Promise.all([createDatabase(), createDatabase()]);
    await prepareColours(one.url);
    expect(await tables(other.url)).toEqual([]);
    await one.drop();
    await one.drop();
    expect(await exists(one.name)).toBe(false);
    expect(await exists(other.name)).toBe(true);
  });
});

describe('a template', () => {
  it('is prepared once, whoever asks, and copied as often as needed', async () => {
    let preparations = 0;
    const prepare = async (url: string): Promise<void> => {
      preparations += 1;
      await prepareColours(url);
    };
    await Promise.all([1, 2, 3].map(() => ensureTemplate('colours', prepare)));
    expect(preparations).toBe(1);
    const copies = await Promise.all([cloneDatabase('colours'), cloneDatabase('colours')]);
    for (const { url } of copies) expect(await tables(url)).toEqual([{ tablename: 'colours' }]);
  });

  it('whose preparation failed is prepared anew', async () => {
    const failing = async (url: string): Promise<void> => {
      await prepareColours(url);
      throw new TypeError('half-way');
    };
    await expect(ensureTemplate('shapes', failing)).rejects.toThrow('half-way');
    await ensureTemplate('shapes', prepareColours);
    expect(await tables((await cloneDatabase('shapes')).url)).toEqual([{ tablename: 'colours' }]);
  });
});
