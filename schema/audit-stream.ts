import { randomBytes } from 'node:crypto';
import type { Id } from './ids.ts';
import type { SecretPlace } from './sealed-secret.ts';

/** What receives a stream of the audit log. */
export enum StreamKind {
  WEBHOOK = 'webhook',
  SPLUNK = 'splunk',
  DATADOG = 'datadog',
  S3 = 's3',
  SYSLOG = 'syslog',
}

/** What an entry looks like when it is sent. */
export enum StreamForm {
  NATIVE = 'native',
  OCSF = 'ocsf',
  CLOUDEVENTS = 'cloudevents',
}

/** Whether a stream flows. */
export enum StreamState {
  ACTIVE = 'active',
  PAUSED = 'paused',
  FAILING = 'failing',
}

/** What a receiver needs beside its address; each kind knows some of it. */
export interface StreamSettings {
  /** Splunk: the index to write to, and the source type. */
  readonly index?: string;
  readonly sourceType?: string;
  /** Splunk: whether to wait until the indexer has acknowledged. */
  readonly acknowledge?: boolean;
  /** Datadog: the service, and tags separated by commas. */
  readonly service?: string;
  readonly tags?: string;
  /** S3: where objects go, what stands before their keys, and who writes them. */
  readonly region?: string;
  readonly bucket?: string;
  readonly prefix?: string;
  readonly accessKeyId?: string;
  /** Syslog over TLS: the authority (PEM) that its certificate is checked against instead of the public ones. */
  readonly certificate?: string;
  /** Syslog: the private enterprise number in the name of the structured data. */
  readonly enterpriseNumber?: number;
}

/** The settings that a kind of receiver must have, and those that it may have. */
export const STREAM_SETTINGS: Readonly<
  Record<
    StreamKind,
    { readonly needed: readonly (keyof StreamSettings)[]; readonly known: readonly (keyof StreamSettings)[] }
  >
> = {
  [StreamKind.WEBHOOK]: { needed: [], known: [] },
  [StreamKind.SPLUNK]: { needed: [], known: ['index', 'sourceType', 'acknowledge'] },
  [StreamKind.DATADOG]: { needed: [], known: ['service', 'tags'] },
  [StreamKind.S3]: { needed: ['region', 'bucket', 'accessKeyId'], known: ['prefix'] },
  [StreamKind.SYSLOG]: { needed: [], known: ['certificate', 'enterpriseNumber'] },
};

/** Where a syslog receiver listens. */
export interface SyslogAddress {
  /** A name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** The same place as a URL of https or http, for those who judge by it. */
  readonly url: string;
}

const SYSLOG = /^syslog\+(tls|tcp):\/\/([^/:@?#\s[\]]+|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{0,4}))?\/?$/;
/** RFC 5425 section 4.1, and IANA's `syslog-conn`. */
const SYSLOG_PORTS = { tls: 6514, tcp: 601 } as const;
const WEBHOOK_SECRET = /^whsec_([A-Za-z0-9+/]{32,88}={0,2})$/;
const WEBHOOK_KEY_BYTES = { least: 24, most: 64 } as const;

/** Returns where `syslog+tls://host:port` or `syslog+tcp://host:port` leads, or null for any other text. */
export function syslogAddress(endpoint: string): SyslogAddress | null {
  const [, transport, host = '', digits] = SYSLOG.exec(endpoint) ?? [];
  if (transport !== 'tls' && transport !== 'tcp') return null;
  const port = digits === undefined ? SYSLOG_PORTS[transport] : Number(digits);
  if (port > 65_535) return null;
  const tls = transport === 'tls';
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port, tls, url: `${tls ? 'https' : 'http'}://${host}:${port}/` };
}

/** Returns the key inside a webhook secret, `whsec_` and base64 of 24 to 64 bytes (Standard Webhooks), or null for another text. */
export function webhookKey(secret: string): Buffer | null {
  const key = Buffer.from(WEBHOOK_SECRET.exec(secret)?.[1] ?? '', 'base64');
  return key.length >= WEBHOOK_KEY_BYTES.least && key.length <= WEBHOOK_KEY_BYTES.most ? key : null;
}

/** Returns a new webhook secret of 32 random bytes. */
export function mintWebhookSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

/** Returns where the secret of a stream is sealed to. */
export function streamSecretPlace(tenant: Id<'tnt'>, stream: Id<'str'>): SecretPlace {
  return { tenant, purpose: 'audit stream secret', id: stream };
}
