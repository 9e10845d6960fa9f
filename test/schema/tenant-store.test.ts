import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DATABASE_KINDS, sqlPath } from '#kit/database-setup.ts';
import { DRAINED_TABLES } from '#kit/store-stamps.ts';
import { inStore, placementOf, searchPathOf, storeKey, storeUrl } from '#schema/tenant-store.ts';

const files = DATABASE_KINDS.cell.flatMap((folder) =>
  readdirSync(sqlPath(folder)).map((file) => readFileSync(`${sqlPath(folder)}/${file}`, 'utf8')),
);
const statements = [...files, readFileSync(sqlPath('job-queue.sql'), 'utf8')];

describe('a statement of a bridge', () => {
  it('names no schema without her number, in whatever migration; settings and words of data stay', () => {
    const left = statements
      .flatMap((sql) => inStore(sql, 'bridge_1_7').split('\n'))
      .filter((line) => !line.trimStart().startsWith('--'))
      .flatMap((line) => line.match(/(?<!\w)(?:app|tenon|graphile_worker)(?!\w)[^\s,)]*/g) ?? []);
    expect(new Set(left)).toEqual(
      new Set(["app.tenant'", "tenon.announced_last'", "app.scim_method'", "app'", 'tenon']),
    );
  });

  it.each([
    ['select 1 from app.users u where u.name = $1', 'select 1 from app_7.users u where u.name = $1'],
    [`select tenon.add_job($1, 'a.b', $2)`, `select tenon_7.add_job($1, 'a.b', $2)`],
    [
      `select 'app.log'::regclass, to_regclass('tenon.migrations')`,
      `select 'app_7.log'::regclass, to_regclass('tenon_7.migrations')`,
    ],
    ['grant usage on schema tenon, app to tenon_app', 'grant usage on schema tenon_7, app_7 to tenon_app'],
    [`where n.nspname in ('app', 'tenon')`, `where n.nspname in ('app_7', 'tenon_7')`],
    [`where c.relnamespace = 'app'::regnamespace`, `where c.relnamespace = 'app_7'::regnamespace`],
    [
      `format('delete from app.%I', to_regclass('app.' || name))`,
      `format('delete from app_7.%I', to_regclass('app_7.' || name))`,
    ],
    [`set_config('app.tenant', $1, true)`, `set_config('app.tenant', $1, true)`],
    ['select snapp.app from snapp', 'select snapp.app from snapp'],
    ['listen tenon_changes', 'listen tenon_changes_7'],
  ])('%s', (said, taken) => {
    expect(inStore(said, 'bridge_1_7')).toBe(taken);
    for (const store of ['pool', 'silo_7']) expect(inStore(said, store)).toBe(said);
  });
});

describe('whoever drains stores', () => {
  it('is told of writes to every table that the worker goes over without a tenant', () => {
    const drained = statements.flatMap((sql) =>
      Array.from(sql.matchAll(/^call tenon\.protect_for_worker\('app\.(\w+)'\)/gm), ([, table]) => table),
    );
    expect(new Set(DRAINED_TABLES)).toEqual(new Set(drained));
  });
});

describe('the name of a store', () => {
  it('says how its tenants lie, and where', () => {
    const cell = 'postgres://tenon_app@db:5432/cell_eu_1?sslmode=require';
    const seen = ['pool', 'silo_12', 'bridge_2_31'].map((store) => [
      placementOf(store),
      storeKey({ cell: 'eu-1', store }),
      storeUrl(cell, store),
      searchPathOf(store),
    ]);
    expect(seen).toEqual([
      ['pool', 'eu-1', cell, 'app, pg_catalog'],
      ['silo', 'eu-1/silo_12', 'postgres://tenon_app@db:5432/cell_eu_1_silo_12?sslmode=require', 'app, pg_catalog'],
      [
        'bridge',
        'eu-1/bridge_2_31',
        'postgres://tenon_app@db:5432/cell_eu_1_bridge_2?sslmode=require',
        'app_31, pg_catalog',
      ],
    ]);
  });

  it.each(['', 'silo', 'silo_0', 'silo_1_2', 'bridge_1', 'bridge_1_0', 'silo_1; drop', 'Silo_1', 'silo_1234567'])(
    'is not %j',
    (name) => {
      expect(() => placementOf(name)).toThrow('no store');
    },
  );
});
