import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ensureRoles, sqlPath } from '#kit/database-setup.ts';
import { migrate } from '#kit/migrations.ts';
import { uuidv7 } from '#schema/ids.ts';
import { BUILT_IN_ROLES } from '#schema/scopes.ts';
import { createDatabase, databaseUrl, withClient } from '../support/postgres.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const PASSWORDS = { tenon_owner: 'owner', tenon_app: 'app', tenon_worker: 'worker' };
/** Rights that came with later migrations. */
const NEW: ReadonlySet<string> = new Set([
  'operations:write',
  'operations:approve',
  'schema:read',
  'identity:read',
  'identity:write',
  'jobs:read',
  'jobs:write',
  'tenant:export',
]);

it('the built-in roles of tenants that are there get the rights that came later, and roles of her own do not', async () => {
  const { url, name } = await createDatabase();
  await ensureRoles(url, PASSWORDS);
  await withClient(url, (client) => client.query(`alter database "${name}" owner to tenon_owner`));
  const owner = databaseUrl(name, { name: 'tenon_owner', password: PASSWORDS.tenon_owner });
  const before = join(temporaryFolder('migrations'), 'cell');
  mkdirSync(before);
  for (const file of readdirSync(sqlPath('cell')))
    if (file < '0010') cpSync(join(sqlPath('cell'), file), join(before, file));
  for (const folder of [sqlPath('tenancy'), before]) await migrate({ url: owner, folder, log: () => undefined });
  const rolesOf = () =>
    withClient(url, async (client) => {
      const { rows } = await client.query<{ name: string; scopes: string[] }>('select name, scopes from app.roles');
      return Object.fromEntries(rows.map((row) => [row.name, row.scopes.toSorted()]));
    });
  await withClient(url, async (client) => {
    const tenant = uuidv7();
    await client.query(
      `insert into app.tenants (tenant_id, slug, name, tier, region, cell, state) values ($1, 'old', 'Old', 'FREE', 'eu', 'eu-1', 'active')`,
      [tenant],
    );
    for (const [role, scopes] of [...Object.entries(BUILT_IN_ROLES), ['own', ['tenant:read']] as const]) {
      const held = scopes.filter((scope) => !NEW.has(scope));
      await client.query('insert into app.roles (tenant_id, id, name, scopes, built_in) values ($1, $2, $3, $4, $5)', [
        tenant,
        uuidv7(),
        role,
        held,
        role !== 'own',
      ]);
    }
  });
  await migrate({ url: owner, folder: sqlPath('cell'), log: () => undefined });
  const expected = Object.entries(BUILT_IN_ROLES).map(([role, scopes]) => [role, scopes.toSorted()]);
  expect(await rolesOf()).toEqual({ ...Object.fromEntries(expected), own: ['tenant:read'] });
});
