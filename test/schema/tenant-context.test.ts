import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import {
  databaseSecret,
  databaseToken,
  openContext,
  parseContextKeys,
  sealContext,
  type TenantContext,
} from '#schema/tenant-context.ts';

const file = (signing: string, ...kids: string[]) =>
  JSON.stringify({
    signing,
    keys: kids.map((kid) => ({ kid, secret: kid.charCodeAt(1).toString(16).padStart(2, '0').repeat(32) })),
  });
const keys = parseContextKeys(file('k1', 'k1'));
const NOW = Date.UTC(2026, 4, 4);
const context: TenantContext = {
  tenant: mintId('tnt'),
  tier: 'GROWTH',
  region: 'eu',
  cell: 'eu-1',
  state: 'active',
  actor: { type: 'user', id: mintId('usr'), ip: '203.0.113.5', ua: 'Zoë’s browser' },
  scopes: ['projects:read'],
  sessionId: mintId('ses'),
  epoch: 3,
  client: null,
  requestId: 'req_1',
};

describe('an envelope of the tenant context', () => {
  it('opens to what was sealed', () => {
    expect(openContext(sealContext(context, keys, NOW), keys, NOW)).toEqual(context);
  });

  it('is refused once a minute has passed', () => {
    const envelope = sealContext(context, keys, NOW);
    expect(() => openContext(envelope, keys, NOW + 59_999)).not.toThrow();
    expect(() => openContext(envelope, keys, NOW + 60_000)).toThrow('expired');
  });

  it('is refused when any character of it was changed', () => {
    const envelope = sealContext(context, keys, NOW);
    fc.assert(
      fc.property(fc.nat(envelope.length - 1), fc.constantFrom('A', 'a', '0', '.', '_', '-'), (at, character) => {
        fc.pre(envelope[at] !== character);
        const changed = envelope.slice(0, at) + character + envelope.slice(at + 1);
        expect(() => openContext(changed, keys, NOW)).toThrow(expect.objectContaining({ code: 'UNAUTHENTICATED' }));
      }),
    );
  });

  it.each([[''], ['v1'], ['v1.k1.1.x.y.z'], ['a'.repeat(10_000)], ['....'], ['v1.k1.NaN.e30.']])(
    'is refused as %.20s',
    (text) => {
      expect(() => openContext(text, keys, NOW)).toThrow(expect.objectContaining({ code: 'UNAUTHENTICATED' }));
    },
  );

  it('of an older key opens as long as that key is in the file, and no longer', () => {
    const envelope = sealContext(context, keys, NOW);
    expect(openContext(envelope, parseContextKeys(file('k2', 'k2', 'k1')), NOW)).toEqual(context);
    expect(() => openContext(envelope, parseContextKeys(file('k2', 'k2')), NOW)).toThrow(
      expect.objectContaining({ code: 'UNAUTHENTICATED' }),
    );
  });
});

describe('a key file', () => {
  it.each([
    ['no JSON', '{'],
    ['a signing key that is not in it', file('k9', 'k1')],
    ['a short secret', JSON.stringify({ signing: 'k1', keys: [{ kid: 'k1', secret: 'ab' }] })],
    ['a key without a name', JSON.stringify({ signing: 'k1', keys: [{ secret: 'ab'.repeat(32) }] })],
  ])('with %s is refused', (_name, text) => {
    expect(() => parseContextKeys(text)).toThrow();
  });
});

describe('a database token', () => {
  it('names tenant, end and key, and its secret cannot seal an envelope', () => {
    const [uuid, expiry, kid, mac] = databaseToken(context, keys, NOW).split('.');
    expect(uuid).toMatch(/^[0-9a-f-]{36}$/);
    expect(Number(expiry)).toBe(NOW / 1000 + 15 * 60);
    expect(kid).toBe('k1');
    expect(mac).toMatch(/^[0-9a-f]{64}$/);
    const secret = databaseSecret(keys.signing, context.cell).toString('hex');
    const forged = parseContextKeys(JSON.stringify({ signing: 'k1', keys: [{ kid: 'k1', secret }] }));
    expect(() => openContext(sealContext(context, forged, NOW), keys, NOW)).toThrow(
      expect.objectContaining({ code: 'UNAUTHENTICATED' }),
    );
  });
});
