import { describe, expect, it } from 'vitest';
import { callerAddress, trustedProxiesOf } from '#kit/caller-address.ts';

const request = (remoteAddress: string, forwarded?: string) =>
  ({ socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } }) as unknown as Parameters<
    typeof callerAddress
  >[0];
const BALANCERS = trustedProxiesOf({ trustedProxies: ['10.0.0.0/8', '::1'] });

describe('the address of a caller', () => {
  it('is that of the connection where no proxy is trusted, whatever she says', () => {
    expect(callerAddress(request('203.0.113.7', '198.51.100.1'), trustedProxiesOf({ trustedProxies: null }))).toBe(
      '203.0.113.7',
    );
  });

  it('is what a trusted proxy says', () => {
    expect(callerAddress(request('10.0.0.2', '198.51.100.1'), BALANCERS)).toBe('198.51.100.1');
    expect(callerAddress(request('::ffff:10.0.0.2', '198.51.100.1'), BALANCERS)).toBe('198.51.100.1');
  });

  it('is not what she wrote herself in front of what the proxy says', () => {
    expect(callerAddress(request('10.0.0.2', '192.0.2.9, 198.51.100.1'), BALANCERS)).toBe('198.51.100.1');
  });

  it('is found through several proxies of ours', () => {
    expect(callerAddress(request('::1', '198.51.100.1, 10.0.0.3'), BALANCERS)).toBe('198.51.100.1');
  });

  it('is that of the connection where it comes past the proxies', () => {
    expect(callerAddress(request('203.0.113.7', '198.51.100.1'), BALANCERS)).toBe('203.0.113.7');
  });
});
