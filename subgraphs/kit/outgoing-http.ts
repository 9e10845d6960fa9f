import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { BlockList, isIP } from 'node:net';
import { Agent, request, type Dispatcher } from 'undici';
import type { Config } from '#schema/config.ts';
import { asTenonError, fail, TenonError } from '#schema/errors.ts';

/** The settings that say where a request may go. */
export interface OutgoingSettings {
  readonly config: Pick<Config, 'profile' | 'outgoingPrivate'>;
}

/** A request to an address that a tenant named, such as her identity provider's. */
export interface OutgoingRequest {
  /** By default GET. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** By default 5 s, from the first byte sent to the last received. */
  readonly timeoutMs?: number;
  /** The largest answer that is taken; by default 1 MiB. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 5_000;
const MAX_BYTES = 1024 * 1024;
/** Said of every address that is refused, so that nobody learns from us what lies behind our wall. */
const REFUSED_HINT = 'Its address is not one that may be reached from here.';

/**
 * Sends a request to an address of somebody else and returns the whole answer, of any status. Redirects are not followed.
 * Outside embedded mode only https is spoken; private, loopback and link-local addresses are refused, whatever the name
 * resolves to, unless the settings allow them. A refused address is BAD_USER_INPUT; a peer that does not answer in time,
 * or with more than `maxBytes`, is SERVICE_UNAVAILABLE.
 */
export async function outgoingFetch(
  platform: OutgoingSettings,
  url: string | URL,
  init: OutgoingRequest = {},
): Promise<Response> {
  const address = checkOutgoingUrl(platform, url);
  const limit = AbortSignal.timeout(init.timeoutMs ?? TIMEOUT_MS);
  try {
    const answer = await request(address, {
      method: init.method ?? 'GET',
      headers: { 'user-agent': 'tenon', ...init.headers },
      body: init.body ?? null,
      signal: init.signal === undefined ? limit : AbortSignal.any([limit, init.signal]),
      dispatcher: isPrivateAllowed(platform) ? OPEN : WALLED,
    });
    const body = await bounded(answer.body, init.maxBytes ?? MAX_BYTES);
    return new Response(body.length === 0 ? null : body, { status: answer.statusCode, headers: flat(answer.headers) });
  } catch (thrown) {
    const error = asTenonError(thrown);
    if (error.code !== 'INTERNAL_SERVER_ERROR') throw error;
    throw new TenonError('SERVICE_UNAVAILABLE', `no answer from ${address.host}: ${error.message}`, { cause: thrown });
  }
}

/**
 * Returns an address that requests may go to, so far as the text alone can say; any other is BAD_USER_INPUT. Names are
 * judged when they are resolved, by `outgoingFetch`.
 */
export function checkOutgoingUrl(platform: OutgoingSettings, url: string | URL): URL {
  const address = URL.canParse(String(url)) ? new URL(String(url)) : fail('BAD_USER_INPUT', 'no URL');
  const { profile, outgoingPrivate } = platform.config;
  const schemes = profile === 'embedded' || outgoingPrivate === 'allow-http' ? ['https:', 'http:'] : ['https:'];
  if (!schemes.includes(address.protocol)) refuse(`scheme ${address.protocol}`, 'Only https addresses are taken.');
  if (address.username !== '' || address.password !== '') refuse('credentials in a URL', 'It must hold no password.');
  const host = address.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
  if (!isPrivateAllowed(platform) && (host === 'localhost' || host.endsWith('.localhost') || isPrivateAddress(host)))
    refuse('a private address', REFUSED_HINT);
  return address;
}

/** Tells whether an IP address is none of the public Internet's; a text that is no IP address is not. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return false;
  if (family === 4) return PRIVATE.check(address, 'ipv4');
  // Beside the unicast space there are only addresses of this machine, this network, or wrapped ones of IPv4.
  return !PUBLIC.check(address, 'ipv6') || PRIVATE.check(address, 'ipv6');
}

/** IANA's special-purpose registries (RFC 6890), without those that lie outside 2000::/3. */
const PRIVATE = new BlockList();
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  PRIVATE.addSubnet(net, prefix, 'ipv4');
for (const [net, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  PRIVATE.addSubnet(net, prefix, 'ipv6');

const PUBLIC = new BlockList();
PUBLIC.addSubnet('2000::', 3, 'ipv6');

const CONNECT_TIMEOUT_MS = 3_000;
const AGENT = { connections: 8, pipelining: 1, keepAliveTimeout: 4_000, maxHeaderSize: 16_384 } as const;
const OPEN = new Agent({ ...AGENT, connect: { timeout: CONNECT_TIMEOUT_MS } });
/** The name is judged by what the socket connects to, so that a second answer of DNS cannot differ from the first. */
const WALLED = new Agent({ ...AGENT, connect: { timeout: CONNECT_TIMEOUT_MS, lookup: publicLookup } });

type LookupCallback = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/** Looks a name up as `dns.lookup` does, and refuses one that leads to an address that is none of the public Internet's. */
export function publicLookup(hostname: string, options: LookupOptions, callback: LookupCallback): void {
  dnsLookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, []);
    if (addresses.length === 0 || addresses.some(({ address }) => isPrivateAddress(address)))
      return callback(new TenonError('BAD_USER_INPUT', `${hostname} is private`, { hint: REFUSED_HINT }), []);
    const [first] = addresses;
    if (options.all === true) callback(null, addresses);
    else callback(null, first?.address ?? '', first?.family);
  });
}

/** Tells whether requests may go to private networks, by the settings. */
export function isPrivateAllowed({ config }: OutgoingSettings): boolean {
  return config.outgoingPrivate === null ? config.profile === 'embedded' : config.outgoingPrivate !== 'refuse';
}

async function bounded(body: Dispatcher.ResponseData['body'], maxBytes: number): Promise<Buffer<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop destroys the stream, and with it the connection.
    if (length > maxBytes) fail('SERVICE_UNAVAILABLE', `an answer is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function flat(headers: Dispatcher.ResponseData['headers']): Headers {
  const result = new Headers();
  for (const [name, value] of Object.entries(headers))
    for (const each of [value ?? []].flat()) result.append(name, each);
  return result;
}

function refuse(internal: string, hint: string): never {
  return fail('BAD_USER_INPUT', internal, { hint });
}
