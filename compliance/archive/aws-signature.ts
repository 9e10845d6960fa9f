import { createHmac, hash } from 'node:crypto';

/** Who signs. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** One request to S3 as it is signed. */
export interface SignableRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** Host and, where it is not the scheme's own, port. */
  readonly host: string;
  /** Not encoded; begins with a slash. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Headers beside those that signing adds, names in small letters; all are signed. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Where and when a signature holds. */
export interface SigningScope {
  readonly credentials: AwsCredentials;
  readonly region: string;
  readonly now: Date;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';

/** Returns all headers of the request with its signature (AWS Signature Version 4, service `s3`, whole body hashed). */
export function signRequest(
  request: SignableRequest,
  { credentials, region, now }: SigningScope,
): Record<string, string> {
  const time = `${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
  const headers: Record<string, string> = {
    ...request.headers,
    host: request.host,
    'x-amz-content-sha256': hash('sha256', request.body, 'hex'),
    'x-amz-date': time,
  };
  const names = Object.keys(headers).toSorted();
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
  const canonical = canonicalRequest(request, headers, names);
  const key = signingKey(credentials, time.slice(0, 8), region);
  const signature = hmac(key, `${ALGORITHM}\n${time}\n${scope}\n${hash('sha256', canonical, 'hex')}`).toString('hex');
  const credential = `Credential=${credentials.accessKeyId}/${scope}`;
  return {
    ...headers,
    authorization: `${ALGORITHM} ${credential},SignedHeaders=${names.join(';')},Signature=${signature}`,
  };
}

/** Returns path and query as they are signed and must be sent: percent-encoded by RFC 3986, the query in its order. */
export function requestTarget({ path, query }: Pick<SignableRequest, 'path' | 'query'>): string {
  const search = canonicalQuery(query);
  return search === '' ? canonicalPath(path) : `${canonicalPath(path)}?${search}`;
}

function canonicalRequest(
  request: SignableRequest,
  headers: Readonly<Record<string, string>>,
  names: readonly string[],
): string {
  return [
    request.method,
    canonicalPath(request.path),
    canonicalQuery(request.query),
    ...names.map((name) => `${name}:${headers[name]?.trim()}`),
    '',
    names.join(';'),
    headers['x-amz-content-sha256'],
  ].join('\n');
}

function canonicalPath(path: string): string {
  return path.split('/').map(encode).join('/');
}

function canonicalQuery(query: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(query).map(([name, value]) => [encode(name), encode(value)] as const);
  return pairs
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map((pair) => pair.join('='))
    .join('&');
}

function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function signingKey({ secretAccessKey }: AwsCredentials, day: string, region: string): Buffer {
  return [day, region, 's3', 'aws4_request'].reduce<Buffer>(
    (key, part) => hmac(key, part),
    Buffer.from(`AWS4${secretAccessKey}`),
  );
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
