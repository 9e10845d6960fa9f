import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import { openSecret, sealSecret, type SecretPlace } from '#schema/sealed-secret.ts';
import { parseContextKeys } from '#schema/tenant-context.ts';

const keysSigningWith = (signing: string) =>
  parseContextKeys(
    JSON.stringify({
      signing,
      keys: [
        { kid: 'k1', secret: '11'.repeat(32) },
        { kid: 'k2', secret: '22'.repeat(32) },
      ],
    }),
  );
const KEYS = keysSigningWith('k1');
const PLACE: SecretPlace = { tenant: mintId('tnt'), purpose: 'oidc client secret', id: 'con_1' };

describe('a sealed secret', () => {
  it('opens to what was sealed, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (secret) => {
        const sound = Buffer.from(secret, 'utf8').toString('utf8');
        expect(openSecret(KEYS, PLACE, sealSecret(KEYS, PLACE, sound))).toBe(sound);
      }),
    );
  });

  it('shows nothing of the secret and is never the same twice', () => {
    const sealed = sealSecret(KEYS, PLACE, 'correct horse');
    expect(Buffer.from(sealed.split('.')[2] ?? '', 'base64url').includes('horse')).toBe(false);
    expect(sealSecret(KEYS, PLACE, 'correct horse')).not.toBe(sealed);
  });

  it('opens after the signing key has changed', () => {
    expect(openSecret(keysSigningWith('k2'), PLACE, sealSecret(KEYS, PLACE, 'kept'))).toBe('kept');
  });

  it.each([
    ['of another tenant', { ...PLACE, tenant: mintId('tnt') }],
    ['for another purpose', { ...PLACE, purpose: 'totp secret' }],
    ['of another row', { ...PLACE, id: 'con_2' }],
  ])('does not open in the place %s', (_, other) => {
    const sealed = sealSecret(KEYS, PLACE, 'mine');
    expect(() => openSecret(KEYS, other, sealed)).toThrow();
  });

  it('does not open when any byte of it has changed', () => {
    const sealed = sealSecret(KEYS, PLACE, 'whole');
    const bytes = Buffer.from(sealed.split('.')[2] ?? '', 'base64url');
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      expect(() => openSecret(KEYS, PLACE, `v1.k1.${changed.toString('base64url')}`)).toThrow();
    }
  });

  it.each(['', 'v1', 'v2.k1.AAAA', 'v1.k9.AAAA', 'v1.k1.', 'v1.k1.AAAA'])('does not open %j', (text) => {
    expect(() => openSecret(KEYS, PLACE, text)).toThrow();
  });
});
