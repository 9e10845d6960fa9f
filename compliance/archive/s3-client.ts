import { Pool } from 'undici';
import { fail, TenonError } from '#schema/errors.ts';
import { requestTarget, signRequest, type AwsCredentials, type SignableRequest } from './aws-signature.ts';

/** A bucket and the way to it. */
export interface S3Address {
  /** Scheme, host and port. */
  readonly endpoint: URL;
  readonly region: string;
  readonly bucket: string;
  /** What stands before every key, with its closing slash; empty where the bucket holds one archive alone. */
  readonly prefix: string;
}

/** What a client needs. */
export interface S3ClientOptions {
  readonly address: S3Address;
  readonly credentials: AwsCredentials;
  /** Signatures hold for a quarter of an hour around it. */
  readonly clock: () => Date;
  /** For one request with its answer; 30 s where nothing is said. */
  readonly timeoutMs?: number;
}

/** One request to the bucket, or to one of its objects where `key` is given (with the prefix). */
export interface S3Request {
  readonly method: SignableRequest['method'];
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

/** What the store said, read whole. */
export interface S3Answer {
  readonly status: number;
  header(name: string): string | null;
  readonly body: Buffer;
}

/** Sends requests to one bucket. */
export type S3Client = (request: S3Request) => Promise<S3Answer>;

/** Far above a segment, far below what would hurt: the most that is sent in one request and read of one answer. */
export const MAX_S3_BODY_BYTES = 16 * 1024 * 1024;

const TIMEOUT_MS = 30_000;
const CONNECTIONS = 16;
const TOO_MANY_REQUESTS = 429;

/**
 * Returns a client for one bucket, addressed by path, every request signed. It repeats nothing and follows no redirect.
 * An answer up to status 499 is the caller's to judge; a store that is away, slow, busy or broken, and an answer above
 * MAX_S3_BODY_BYTES, is SERVICE_UNAVAILABLE. No error text holds a credential, a signature or a byte of a body.
 */
export function s3Client({ address, credentials, clock, timeoutMs = TIMEOUT_MS }: S3ClientOptions): S3Client {
  const { endpoint, region, bucket } = address;
  const pool = new Pool(endpoint.origin, { connections: CONNECTIONS, connectTimeout: timeoutMs });
  return async ({ method, key, query = {}, headers = {}, body = new Uint8Array() }) => {
    const path = key === undefined ? `/${bucket}` : `/${bucket}/${key}`;
    const request: SignableRequest = { method, host: endpoint.host, path, query, headers, body };
    try {
      const response = await pool.request({
        method,
        path: requestTarget(request),
        headers: signRequest(request, { credentials, region, now: clock() }),
        body: method === 'PUT' || method === 'POST' ? body : null,
        signal: AbortSignal.timeout(timeoutMs),
      });
      return usable({
        status: response.statusCode,
        header: (name) => firstOf(response.headers[name]),
        body: await readBounded(response.body),
      });
    } catch (cause) {
      if (cause instanceof TenonError) throw cause;
      return fail('SERVICE_UNAVAILABLE', `the bucket ${bucket} does not answer: ${reasonOf(cause)}`, { cause });
    }
  };
}

/** Says in the internal text what the store answered: status and code of its error, never its free text. */
export function describeAnswer({ status, body }: S3Answer): string {
  const [, code = ''] = /<Code>([A-Za-z0-9.]{1,64})<\/Code>/.exec(body.subarray(0, 4096).toString('latin1')) ?? [];
  return `${status} ${code}`.trim();
}

function usable(answer: S3Answer): S3Answer {
  if (answer.status >= 500 || answer.status === TOO_MANY_REQUESTS) {
    fail('SERVICE_UNAVAILABLE', `the bucket answers ${describeAnswer(answer)}`);
  }
  return answer;
}

async function readBounded(body: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of body) {
    if (!Buffer.isBuffer(chunk)) throw new Error('a response body comes in buffers');
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_S3_BODY_BYTES) fail('SERVICE_UNAVAILABLE', `an answer above ${MAX_S3_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function firstOf(value: string | string[] | undefined): string | null {
  return (Array.isArray(value) ? value[0] : value) ?? null;
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'unknown';
  const { code } = cause as { code?: unknown };
  return typeof code === 'string' ? code : cause.name;
}
