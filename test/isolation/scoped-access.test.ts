import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compose } from '#kit/composition.ts';
import { subgraphs } from '#subgraphs';
import { OPENERS, POOL_TAKERS, SPEAKERS } from '../../subgraphs/kit/scoped-access-lint.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const RULES = { OPENERS: 'open-connections', POOL_TAKERS: 'take-pools', SPEAKERS: 'speak-unscoped' };

let folder: string;
/** The rules that each file broke, by its place. */
let broken: ReadonlyMap<string, readonly string[]>;

const BAD: readonly (readonly [rule: string, code: string])[] = [
  ['open-connections', `import pg from 'pg'; export const pool = new pg.Pool({});`],
  ['open-connections', `import { Client } from 'pg'; export const client = new Client();`],
  ['open-connections', `import postgres from 'pg'; export const client = new postgres.Client();`],
  [
    'open-connections',
    `import { DataSource } from 'typeorm'; export const source = new DataSource({ type: 'postgres' });`,
  ],
  ['take-pools', `export const runner = (databases) => databases.tenantSource('eu-1');`],
  ['take-pools', `export const runner = (databases) => databases.auditPool('eu-1').connect();`],
  ['take-pools', `export const runner = (source) => source.createQueryRunner();`],
  ['speak-unscoped', `export const rows = (pool) => pool.query('select * from users');`],
  ['speak-unscoped', `export const rows = (dataSource) => dataSource.query('select * from users');`],
  ['speak-unscoped', `export const rows = (ctx) => ctx.databases.source.getRepository(Object).find();`],
  ['speak-unscoped', `export const rows = (source) => source.createQueryBuilder().getMany();`],
  ['speak-unscoped', `export const rows = (source) => source.manager.transaction(() => null);`],
];
const GOOD = [
  `export const rows = (tx) => tx.query('select * from users');`,
  `export const rows = (tx) => tx.manager.getRepository(Object).createQueryBuilder().getMany();`,
  `export const place = (databases) => databases.directory.query('select * from tenants');`,
  `export const pool = new Pool(); class Pool {}`,
];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tenon-lint-'));
  const write = async (place: string, code: string) => {
    await mkdir(dirname(join(folder, place)), { recursive: true });
    await writeFile(join(folder, place), code);
  };
  for (const [at, [, code]] of BAD.entries()) await write(`subgraphs/product/bad-${at}.ts`, code);
  for (const [at, code] of GOOD.entries()) await write(`gateway/good-${at}.ts`, code);
  // Under another name nothing is allowed them: what is on a list must need it.
  for (const list of [OPENERS, POOL_TAKERS, SPEAKERS]) {
    for (const place of Object.keys(list)) {
      const copy = join(folder, 'gateway/copies', place.replaceAll('/', '--'));
      await mkdir(dirname(copy), { recursive: true });
      await copyFile(join(ROOT, place), copy);
    }
  }
  broken = await lint();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function lint(): Promise<Map<string, string[]>> {
  const rules = Object.fromEntries(Object.values(RULES).map((rule) => [`tenancy/${rule}`, 'error']));
  const config = join(folder, 'lint.json');
  const jsPlugins = [join(ROOT, 'subgraphs/kit/scoped-access-lint.mjs')];
  await writeFile(config, JSON.stringify({ jsPlugins, categories: { correctness: 'off' }, rules }));
  const oxlint = join(ROOT, 'node_modules/.bin/oxlint');
  const text = await new Promise<string>((resolve) => {
    execFile(oxlint, ['-c', config, '--format', 'unix', '.'], { cwd: folder }, (_, out) => resolve(out));
  });
  const found = new Map<string, string[]>();
  for (const [, place = '', rule = ''] of text.matchAll(/^(.+?):\d+:\d+: .*\/tenancy\(([\w-]+)\)\]$/gm))
    found.set(place, [...(found.get(place) ?? []), rule]);
  return found;
}

describe('the lint', () => {
  it.each(BAD.map(([rule, code], at) => ({ rule, code, at })))('refuses by $rule: $code', ({ rule, at }) => {
    expect(new Set(broken.get(`subgraphs/product/bad-${at}.ts`))).toEqual(new Set([rule]));
  });

  it.each(GOOD.map((code, at) => ({ code, at })))('lets pass: $code', ({ at }) => {
    expect(broken.get(`gateway/good-${at}.ts`)).toBeUndefined();
  });

  it.each([
    ...Object.keys(OPENERS).map((place) => ({ place, rule: RULES.OPENERS })),
    ...Object.keys(POOL_TAKERS).map((place) => ({ place, rule: RULES.POOL_TAKERS })),
    ...Object.keys(SPEAKERS).map((place) => ({ place, rule: RULES.SPEAKERS })),
  ])('lists $place for $rule because it would be refused', ({ place, rule }) => {
    expect(broken.get(`gateway/copies/${place.replaceAll('/', '--')}`)).toContain(rule);
  });
});

describe('composition', () => {
  const [identity, ...others] = subgraphs.map((subgraph) => ({ ...subgraph }));
  if (identity === undefined) throw new Error('there is a first subgraph');
  const composed = (from: string | RegExp, to: string) => {
    const sdl = identity.sdl.replace(from, to);
    expect(sdl).not.toBe(identity.sdl);
    return () => compose([{ ...identity, sdl }, ...others]);
  };

  it('takes the subgraphs as they are', () => {
    expect(() => compose(subgraphs)).not.toThrow();
  });

  it.each([
    ['an entrance', /(roles: \[Role!\]!) @permission\(scope: "users:read"\)/, '$1', /Query\.roles has no @permission/],
    [
      'a thing that others lead to by its key',
      /(type Group) @permission\(scope: "users:read"\)|(type Group @key\(fields: "id"\)) @permission\(scope: "users:read"\)/,
      '$1$2',
      /Group can be reached by its key/,
    ],
    [
      'a list below a thing',
      /(members\(.*) @permission\(scope: "users:read"\)/,
      '$1',
      /Group\.members leads to a list/,
    ],
    [
      'a way to a thing of another right',
      'type ScimRequest {',
      'type ScimRequest {\n  person: User',
      /ScimRequest\.person leads to User, which asks for users:read/,
    ],
    [
      'a field that takes an id',
      'type ScimRequest {',
      'type ScimRequest {\n  other(id: ID!): String',
      /ScimRequest\.other takes an id/,
    ],
  ])('refuses %s without the right it asks for', (_, from, to, said) => {
    expect(composed(from, to)).toThrow(said);
  });
});
