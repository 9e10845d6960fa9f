import type { IncomingHttpHeaders } from 'node:http';
import type { Config } from '#schema/config.ts';
import { isInNetworks, networkList } from './network-list.ts';

/** Tells whether an address is one of our own balancers. */
export type IsTrusted = (address: string) => boolean;

/** Returns which addresses the settings trust to say whom they speak for; nobody by default. */
export function trustedProxiesOf({ trustedProxies }: Pick<Config, 'trustedProxies'>): IsTrusted | false {
  const list = networkList(trustedProxies ?? []);
  return list === null ? false : (address) => isInNetworks(list, address);
}

/** A request, as far as it tells where it comes from. */
interface FromAddress {
  readonly socket: { readonly remoteAddress?: string | undefined };
  readonly headers: IncomingHttpHeaders;
}

/**
 * Returns where a request comes from: the last address that no trusted proxy vouches for. What stands further left in
 * X-Forwarded-For the caller may have written herself.
 */
export function callerAddress({ socket, headers }: FromAddress, isTrusted: IsTrusted | false): string {
  let address = socket.remoteAddress ?? '';
  const forwarded = headers['x-forwarded-for'];
  if (isTrusted === false || typeof forwarded !== 'string') return address;
  for (const next of forwarded.split(',').toReversed()) {
    if (!isTrusted(address)) return address;
    address = next.trim();
  }
  return address;
}
