import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPersonalKeys, dataKeyFile, parseDataKeys } from '#kit/data-keys.ts';
import { inTenant, type Databases } from '#kit/database.ts';
import type { Id } from '#schema/ids.ts';
import { rotateDataKey } from '../../compliance/data-key-rotation.ts';
import { scopeOf } from '../isolation/two-tenants.ts';
import { CONTEXT_KEYS } from '../support/databases.ts';
import { openHouse, type House } from '../support/house.ts';
import { withClient } from '../support/postgres.ts';

const PERSON = '01a2083d-5036-7000-bf2c-446db8f822f8';
const folder = mkdtempSync(join(tmpdir(), 'tenon-data-keys-'));
const file = join(folder, 'data-keys.json');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let house: House;
let databases: Databases;
let tenants: Id<'tnt'>[];

beforeAll(async () => {
  house = await openHouse();
  databases = house.platform.databases;
  tenants = [house.acme.id, house.initech.id] as Id<'tnt'>[];
  writeFileSync(file, JSON.stringify({ current: 'd1', keys: [{ kid: 'd1', secret: '33'.repeat(32) }] }));
});

const read = () => parseDataKeys(readFileSync(file, 'utf8'));
const rotate = (isForgetting = false) =>
  rotateDataKey({
    file,
    stores: house.stores.settingsFor('tenon_worker', 'file:///nowhere'),
    contextKeys: CONTEXT_KEYS,
    isForgetting,
  });
/** A process that has read the file now, or at an earlier time. */
const aProcess = (keys = read()) => createPersonalKeys({ ...keys, reload: read });
const keyOf = (tenant: Id<'tnt'>, personal = aProcess()) =>
  inTenant(scopeOf(databases, tenant), async (tx) => (await personal.sealing(tx, tenant, [PERSON])).of(PERSON));
const secretOf = (tenant: Id<'tnt'>, kid: string, personal = aProcess()) =>
  inTenant(scopeOf(databases, tenant), async (tx) => (await personal.opening(tx, tenant, [kid])).get(kid));
function rows<Row extends object>(sql: string, values: unknown[] = []): Promise<Row[]> {
  return withClient(house.stores.url('eu-1'), async (client) => (await client.query<Row>(sql, values)).rows);
}
const kids = async () =>
  (await rows<{ kid: string }>('select distinct data_kid as kid from app.tenant_keys order by 1')).map(
    ({ kid }) => kid,
  );
function never(): never {
  throw new Error('an older key');
}

describe('a rotation of the key that wraps the keys of tenants', () => {
  it('wraps every one of them anew, opens all as before, and needs no restart', async () => {
    const early = aProcess();
    const keys = await Promise.all(tenants.map((tenant) => keyOf(tenant)));
    expect(await kids()).toEqual(['d1']);
    const { kid, isNew, older } = await rotate();
    expect([isNew, older]).toEqual([true, ['d1']]);
    expect(await kids()).toEqual([kid]);
    for (const [index, tenant] of tenants.entries()) {
      const { kid: name = '', secret } = keys[index] ?? {};
      expect(await secretOf(tenant, name)).toEqual(secret);
      expect(await secretOf(tenant, name, early)).toEqual(secret);
    }
  });

  it('goes on where it was ended, with the key that it had made', async () => {
    const { kid } = await rotate();
    const whole = readFileSync(file, 'utf8');
    const { all } = read();
    const [done] = await rows<{ tenant_id: string; wrapped: Buffer }>('select tenant_id, wrapped from app.tenant_keys');
    // As if it had been killed behind the first tenant: the others are wrapped by the key before.
    writeFileSync(file, dataKeyFile({ current: all[1] ?? never(), all }));
    await rotate();
    await rows('update app.tenant_keys set data_kid = $1, wrapped = $2 where tenant_id = $3', [
      kid,
      done?.wrapped,
      done?.tenant_id,
    ]);
    writeFileSync(file, whole);
    expect(await kids()).toHaveLength(2);
    const { isNew, rewrapped, kid: again } = await rotate();
    expect([again, isNew]).toEqual([kid, false]);
    expect(rewrapped).toBeGreaterThan(0);
    expect(await kids()).toEqual([kid]);
  });

  it('keeps older keys until they are to be forgotten, and forgets none that somebody needs', async () => {
    const { all, current } = read();
    expect(all.length).toBeGreaterThan(2);
    expect(await rotate(true)).toMatchObject({ kid: current.kid, isNew: false, older: [] });
    expect(read().all.map(({ kid }) => kid)).toEqual([current.kid]);
    const [tenant] = tenants;
    if (tenant === undefined) throw new Error('a tenant');
    expect((await keyOf(tenant)).kid).toMatch(/^[\w-]{22}$/);
  });

  it('is refused by the file alone: a tenant whose key it lacks is told, and nothing is changed', async () => {
    const { current } = read();
    const stranger = { kid: 'd9', secret: Buffer.alloc(32, 9) };
    writeFileSync(file, dataKeyFile({ current: stranger, all: [stranger] }));
    await expect(rotate()).rejects.toMatchObject({ code: 'INTERNAL_SERVER_ERROR' });
    expect(await kids()).toEqual([current.kid]);
  });
});
