import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { snapshotCatalog } from '#kit/catalog-snapshot.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { databaseToken } from '#schema/tenant-context.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { bareStore, closeBareStores, type BareStore } from './bare-store.ts';
import { anyWorld, load, type World } from './generated-rows.ts';
import { anyStatement, everyQuestion, outcomeOf, type RandomStatement } from './random-statements.ts';

const [A, B] = [mintId('tnt'), mintId('tnt')];
const TOKEN = databaseToken({ tenant: A, cell: 'eu-1' }, CONTEXT_KEYS, Date.now());
/** Statements said in one run, each after the other; what one did the next one meets. */
const STATEMENTS = 60;
const RUNS = 8;

let stores: TestStores;
const bare = new Map<string, BareStore>();

beforeAll(async () => {
  stores = await makeStores();
  for (const store of ['eu-1', 'eu-1 audit'] as const) bare.set(store, await bareStore(stores, store));
});

afterAll(closeBareStores);

/** All that A learns by what she says, where B's rows are there and where they are not. */
async function learned(
  { client, tables }: BareStore,
  {
    worlds,
    statements,
    role,
  }: { worlds: readonly (readonly [string, World])[]; statements: readonly RandomStatement[]; role: string },
): Promise<string[]> {
  await client.query('begin');
  try {
    // Triggers that wait for the commit, which never comes here, act with their statement.
    await client.query('set constraints all immediate');
    for (const [tenant, world] of worlds) await load(client, { tables, world, tenant });
    await client.query(`set local role ${role}`);
    await client.query(`select set_config('app.tenant', $1, true)`, [TOKEN]);
    const outcomes = [];
    for (const statement of statements) outcomes.push(await outcomeOf(client, statement));
    return outcomes;
  } finally {
    await client.query('rollback');
  }
}

const storeOf = (store: string): BareStore => {
  const found = bare.get(store);
  if (found === undefined) throw new Error(`no store ${store}`);
  return found;
};

describe.each([
  ['eu-1', 'tenon_app'],
  ['eu-1', 'tenon_worker'],
  ['eu-1', 'tenon_support'],
  ['eu-1 audit', 'tenon_app'],
  ['eu-1 audit', 'tenon_worker'],
  ['eu-1 audit', 'tenon_support'],
] as const)('in %s, %s under the context of a tenant', (store, role) => {
  it('gets the same answers, rows, counts and errors whether another tenant has rows or not', async () => {
    const { client, tables } = storeOf(store);
    const questions = everyQuestion(await snapshotCatalog(client), role);
    const codes = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(anyWorld(tables), anyWorld(tables)).chain(([own, others]) => {
          const said = anyStatement(tables, { world: others, own, other: B });
          const list = fc.array(said, { minLength: STATEMENTS, maxLength: STATEMENTS });
          return fc.record({ own: fc.constant(own), others: fc.constant(others), said: list });
        }),
        async ({ own, others, said }) => {
          const statements = [...questions, ...said];
          const mine = [uuidOf('tnt', A), own] as const;
          const theirs = [uuidOf('tnt', B), others] as const;
          const alone = await learned(storeOf(store), { worlds: [mine], statements, role });
          const beside = await learned(storeOf(store), { worlds: [mine, theirs], statements, role });
          for (const [at, outcome] of alone.entries())
            expect([statements[at], beside[at]]).toEqual([statements[at], outcome]);
          for (const outcome of alone) codes.add(/^\["(\w{5})"/.exec(outcome)?.[1] ?? 'passed');
        },
      ),
      { numRuns: RUNS, endOnFailure: true },
    );
    expect([...codes]).toEqual(expect.arrayContaining(['passed', '42501']));
  });
});

describe('the comparison', () => {
  it.each([
    ['a wall that is gone', 'drop policy tenant_isolation on app.projects', 'select count(*) from app.projects'],
    [
      'a key of all tenants',
      'create unique index on app.projects (name)',
      `insert into app.projects (id, name) select gen_random_uuid(), name from (values ($1)) v (name)`,
    ],
  ])('finds %s', async (_, hole, sql) => {
    const { tables } = storeOf('eu-1');
    const [own, others] = fc.sample(anyWorld(tables), { numRuns: 2, seed: 5 });
    const name = others?.['projects']?.[0]?.values['name'];
    const statements = [{ sql, values: sql.includes('$1') ? [name] : [], isCounted: false }];
    const outcomes = await withHole(hole, async () => [
      await learned(storeOf('eu-1'), { worlds: [[uuidOf('tnt', A), own ?? {}]], statements, role: 'tenon_app' }),
      await learned(storeOf('eu-1'), {
        worlds: [
          [uuidOf('tnt', A), own ?? {}],
          [uuidOf('tnt', B), others ?? {}],
        ],
        statements,
        role: 'tenon_app',
      }),
    ]);
    expect(outcomes[0]).not.toEqual(outcomes[1]);
  });
});

/** The holes are in a store of their own, which no other test uses. */
async function withHole<T>(hole: string, work: () => Promise<T>): Promise<T> {
  const own = await bareStore(await makeStores(), 'eu-1');
  const before = storeOf('eu-1');
  bare.set('eu-1', own);
  try {
    await own.client.query(hole);
    return await work();
  } finally {
    bare.set('eu-1', before);
  }
}
