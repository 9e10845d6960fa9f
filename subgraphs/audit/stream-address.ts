import { checkOutgoingUrl, type OutgoingSettings } from '#kit/outgoing-http.ts';
import { STREAM_SETTINGS, StreamKind, syslogAddress, webhookKey, type StreamSettings } from '#schema/audit-stream.ts';
import { fail } from '#schema/errors.ts';

/** Returns the address of a receiver as it is stored; one that may not be reached, or is none of its kind, is BAD_USER_INPUT. */
export function checkedEndpoint(platform: OutgoingSettings, kind: StreamKind, endpoint: string): string {
  if (kind === StreamKind.SYSLOG) {
    const address = syslogAddress(endpoint) ?? refuse('It takes syslog+tls://host:port or syslog+tcp://host:port.');
    checkOutgoingUrl(platform, address.url);
    return endpoint;
  }
  const url = checkOutgoingUrl(platform, endpoint);
  if (kind !== StreamKind.WEBHOOK && (url.pathname !== '/' || url.search !== '' || url.hash !== ''))
    refuse('Of this kind it takes scheme, host and port alone; the path is known.');
  return url.href;
}

/** Returns the settings that are given; one that the kind does not know, or needs and does not get, is BAD_USER_INPUT. */
export function checkedSettings(kind: StreamKind, input: StreamSettings): StreamSettings {
  const { needed, known } = STREAM_SETTINGS[kind];
  const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value != null));
  const foreign = Object.keys(given).find((name) => ![...needed, ...known].some((each) => each === name));
  if (foreign !== undefined) refuse(`A receiver of this kind has no ${foreign}.`);
  const missing = needed.find((name) => !Object.hasOwn(given, name));
  if (missing !== undefined) refuse(`A receiver of this kind needs ${missing}.`);
  return given;
}

/** Refuses a secret that the kind cannot use with BAD_USER_INPUT; null stands for none. */
export function checkSecret(kind: StreamKind, secret: string | null): void {
  if (kind === StreamKind.SYSLOG) {
    if (secret !== null) refuse('A receiver of this kind has no secret.');
    return;
  }
  if (secret === null) return refuse('A receiver of this kind needs its secret.');
  if (kind === StreamKind.WEBHOOK && webhookKey(secret) === null)
    refuse('The secret of a webhook is whsec_ and the base64 of 24 to 64 bytes.');
}

/** Returns scheme, host and port, which are no secret, unlike a path. */
export function originOf(kind: StreamKind, endpoint: string): string {
  if (kind !== StreamKind.SYSLOG) return new URL(endpoint).origin;
  const { host, port, tls } = syslogAddress(endpoint) ?? refuse('It is no address of a syslog receiver.');
  return `syslog+${tls ? 'tls' : 'tcp'}://${host}:${port}`;
}

function refuse(hint: string): never {
  return fail('BAD_USER_INPUT', 'a stream is not of its kind', { hint });
}
