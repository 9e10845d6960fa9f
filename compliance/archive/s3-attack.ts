import { hash } from 'node:crypto';
import { fail, TenonError } from '#schema/errors.ts';
import type { StoreAttack } from './archive.ts';
import { describeAnswer, type S3Answer, type S3Client, type S3Request } from './s3-client.ts';

/** The bucket, and the object that is tried on. */
export interface AttackOptions {
  readonly client: S3Client;
  readonly clock: () => Date;
  /** With the prefix of the bucket; more objects stand beside it, their keys longer than this one. */
  readonly key: string;
  /** When the retention of the objects ends. */
  readonly until: Date;
}

interface Target extends AttackOptions {
  /** The locked version. */
  readonly versionId: string;
}

type Judged = Omit<StoreAttack, 'attempt'>;

const BYTES = Buffer.from('kept by Object Lock\n');
const OTHER = Buffer.from('overwritten\n');
const BYPASS = { 'x-amz-bypass-governance-retention': 'true' };

/**
 * Puts a locked object into the bucket and tries with the writer's own rights to delete, shorten and overwrite it, and
 * three things that stores are known to do differently from S3. What can be taken away again is; the locked object
 * stays until its retention ends. An object that the store does not take at all is SERVICE_UNAVAILABLE.
 */
export async function attackBucket(options: AttackOptions): Promise<StoreAttack[]> {
  const put = await send(options, {
    method: 'PUT',
    headers: { ...md5(BYTES), ...lock('COMPLIANCE', options) },
    body: BYTES,
  });
  const versionId = put.header('x-amz-version-id');
  if (put.status !== 200 || versionId === null) {
    fail('SERVICE_UNAVAILABLE', `the bucket takes no locked object: ${describeAnswer(put)}`);
  }
  const target = { ...options, versionId };
  const attempts: readonly (readonly [string, (of: Target) => Promise<Judged>])[] = [
    ['delete_version', (of) => refusal(of, { method: 'DELETE' })],
    ['delete_version_with_bypass', (of) => refusal(of, { method: 'DELETE', headers: BYPASS })],
    ['shorten', (of) => refusal(of, retention(of, halfWay(of)))],
    ['shorten_with_bypass', (of) => refusal(of, retention(of, halfWay(of), { headers: BYPASS }))],
    ['weaken_to_governance', (of) => refusal(of, retention(of, of.until, { mode: 'GOVERNANCE', headers: BYPASS }))],
    ['overwrite', overwrite],
    ['hide_behind_delete_marker', hide],
    ['wrong_content_md5', wrongMd5],
    ['conditional_put', conditionalPut],
    ['multipart', multipart],
    ['governance_with_bypass', governance],
    ['delete_under_legal_hold', legalHold],
  ];
  const results: StoreAttack[] = [];
  for (const [attempt, run] of attempts) results.push({ attempt, ...(await judged(() => run(target))) });
  results.push({ attempt: 'after_all', ...(await judged(() => stillKept(target))) });
  return results;
}

/** A store that does not answer has shown nothing, and what is not shown is not kept. */
async function judged(run: () => Promise<Judged>): Promise<Judged> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof TenonError) return { answer: `no answer: ${error.message}`.slice(0, 200), verdict: 'broken' };
    throw error;
  }
}

/** Nothing but a refusal that leaves the version as it was will do. */
async function refusal(of: Target, request: S3Request): Promise<Judged> {
  const query = { versionId: of.versionId, ...request.query };
  const answer = await send(of, { ...request, query });
  const { verdict } = await stillKept(of);
  return { answer: describeAnswer(answer), verdict: answer.status >= 400 ? verdict : 'broken' };
}

async function stillKept(of: Target): Promise<Judged> {
  const answer = await send(of, { method: 'GET', query: { versionId: of.versionId } });
  const until = Date.parse(answer.header('x-amz-object-lock-retain-until-date') ?? '');
  const mode = answer.header('x-amz-object-lock-mode') ?? 'no lock';
  const isKept = answer.status === 200 && answer.body.equals(BYTES) && mode === 'COMPLIANCE' && until >= +of.until;
  return { answer: `${describeAnswer(answer)} ${mode}`, verdict: isKept ? 'kept' : 'broken' };
}

/** S3 takes it as a version of its own: what counts is that the first one stays. */
async function overwrite(of: Target): Promise<Judged> {
  const answer = await send(of, { method: 'PUT', headers: md5(OTHER), body: OTHER });
  return keptBeside(of, answer);
}

/** S3 hides the key behind a marker; the archive goes by versions and does not see it. */
async function hide(of: Target): Promise<Judged> {
  return keptBeside(of, await send(of, { method: 'DELETE' }));
}

async function keptBeside(of: Target, answer: S3Answer): Promise<Judged> {
  const { verdict } = await stillKept(of);
  await takeAway(of, of.key, answer);
  return { answer: describeAnswer(answer), verdict };
}

/** Bytes that were changed on the way must not be taken. */
async function wrongMd5(of: Target): Promise<Judged> {
  const key = `${of.key}-md5`;
  const answer = await send(of, { method: 'PUT', key, headers: md5(BYTES), body: OTHER });
  await takeAway(of, key, answer);
  return { answer: describeAnswer(answer), verdict: answer.status === 400 ? 'kept' : 'broken' };
}

