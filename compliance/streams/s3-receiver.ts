import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { outgoingFetch } from '#kit/outgoing-http.ts';
import { StreamForm } from '#schema/audit-stream.ts';
import { requestTarget, signRequest, type SignableRequest } from '../archive/aws-signature.ts';
import { exportLines } from './forms/native.ts';
import { notTaken, unreachable } from './receivers/http-answer.ts';
import { placeName, type Receiver, type StreamBatch } from './receivers/receiver.ts';

const compress = promisify(gzip);
const TIMEOUT_MS = 30_000;

/**
 * A bucket of S3 or alike, one object a batch: compressed NDJSON under
 * `<prefix><tenant>/YYYY/MM/DD/HH/<epoch>.<first seq>-<epoch>.<last seq>.ndjson.gz`, the time being that of the first
 * entry. In native form an object is an export, which `tenon verify` checks. The same batch again is the same object.
 */
export const s3Receiver: Receiver = {
  maxMessages: 1_000,
  maxBytes: 8_000_000,
  send: async ({ platform, endpoint, settings, secret }, batch) => {
    const { region = '', bucket = '', prefix = '', accessKeyId = '' } = settings;
    const body = await compress(
      linesOf(batch)
        .map((line) => `${line}\n`)
        .join(''),
    );
    const url = new URL(endpoint);
    const request: SignableRequest = {
      method: 'PUT',
      host: url.host,
      path: `/${bucket}/${prefix}${keyOf(batch)}`,
      query: {},
      headers: { 'content-md5': hash('md5', body, 'base64'), 'content-type': 'application/gzip' },
      body,
    };
    const credentials = { accessKeyId, secretAccessKey: secret };
    const answer = await outgoingFetch(platform, new URL(requestTarget(request), url), {
      method: 'PUT',
      headers: signRequest(request, { credentials, region, now: batch.now }),
      body,
      timeoutMs: TIMEOUT_MS,
    }).catch((thrown: unknown) => unreachable(thrown));
    if (answer.status !== 200) notTaken(`It answered ${answer.status}.`);
  },
};

function linesOf({ form, messages }: StreamBatch): string[] {
  const isTest = messages.some(({ streamed }) => streamed.isTest);
  if (form !== StreamForm.NATIVE || isTest) return messages.map(({ body }) => body);
  return exportLines(messages.map(({ streamed }) => streamed));
}

function keyOf({ tenant, messages, now }: StreamBatch): string {
  const [first, last] = [messages[0]?.streamed, messages.at(-1)?.streamed];
  if (first === undefined || last === undefined) throw new Error('a batch holds a message');
  if (first.isTest) return `${tenant}/test-${now.getTime()}.ndjson.gz`;
  const hours = first.entry.event.ts.slice(0, 13).replaceAll(/[-T]/g, '/');
  return `${tenant}/${hours}/${placeName(first)}-${placeName(last)}.ndjson.gz`;
}
