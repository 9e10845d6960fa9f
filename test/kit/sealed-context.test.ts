import { describe, expect, it } from 'vitest';
import { sealedContext } from '#kit/sealed-context.ts';
import { openContext, type TenantContext } from '#schema/tenant-context.ts';
import { CONTEXT_KEYS } from '../support/databases.ts';

const NOW = 1_700_000_000_000;
const TENANT: TenantContext = {
  tenant: 'tnt_00000000000000000000000001',
  tier: 'FREE',
  region: 'eu',
  cell: 'eu-1',
  state: 'active',
  actor: { type: 'user', id: 'usr_00000000000000000000000001', ip: '127.0.0.1', ua: 'test' },
  scopes: ['tenant:read'],
  sessionId: null,
  epoch: 0,
  client: null,
  requestId: 'req_1',
};

const opened = (tenant: TenantContext, atMs = NOW) =>
  openContext(sealedContext(tenant, CONTEXT_KEYS, atMs), CONTEXT_KEYS, atMs);

describe('the envelope of a caller', () => {
  it('is one for her requests of some seconds, and says nothing of a request', () => {
    const first = sealedContext(TENANT, CONTEXT_KEYS, NOW);
    expect(sealedContext({ ...TENANT, requestId: 'req_2' }, CONTEXT_KEYS, NOW + 19_999)).toBe(first);
    expect(sealedContext(TENANT, CONTEXT_KEYS, NOW + 20_000)).not.toBe(first);
    expect(opened(TENANT)).toEqual({ ...TENANT, requestId: '' });
  });

  it.each([
    ['tier', { tier: 'GROWTH' }],
    ['state', { state: 'read_only' }],
    ['scopes', { scopes: ['tenant:read', 'tenant:write'] }],
    ['tenant', { tenant: 'tnt_00000000000000000000000002' }],
    ['client', { client: 'partner-app' }],
    ['epoch', { epoch: 1 }],
    ['actor', { actor: { ...TENANT.actor, ip: '127.0.0.2' } }],
  ] as const)('is another one where her %s is another', (_name, change) => {
    const changed = { ...TENANT, ...change } as TenantContext;
    opened(TENANT);
    expect(opened(changed)).toEqual({ ...changed, requestId: '' });
  });

  it('is not taken from a clock that jumped back', () => {
    const first = sealedContext(TENANT, CONTEXT_KEYS, NOW + 100_000);
    expect(sealedContext(TENANT, CONTEXT_KEYS, NOW)).not.toBe(first);
  });
});
