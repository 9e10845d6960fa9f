import { fileURLToPath } from 'node:url';
import { ConfigError, type Config } from '#schema/config.ts';
import type { Archive } from './archive.ts';
import type { AwsCredentials } from './aws-signature.ts';
import { filesystemArchive } from './filesystem.ts';
import type { S3Address } from './s3-client.ts';
import { s3Archive } from './s3.ts';

/** What opening an archive needs beside its URL. */
export interface OpenArchiveOptions {
  readonly clock: () => Date;
  /** Only S3 asks for them. */
  readonly credentials: AwsCredentials | null;
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const REGION = /^[a-z0-9-]{1,40}$/;
const PREFIX = /^(?:[a-z0-9_][a-z0-9._-]{0,127}\/){0,8}$/;

/**
 * Opens the archive of a URL: `file:///folder`, or `s3://bucket[/prefix]?region=...[&endpoint=http://host:port]`, by
 * default at Amazon. S3 is not asked anything yet, so it may be away. A URL that cannot be used is a ConfigError, whose
 * message repeats no credential.
 */
export async function openArchive(url: string, { clock, credentials }: OpenArchiveOptions): Promise<Archive> {
  if (url.startsWith('file:')) return filesystemArchive({ folder: fileURLToPath(url), clock });
  const address = s3AddressOf(url);
  if (credentials === null) {
    throw new ConfigError(
      `AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, but the archive in ${address.bucket} needs them`,
    );
  }
  return s3Archive({ address, credentials, clock });
}

/** Returns the credentials of the settings, or null where they are not set; one without the other is a ConfigError. */
export function archiveCredentials({
  awsAccessKeyId,
  awsSecretAccessKey,
}: Pick<Config, 'awsAccessKeyId' | 'awsSecretAccessKey'>): AwsCredentials | null {
  if (awsAccessKeyId === null && awsSecretAccessKey === null) return null;
  if (awsAccessKeyId === null || awsSecretAccessKey === null) {
    throw new ConfigError('AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are only of use together');
  }
  return { accessKeyId: awsAccessKeyId, secretAccessKey: awsSecretAccessKey };
}

function s3AddressOf(text: string): S3Address {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol !== 's3:') return refuse('is not a file:// or s3:// URL');
  const region = url.searchParams.get('region') ?? 'us-east-1';
  if (!BUCKET.test(url.hostname) || url.host !== url.hostname || url.username + url.password !== '')
    refuse('does not name a bucket alone');
  if (!REGION.test(region)) refuse('names no region');
  const prefix = url.pathname.replaceAll(/^\/+|\/+$/g, '');
  const address = { bucket: url.hostname, region, prefix: prefix === '' ? '' : `${prefix}/` };
  if (!PREFIX.test(address.prefix)) refuse('has a prefix that no archive key can start with');
  return { ...address, endpoint: endpointOf(url.searchParams.get('endpoint') ?? `https://s3.${region}.amazonaws.com`) };
}

function endpointOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const bare = url !== null && url.pathname === '/' && url.search + url.hash + url.username + url.password === '';
  if (!bare || !['http:', 'https:'].includes(url.protocol))
    return refuse('has an endpoint that is not http(s)://host[:port]');
  return url;
}

function refuse(why: string): never {
  throw new ConfigError(
    `an archive ${why}; it takes file:///folder or s3://bucket?endpoint=http://host:port&region=...`,
  );
}
