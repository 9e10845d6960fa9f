import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { compose } from '#kit/composition.ts';
import { subgraphs } from '#subgraphs';
import { sha256Hex } from '#schema/operation-id.ts';
import { startGateway, type RunningGateway } from '../../gateway/server.ts';
import { metricOf, post } from '../support/graphql-http.ts';
import { openHouse, type House } from '../support/house.ts';
import { letRun, partnerKey } from '../support/partner.ts';
import { apolloManifest, OPERATION_MUTATIONS } from '../subgraphs/tenants/operations-fixture.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

const house = await openHouse();
const scopes = ['tenant:read', 'projects:read'];
const key = await partnerKey(house, 'acme', { client: 'partner', scopes });
const others = await partnerKey(house, 'globex', { client: 'partner', scopes });

let written = '';
vi.spyOn(process.stderr, 'write').mockImplementation((text) => (written += String(text)) !== '');
afterAll(() => void vi.restoreAllMocks());

type Sender = Pick<House, 'fetch'>;

/** How many operations found their program at a gateway, and how many did not. */
async function programs(at: Sender): Promise<{ hits: number; misses: number }> {
  const count = (result: string) => metricOf(at, `tenon_program_cache_total{result="${result}"}`);
  return { hits: await count('hit'), misses: await count('miss') };
}

/** Another gateway over the same stores, as after a deployment. */
async function startAgain(): Promise<RunningGateway> {
  const { config } = house.platform;
  const gateway = await startGateway({
    platform: { ...house.platform, config: { ...config, port: 0 } },
    subgraphs,
    supergraphSdl: compose(subgraphs),
    operationsFolder: fileURLToPath(new URL('../../schema/operations', import.meta.url)),
    verifierKey: TEST_SIGNING_KEY.verifierKey,
  });
  afterAll(() => gateway.close());
  return gateway;
}

async function compiledSince(start: number, count: number): Promise<void> {
  await vi.waitFor(() => {
    const lines = written.slice(start).matchAll(/registered operations were compiled","compiled":(\d+)/g);
    expect([...lines].reduce((total, [, compiled]) => total + Number(compiled), 0)).toBe(count);
  }, 10_000);
}

describe('operations that a tenant registers', () => {
  it('are compiled when they are approved, so that the first request of a client finds its program', async () => {
    const bodies = ['query First { tenant { slug } }', 'query Second { tenant { name } }'];
    const start = written.length;
    await letRun(house, 'acme', { client: 'partner', bodies });
    await compiledSince(start, 2);
    const before = await programs(house);
    for (const [index, body] of bodies.entries()) {
      const named = index === 0 ? {} : { operationName: 'Second' };
      const answer = await post(house, key, { body: { documentId: sha256Hex(body), ...named } });
      expect(answer.body.errors).toBeUndefined();
    }
    expect(await programs(house)).toEqual({ hits: before.hits + 2, misses: before.misses });
  });

  it('are not compiled before they are approved', async () => {
    const bodies = ['query Fourth { tenant { slug name } }'];
    const start = written.length;
    await house.graphql(house.acme.admin, OPERATION_MUTATIONS.registerOperations, {
      input: { client: 'partner', manifest: apolloManifest(bodies) },
    });
    // What is there by then is looked at with the next one.
    await letRun(house, 'acme', { client: 'other', bodies: ['query Fifth { tenant { id name } }'] });
    await compiledSince(start, 1);
  });

  it('are compiled by a gateway that starts, of every tenant, and the same text once', async () => {
    const bodies = ['query Third { tenant { id } }'];
    for (const tenant of ['acme', 'globex'] as const) await letRun(house, tenant, { client: 'partner', bodies });
    const start = written.length;
    const gateway = await startAgain();
    await compiledSince(start, 4);
    const at: Sender = {
      fetch: (token, path, init) =>
        fetch(`${gateway.url}${path}`, {
          ...init,
          headers: { ...(init?.headers as Record<string, string>), authorization: `Bearer ${token}` },
        }),
    };
    for (const token of [key, others]) {
      const answer = await post(at, token, { body: { documentId: sha256Hex(bodies[0] ?? '') } });
      expect(answer.body.errors).toBeUndefined();
    }
    expect(await programs(at)).toEqual({ hits: 2, misses: 0 });
  });
});
