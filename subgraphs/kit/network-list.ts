import { BlockList, isIP } from 'node:net';
import { fail } from '#schema/errors.ts';

/** Networks in CIDR notation, ready to be asked. */
export type NetworkList = BlockList;

const MAX_NETWORKS = 100;

/**
 * Returns networks as they are stored: an address without a length stands for itself alone. What is no IPv4 or IPv6
 * network, and more than 100 of them, is BAD_USER_INPUT.
 */
export function readNetworks(texts: readonly string[]): string[] {
  if (texts.length > MAX_NETWORKS)
    fail('BAD_USER_INPUT', 'too many networks', { hint: `At most ${MAX_NETWORKS} networks are taken.` });
  return texts.map((text) => {
    const { address, bits, most } = partsOf(text);
    if (most === 0 || !(bits <= most))
      fail('BAD_USER_INPUT', 'no network', {
        hint: `${JSON.stringify(text.slice(0, 64))} is no network in CIDR form.`,
      });
    return `${address}/${bits}`;
  });
}

/** Returns the networks of a stored list, or null for an empty one, which allows every address. */
export function networkList(networks: readonly string[]): NetworkList | null {
  if (networks.length === 0) return null;
  const list = new BlockList();
  for (const { address, bits, family } of networks.map(partsOf)) list.addSubnet(address, bits, family);
  return list;
}

/** Tells whether an address is in one of the networks; nobody's address is in none, and IPv4 within IPv6 is IPv4. */
export function isInNetworks(list: NetworkList, ip: string | null): boolean {
  const address = ip === null ? '' : ip.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
  const version = isIP(address);
  return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6');
}

interface NetworkParts {
  readonly address: string;
  readonly bits: number;
  readonly most: number;
  readonly family: 'ipv4' | 'ipv6';
}

/** An address with a zone is of one machine, so of no network. */
function partsOf(text: string): NetworkParts {
  const [address = '', length, ...rest] = text.trim().split('/');
  const version = rest.length > 0 || address.includes('%') ? 0 : isIP(address);
  const most = version === 4 ? 32 : version === 6 ? 128 : 0;
  const bits = length === undefined ? most : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  return { address, bits, most, family: version === 4 ? 'ipv4' : 'ipv6' };
}
