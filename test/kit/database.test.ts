import { beforeAll, describe, expect, it } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { mintId } from '#schema/ids.ts';
import { makeStores } from '../support/databases.ts';

describe('the door to tenant data', () => {
  it('opens', async () => {
    const stores = await makeStores();
    const databases = await stores.open();
    expect(databases.cells.length).toBe(2);
    const tenant = { tenant: mintId('tnt'), tier: 'FREE', region: 'eu', cell: 'eu-1', state: 'active', actor: { type: 'system', id: 'test', ip: null, ua: null }, scopes: [], sessionId: null, epoch: 0, client: null, requestId: 'req_test' } as const;
    const rows = await inTenant({ tenant, databases }, async (tx) => {
      await tx.query(`insert into tenants (slug, name, tier, region, cell, state) values ('acme', 'Acme', 'FREE', 'eu', 'eu-1', 'active')`);
      return tx.query('select slug from tenants');
    });
    expect(rows).toEqual([{ slug: 'acme' }]);
    await databases.close();
  });
});
