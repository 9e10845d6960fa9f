import { beforeAll, describe, expect, it } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { countAbout, PLATFORM_TABLES, tablePersonOf } from '#kit/personal-tables.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { mintId, type Id } from '#schema/ids.ts';
import { subgraphs } from '#subgraphs';
import { withClient } from '../support/postgres.ts';
import { openEvidenceHouse, type EvidenceHouse } from './evidence-fixture.ts';

let house: EvidenceHouse;
let ctx: RequestContext;
let person: Id<'usr'>;

const handlers = subgraphs.flatMap(({ personalData }) => (personalData === undefined ? [] : [personalData]));
const named = [...handlers.map(({ tables }) => tables), PLATFORM_TABLES].flatMap((tables) => Object.entries(tables));

beforeAll(async () => {
  house = await openEvidenceHouse();
  ctx = await house.contextOf(house.acme);
  person = await house.addPerson(house.acme, 'ada.counted@example.com');
});

describe('what the tables of a cell hold of a person', () => {
  it('is said of every table, once', async () => {
    const { rows } = await withClient(house.stores.url('eu-1'), (client) =>
      client.query<{ name: string }>(`select tablename as name from pg_tables where schemaname = 'app' order by 1`),
    );
    expect(named.map(([table]) => table).toSorted()).toEqual(rows.map(({ name }) => name));
  });

  it('is handed out to her, store by store', async () => {
    const sets = await Promise.all(
      handlers.map(({ collect }) => collect(ctx, { userId: person, email: 'ada.counted@example.com' })),
    );
    const handedOut = new Set(sets.flat().map(({ store }) => store));
    const stores = named.flatMap(([, table]) => (table.about === null ? [] : (table.store ?? [])));
    expect(stores.filter((store) => !handedOut.has(store))).toEqual([]);
  });

  it('is counted by conditions that find her, and nobody of whom there is nothing', async () => {
    const counts = async (id: Id<'usr'>) =>
      inTenant(ctx, async (tx) => countAbout(tx, Object.fromEntries(named), await tablePersonOf(tx, id)));
    expect(await counts(person)).toContainEqual({ store: 'identity.users', method: 'deleted', rows: 1 });
    expect((await counts(mintId('usr'))).filter(({ rows }) => rows > 0)).toEqual([]);
  });

  it('stays only with a reason', () => {
    for (const [table, duty] of named)
      if (duty.about === null || duty.end === 'kept') expect(duty.because.length, table).toBeGreaterThan(5);
  });
});
