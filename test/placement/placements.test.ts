import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cellStoresOf } from '#kit/cell-stores.ts';
import { systemContext } from '#kit/credential.ts';
import { inTenant, openDatabases, type Databases } from '#kit/database.ts';
import { findTenantBySlug } from '#kit/directory.ts';
import { enqueueJob } from '#kit/jobs/enqueue.ts';
import { startJobRunner } from '#kit/jobs/runner.ts';
import { requestContext } from '#kit/request-context.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { inStore, storeUrl } from '#schema/tenant-store.ts';
import { subgraphs } from '#subgraphs';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { startWorker } from '../../compliance/worker.ts';
import { deferred, kindOf } from '../kit/jobs/jobs-fixture.ts';
import { createProject } from '../subgraphs/product/operations.ts';
import { DATA_KEYS } from '../support/data-keys.ts';
import { CONTEXT_KEYS } from '../support/databases.ts';
import { openHouse, type House } from '../support/house.ts';
import { openOperator } from '../support/operator.ts';
import { withClient } from '../support/postgres.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const PROJECTS = '{ projects(first: 50) { edges { node { name } } } }';

describe.each(['pool', 'silo', 'bridge'] as const)('tenants in a %s', (placement) => {
  let house: House;
  let worker: Databases;
  beforeAll(async () => {
    house = await openHouse({ placement });
    worker = await openDatabases({
      ...house.stores.settingsFor('tenon_worker', 'file:///nowhere'),
      keys: CONTEXT_KEYS,
      dataKeys: DATA_KEYS,
      entities: subgraphs.flatMap(({ entities }) => entities),
      poolSize: 8,
    });
  });
  afterAll(() => worker.close());

  const contextOf = async (slug: string): Promise<TenantContext> => {
    const place = await findTenantBySlug(house.databases, slug);
    if (place === null) throw new Error(`no tenant ${slug}`);
    return systemContext(house.databases, place.id, { name: 'test', requestId: 'req_test' });
  };
  const rowsIn = async (store: string, tenant: string) => {
    const { rows } = await withClient(storeUrl(house.stores.url('eu-1'), store), (client) =>
      client.query<{ name: string }>(
        inStore(`select p.name from app.projects p join app.tenants t using (tenant_id) where t.slug = $1`, store),
        [tenant],
      ),
    );
    return rows.map(({ name }) => name);
  };

  it('have their rows there and nowhere else', async () => {
    await createProject(house, house.acme.member, 'Apollo');
    const { store = '' } = await contextOf('acme');
    expect(store).toMatch(new RegExp(`^${placement}(?:_\\d+)*$`));
    expect(await rowsIn(store, 'acme')).toEqual(['Apollo']);
    if (placement !== 'pool') expect(await rowsIn('pool', 'acme')).toEqual([]);
  });

  it('see their own through the front door, and nothing of each other', async () => {
    await createProject(house, house.initech.member, 'Zeus');
    await createProject(house, house.globex.member, 'Hera');
    const names = async (token: string) => {
      const { data } = await house.graphql(token, PROJECTS);
      const { projects } = data as unknown as { projects: { edges: { node: { name: string } }[] } };
      return projects.edges.map(({ node }) => node.name);
    };
    expect(await names(house.acme.member)).toEqual(['Apollo']);
    expect(await names(house.initech.member)).toEqual(['Zeus']);
    expect(await names(house.globex.member)).toEqual(['Hera']);
  });

  it("show no row to another tenant's context, even where it leads to their store", async () => {
    const [acme, initech] = [await contextOf('acme'), await contextOf('initech')];
    const astray = { databases: house.databases, tenant: { ...initech, store: acme.store ?? 'pool' } };
    const names = await inTenant(astray, (tx) => tx.query('select name from projects'));
    expect(names).toEqual(placement === 'pool' ? [{ name: 'Zeus' }] : []);
    if (placement === 'pool') return;
    await expect(
      inTenant(astray, (tx) => tx.query(`insert into projects (id, name) values (gen_random_uuid(), 'mine')`)),
    ).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('are refused at once with a credential that was revoked, though it was remembered', async () => {
    const { data } = await house.graphql(
      house.acme.admin,
      'mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { token credential { id } } }',
      { input: { name: 'short-lived', client: 'placement-test', scopes: ['projects:read'] } },
    );
    const made = data as unknown as { createApiKey: { token: string; credential: { id: string } } };
    const { token, credential } = made.createApiKey;
    for (let time = 0; time < 3; time += 1) expect((await house.graphql(token, PROJECTS)).status).not.toBe(401);
    await house.graphql(
      house.acme.admin,
      'mutation ($input: RevokeCredentialInput!) { revokeCredential(input: $input) { credential { id } } }',
      { input: { credentialId: credential.id } },
    );
    expect((await house.graphql(token, PROJECTS)).status).toBe(401);
  });

  it('have every event of theirs in their logs, sealed, and none left behind', async () => {
    const folder = temporaryFolder('placement');
    const clock = () => new Date();
    const { cells } = house.stores.settingsFor('tenon_worker', `file://${folder}`);
    const served = await Promise.all(
      cells.map(async (cell) => ({
        ...cell,
        archive: await filesystemArchive({ folder: join(folder, cell.name), clock }),
      })),
    );
    const running = startWorker({
      cells: served,
      signer: TEST_SIGNING_KEY,
      clock,
      sealIntervalMs: 50,
      storesOf: (cell) => cellStoresOf(worker, cell),
    });
    const { tenant, store = 'pool' } = await contextOf('acme');
    const url = storeUrl(house.stores.url('eu-1'), store);
    const waiting = () =>
      withClient(
        url,
        async (client) => (await client.query<{ id: string }>(inStore('select id from app.outbox', store))).rows.length,
      );
    do await running.idle();
    while ((await waiting()) > 0);
    await running.stop();
    const { data } = await house.graphql(
      house.acme.auditor,
      '{ auditEvents(first: 50) { edges { node { action } } } }',
    );
    expect(JSON.stringify(data)).toContain('project.create');
    expect(running.counters['eu-1']).toMatchObject({ eventsRefused: 0, failedTurns: 0, unsealedLogs: 0 });
    expect(tenant).toBe(house.acme.id);
  });

  it('have their jobs done', async () => {
    const seen = deferred<string>();
    const kind = kindOf<string>({
      name: 'placement.greet',
      run: async (ctx, input) => seen.resolve(`${input} ${ctx.tenant.store}`),
    });
    const runner = startJobRunner({
      platform: { ...house.platform, databases: worker },
      kinds: [kind],
      recoveryMs: 100,
    });
    const tenant = await contextOf('acme');
    const ctx = requestContext(house.platform, tenant);
    const job = await inTenant(ctx, (tx) => enqueueJob(tx, ctx, { kind, input: 'hello from' }));
    expect(await seen.promise).toBe(`hello from ${tenant.store}`);
    await expect
      .poll(async () => (await house.graphql(house.acme.admin, `{ job(id: "${job}") { state } }`)).data, {
        timeout: 10_000,
      })
      .toEqual({ job: { state: 'SUCCEEDED' } });
    await runner.stop();
  });
});

describe('an operator', () => {
  it('chooses where a tenant lies among what stands ready, which nobody else may', async () => {
    const house = await openHouse();
    const operate = await openOperator(house);
    const inputOf = (slug: string, placement: string | null) => ({
      slug,
      name: slug,
      tier: 'GROWTH',
      region: 'eu',
      adminEmail: `a@${slug}.example`,
      adminName: 'A',
      placement,
    });
    const silo = await house.stores.addSilo('eu-1');
    await operate('CreateTenant', inputOf('umbrella', 'SILO'));
    await operate('CreateTenant', inputOf('hooli', null));
    await expect(operate('CreateTenant', inputOf('wayne', 'BRIDGE'))).rejects.toThrow('SERVICE_UNAVAILABLE');
    const places = await Promise.all(
      ['umbrella', 'hooli', 'wayne'].map((slug) => findTenantBySlug(house.databases, slug)),
    );
    expect(places.map((place) => place?.store)).toEqual([silo, 'pool', undefined]);
    const refused = await house.graphql(
      house.acme.admin,
      'mutation ($input: CreateTenantInput!) { createTenant(input: $input) { tenant { id } } }',
      { input: inputOf('evil', 'SILO') },
    );
    expect(refused.errors?.[0]?.extensions.code).toBe('FORBIDDEN');
  });
});