/** Some stores ignore the condition where there are versions: so the archive relies on none. */
async function conditionalPut(of: Target): Promise<Judged> {
  const headers = { ...md5(OTHER), 'if-none-match': '*' };
  const answer = await send(of, { method: 'PUT', headers, body: OTHER });
  const { verdict } = await stillKept(of);
  await takeAway(of, of.key, answer);
  if (verdict !== 'kept') return { answer: describeAnswer(answer), verdict };
  return { answer: describeAnswer(answer), verdict: [409, 412].includes(answer.status) ? 'kept' : 'differs' };
}

/** Some stores drop the lock of an upload in parts: so the archive puts each object in one request. */
async function multipart(of: Target): Promise<Judged> {
  const key = `${of.key}-parts`;
  const started = await send(of, { method: 'POST', key, query: { uploads: '' }, headers: lock('COMPLIANCE', of) });
  const [, uploadId] = /<UploadId>([^<]{1,1024})<\/UploadId>/.exec(started.body.toString('utf8')) ?? [];
  if (started.status !== 200 || uploadId === undefined) return { answer: describeAnswer(started), verdict: 'differs' };
  const part = await send(of, {
    method: 'PUT',
    key,
    query: { partNumber: '1', uploadId },
    headers: md5(BYTES),
    body: BYTES,
  });
  const list = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.header('etag') ?? ''}</ETag></Part></CompleteMultipartUpload>`;
  const answer = await send(of, { method: 'POST', key, query: { uploadId }, body: Buffer.from(list) });
  if (answer.status !== 200) {
    await send(of, { method: 'DELETE', key, query: { uploadId } });
    return { answer: describeAnswer(answer), verdict: 'differs' };
  }
  const head = await send(of, { method: 'HEAD', key });
  const mode = head.header('x-amz-object-lock-mode') ?? 'no lock';
  await takeAway(of, key, head);
  return { answer: `${describeAnswer(answer)} ${mode}`, verdict: mode === 'COMPLIANCE' ? 'kept' : 'differs' };
}

/** Who has the right to may lift GOVERNANCE, and some stores ask for no right: so the archive takes it for no lock. */
async function governance(of: Target): Promise<Judged> {
  const key = `${of.key}-governance`;
  const put = await send(of, {
    method: 'PUT',
    key,
    headers: { ...md5(BYTES), ...lock('GOVERNANCE', of) },
    body: BYTES,
  });
  const versionId = put.header('x-amz-version-id');
  if (put.status !== 200 || versionId === null) return { answer: describeAnswer(put), verdict: 'differs' };
  const answer = await send(of, { method: 'DELETE', key, query: { versionId }, headers: BYPASS });
  return { answer: describeAnswer(answer), verdict: answer.status === 403 ? 'kept' : 'differs' };
}

async function legalHold(of: Target): Promise<Judged> {
  const key = `${of.key}-hold`;
  const headers = { ...md5(BYTES), 'x-amz-object-lock-legal-hold': 'ON' };
  const put = await send(of, { method: 'PUT', key, headers, body: BYTES });
  const versionId = put.header('x-amz-version-id');
  if (put.status !== 200 || versionId === null) return { answer: describeAnswer(put), verdict: 'broken' };
  const answer = await send(of, { method: 'DELETE', key, query: { versionId }, headers: BYPASS });
  const body = Buffer.from('<LegalHold><Status>OFF</Status></LegalHold>');
  await send(of, { method: 'PUT', key, query: { 'legal-hold': '', versionId }, headers: md5(body), body });
  await takeAway(of, key, put);
  return { answer: describeAnswer(answer), verdict: answer.status === 403 ? 'kept' : 'broken' };
}

/** A writer who may delete nothing leaves it lying: it is small, and nothing of it counts. */
async function takeAway(of: Target, key: string, answer: S3Answer): Promise<void> {
  const versionId = answer.header('x-amz-version-id');
  if (versionId !== null && versionId !== of.versionId) await send(of, { method: 'DELETE', key, query: { versionId } });
}

function send({ client, key }: AttackOptions, request: S3Request): Promise<S3Answer> {
  return client({ key, ...request });
}

function retention(
  of: Target,
  until: Date,
  { mode = 'COMPLIANCE', headers = {} }: { mode?: string; headers?: Readonly<Record<string, string>> } = {},
): S3Request {
  const body = Buffer.from(
    `<Retention><Mode>${mode}</Mode><RetainUntilDate>${until.toISOString()}</RetainUntilDate></Retention>`,
  );
  return {
    method: 'PUT',
    query: { retention: '', versionId: of.versionId },
    headers: { ...md5(body), ...headers },
    body,
  };
}

function halfWay({ clock, until }: Target): Date {
  return new Date((clock().getTime() + until.getTime()) / 2);
}

function lock(mode: 'COMPLIANCE' | 'GOVERNANCE', { until }: AttackOptions): Record<string, string> {
  return { 'x-amz-object-lock-mode': mode, 'x-amz-object-lock-retain-until-date': until.toISOString() };
}

function md5(body: Buffer): Record<string, string> {
  return { 'content-md5': hash('md5', body, 'base64') };
}
