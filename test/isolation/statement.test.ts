import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CATALOG_RULES } from '#kit/catalog-lint.ts';
import { noteVerifier, parseVerifierKey, signNote } from '#schema/signed-note.ts';
import { examineIsolation, type ExaminedStore } from '../../compliance/isolation/examination.ts';
import { ATTACKS } from '../../compliance/isolation/ground.ts';
import { signIsolation, verifyIsolation, worstOf } from '../../compliance/isolation/statement.ts';
import { exitCodeOf } from '../../compliance/verify/report.ts';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { rowsOf } from './foreign-values.ts';
import { seedTenant } from './two-tenants.ts';

const KEYS = [parseVerifierKey(TEST_SIGNING_KEY.verifierKey)];
const AT = new Date('2026-11-23T12:00:00.000Z');

let stores: TestStores;
let folder: string;
let found: readonly ExaminedStore[];

beforeAll(async () => {
  stores = await makeStores();
  folder = await mkdtemp(join(tmpdir(), 'tenon-isolation-'));
  await seedTenant(stores, 'acme');
  found = await examined();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function examined(change: Partial<Parameters<typeof examineIsolation>[0]> = {}): Promise<ExaminedStore[]> {
  const settingsFor: Parameters<typeof examineIsolation>[0]['settingsFor'] = (role) =>
    stores.settingsFor(role, 'file:///nowhere');
  const results: ExaminedStore[] = [];
  for await (const store of examineIsolation({ settingsFor, keys: CONTEXT_KEYS, clock: () => new Date(), ...change }))
    results.push(store);
  return results;
}

/** All but the version, which is that of the server the tests have. */
const checksOf = (store: string, from = found) =>
  (from.find((one) => one.store === store)?.checks ?? []).filter(({ check }) => check !== 'version');
const statementOf = (list: readonly ExaminedStore[]) => ({
  deployment: 'tenon.test',
  at: AT,
  node: '20.19.0',
  verdict: worstOf(list.flatMap(({ checks }) => checks)),
  stores: list,
});

describe('an examination of the stores', () => {
  it('asks every database for its version and rules, and attacks it as each role of programs', () => {
    expect(found.map(({ store }) => store)).toEqual([
      'directory',
      'eu-1 cell',
      'eu-1 audit',
      'us-1 cell',
      'us-1 audit',
    ]);
    for (const store of ['eu-1 cell', 'eu-1 audit', 'us-1 cell', 'us-1 audit']) {
      const checks = checksOf(store);
      expect(checks).toHaveLength(CATALOG_RULES.length + 3 * ATTACKS.length);
      expect(checks.filter(({ verdict }) => verdict !== 'pass')).toEqual([]);
      expect(found.find((one) => one.store === store)?.catalogSha256).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  it('leaves nothing behind', async () => {
    const all = await withClient(stores.url('eu-1'), async (client) =>
      (await client.query<{ id: string }>('select tenant_id as id from app.tenants')).rows.map(({ id }) => id),
    );
    expect(all).toHaveLength(1);
    expect((await rowsOf(stores.url('eu-1'), all)).length).toBeGreaterThan(4);
  });

  it('names the hole, the role that came through it and the store', async () => {
    await withClient(stores.url('us-1'), (client) =>
      client.query('alter policy tenant_isolation on app.projects using (true)'),
    );
    const after = await examined();
    await withClient(stores.url('us-1'), (client) =>
      client.query('alter policy tenant_isolation on app.projects using (tenant_id = (select tenon.tenant_id()))'),
    );
    const failed = checksOf('us-1 cell', after).filter(({ verdict }) => verdict === 'fail');
    expect(failed.map(({ check, role }) => [check, role])).toEqual(
      expect.arrayContaining([
        ['catalog: tenant-isolation', null],
        ['attack 15', 'tenon_app'],
      ]),
    );
    expect(checksOf('eu-1 cell', after).every(({ verdict }) => verdict === 'pass')).toBe(true);
    expect(worstOf(after.flatMap(({ checks }) => checks))).toBe('fail');
    const [hash, before] = [after, found].map((list) => list.find(({ store }) => store === 'us-1 cell')?.catalogSha256);
    expect(hash).not.toBe(before);
  });

  it('cannot say where a store is away, or where the address is of neither role', async () => {
    const owner = await examined({ settingsFor: () => stores.settingsFor('tenon_owner', 'file:///nowhere') });
    expect(checksOf('eu-1 cell', owner).filter(({ check }) => check === 'attacks')).toMatchObject([
      { role: 'tenon_owner', verdict: 'cannot say' },
    ]);
    const away = await examined({
      settingsFor: (role) => {
        const settings = stores.settingsFor(role, 'file:///nowhere');
        const cells = settings.cells.map((cell) => ({ ...cell, database: 'postgres://tenon_app@127.0.0.1:1/none' }));
        return { ...settings, cells };
      },
    });
    expect(checksOf('eu-1 cell', away)).toMatchObject([{ check: 'connection', verdict: 'cannot say' }]);
    expect(worstOf([])).toBe('cannot say');
  });
});

describe('a statement of isolation', () => {
  const withoutVersion = () => found.map((store) => ({ ...store, checks: checksOf(store.store) }));
  const fileOf = async (text: string | Buffer) => {
    const path = join(folder, 'isolation.note');
    await writeFile(path, text);
    return path;
  };

  it('says who examined what and when, and is believed by the key of the deployment alone', () => {
    const statement = statementOf(withoutVersion());
    const note = signIsolation(statement, TEST_SIGNING_KEY);
    expect(note).toBe(signIsolation(statement, TEST_SIGNING_KEY));
    expect(verifyIsolation(Buffer.from(note), KEYS).statement).toEqual({ ...statement, verdict: 'pass' });
    const stranger = noteVerifier('other.test', TEST_SIGNING_KEY.publicKey);
    expect(() => verifyIsolation(Buffer.from(note), [stranger])).toThrow(/no trusted key/);
    const foreign = signIsolation({ ...statement, deployment: 'other.test' }, TEST_SIGNING_KEY);
    expect(() => verifyIsolation(Buffer.from(foreign), KEYS)).toThrow(/another deployment/);
  });

  it('that calls itself better than its checks is refused, whoever signed it', () => {
    const [store] = withoutVersion();
    const failed = { check: 'attack 1', role: 'tenon_app', verdict: 'fail' as const, sentence: 'x' };
    const list = [{ ...(store as ExaminedStore), checks: [failed] }];
    const note = signIsolation({ ...statementOf(list), verdict: 'pass' }, TEST_SIGNING_KEY);
    expect(() => verifyIsolation(Buffer.from(note), KEYS)).toThrow(/it says "pass", and its checks say fail/);
  });

  it('is no checkpoint, and no checkpoint is a statement', () => {
    const checkpoint = signNote(
      'tenon.test/isolation/v1\n7\n00000000000000000000000000000000000000000000\n',
      TEST_SIGNING_KEY,
    );
    expect(() => verifyIsolation(Buffer.from(checkpoint), KEYS)).toThrow(/another form/);
  });

  it('of which any byte was changed is refused', () => {
    const note = Buffer.from(signIsolation(statementOf(withoutVersion().slice(0, 2)), TEST_SIGNING_KEY));
    fc.assert(
      fc.property(fc.nat(note.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const changed = Buffer.from(note);
        changed[at] = (changed[at] ?? 0) ^ by;
        expect(() => verifyIsolation(changed, KEYS)).toThrow();
      }),
      { numRuns: 300 },
    );
  });

  it('is checked by tenon verify: whole and passed, whole with a failure, changed', async () => {
    const keys = [TEST_SIGNING_KEY.verifierKey];
    const list = withoutVersion().filter(({ store }) => store !== 'directory');
    const good = await verifyTarget(await fileOf(signIsolation(statementOf(list), TEST_SIGNING_KEY)), { keys });
    expect(good).toMatchObject({ target: { kind: 'isolation' }, integrity: { verdict: 'pass' } });
    expect([good.completeness.verdict, exitCodeOf(good), good.counts.entries]).toEqual([
      'pass',
      0,
      4 * (CATALOG_RULES.length + 3 * ATTACKS.length),
    ]);
    const checks = [{ check: 'attack 7', role: 'tenon_app', verdict: 'fail' as const, sentence: 'It went through.' }];
    const holed = [{ store: 'eu-1 cell', postgresql: '18.7', catalogSha256: null, checks }];
    const note = signIsolation(statementOf(holed), TEST_SIGNING_KEY);
    const bad = await verifyTarget(await fileOf(note), { keys });
    expect([bad.integrity.verdict, bad.completeness.verdict, exitCodeOf(bad)]).toEqual(['pass', 'fail', 1]);
    expect(bad.completeness.place?.sentence).toContain('eu-1 cell as tenon_app, attack 7');
    const changed = await verifyTarget(await fileOf(note.replace('attack 7', 'attack 8')), { keys });
    expect([changed.integrity.verdict, changed.completeness.verdict]).toEqual(['fail', 'cannot say']);
  });
});
