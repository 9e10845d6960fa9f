import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, request, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openArchive } from '../../compliance/archive/open.ts';
import { s3Archive, type S3ArchiveOptions } from '../../compliance/archive/s3.ts';
import { s3Client, type S3Client, type S3Request } from '../../compliance/archive/s3-client.ts';
import { freePort, isInstalled } from '../support/programs.ts';
import { RADOSGW_PROGRAMS, startRadosgw, type Radosgw } from '../support/radosgw.ts';
import { describeArchive, keysOf, refused } from './archive-contract.ts';

const KEY = 'v1/seg/000000000.jsonl.gz';
const BYTES = Buffer.from('first');
const clock = () => new Date();
const inAnHour = () => new Date(Math.ceil(Date.now() / 1000) * 1000 + 3_600_000);

describe.skipIf(!isInstalled(RADOSGW_PROGRAMS, 'the archive in S3 against a real server'))('the archive in S3', () => {
  let gateway: Radosgw;
  let cases = 0;
  let options: S3ArchiveOptions;
  let raw: S3Client;
  const doors: { close(): unknown }[] = [];
  /** Headers of what was sent with a body through the man in the middle. */
  const bodies: IncomingMessage['headers'][] = [];

  beforeAll(async () => {
    gateway = await startRadosgw();
    await s3Client(optionsFor(''))({ method: 'PUT', headers: { 'x-amz-bucket-object-lock-enabled': 'true' } });
  });
  afterAll(() => gateway?.stop());
  beforeEach(() => {
    options = optionsFor(`case-${++cases}/`);
    raw = s3Client(options);
  });
  afterEach(() => {
    for (const door of doors.splice(0)) door.close();
  });

  function optionsFor(prefix: string, endpoint = gateway.endpoint): S3ArchiveOptions {
    const address = { endpoint: new URL(endpoint), region: 'eu-central-1', bucket: 'archive', prefix };
    return { address, credentials: gateway.credentials, clock };
  }
  /** What somebody does who has the rights of the writer and goes around the archive. */
  const directly = async (call: S3Request) => (await raw({ key: options.address.prefix + KEY, ...call })).status;
  const versionOf = async (): Promise<string> => {
    const answer = await raw({ method: 'HEAD', key: options.address.prefix + KEY });
    return answer.header('x-amz-version-id') ?? '';
  };
  const listen = async (handler: RequestListener): Promise<string> => {
    const server = createServer(handler);
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    doors.push({ close: () => server.close(() => undefined) && server.closeAllConnections() });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  /** The real server seen through a man in the middle who changes what it answers; gives what was asked. */
  const through = async (
    change: (answer: IncomingMessage, asked: string) => void,
    watch: (asked: string, res: ServerResponse) => void = () => undefined,
  ) => {
    const asked: string[] = [];
    const endpoint = await listen((req, res: ServerResponse) => {
      const call = `${req.method} ${req.url}`;
      asked.push(call);
      if (req.method === 'PUT') bodies.push(req.headers);
      watch(call, res);
      const { port } = new URL(gateway.endpoint);
      const forwarded = request(
        { port, host: '127.0.0.1', method: req.method, path: req.url, headers: req.headers },
        (answer) => {
          change(answer, call);
          res.writeHead(answer.statusCode ?? 500, answer.headers);
          answer.pipe(res);
        },
      );
      req.pipe(forwarded);
    });
    // Signed for the name under which the server is reached.
    return { archive: s3Archive({ ...options, address: { ...options.address, endpoint: new URL(endpoint) } }), asked };
  };

  describeArchive(async () => ({
    open: async () => s3Archive(options),
    now: clock,
    reach: async (date) => {
      while (clock() <= date) await pause(date.getTime() - Date.now() + 50);
    },
  }));

  test('is locked by the server itself: nobody deletes a version or shortens its time', async () => {
    await s3Archive(options).put(KEY, BYTES, { retainUntil: inAnHour() });
    const versionId = await versionOf();
    expect(
      await directly({
        method: 'DELETE',
        query: { versionId },
        headers: { 'x-amz-bypass-governance-retention': 'true' },
      }),
    ).toBe(403);
    const body = Buffer.from(
      `<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>${new Date(Date.now() + 9_000).toISOString()}</RetainUntilDate></Retention>`,
    );
    expect(
      await directly({
        method: 'PUT',
        query: { retention: '', versionId },
        headers: { 'content-md5': hash('md5', body, 'base64') },
        body,
      }),
    ).toBe(403);
    expect(await s3Archive(options).get(KEY)).toEqual(BYTES);
  });

  test('keeps to the first version: a later one or a delete marker neither changes nor hides the object', async () => {
    const archive = s3Archive(options);
    await archive.put(KEY, BYTES, { retainUntil: inAnHour() });
    expect(await directly({ method: 'PUT', body: Buffer.from('forged') })).toBe(200);
    expect(await archive.get(KEY)).toEqual(BYTES);
    expect(await directly({ method: 'DELETE' })).toBe(204);
    expect(await archive.get(KEY)).toEqual(BYTES);
    expect((await archive.head(KEY))?.sizeBytes).toBe(BYTES.length);
    expect(await keysOf(archive)).toEqual([KEY]);
    await archive.put(KEY, BYTES, { retainUntil: inAnHour() });
    await expect(archive.put(KEY, Buffer.from('forged'), { retainUntil: inAnHour() })).rejects.toEqual(
      refused('RETENTION_LOCKED'),
    );
  });

  test('locks what lies there without a lock when it is put again', async () => {
    const archive = s3Archive(options);
    const until = inAnHour();
    expect(await directly({ method: 'PUT', body: BYTES })).toBe(200);
    expect(await archive.retention(KEY)).toEqual(new Date(0));
    await archive.put(KEY, BYTES, { retainUntil: until });
    expect(await archive.retention(KEY)).toEqual(until);
    expect(await directly({ method: 'DELETE', query: { versionId: await versionOf() } })).toBe(403);
  });

  test('takes a lock that can be lifted for none', async () => {
    const archive = s3Archive(options);
    const headers = {
      'x-amz-object-lock-mode': 'GOVERNANCE',
      'x-amz-object-lock-retain-until-date': inAnHour().toISOString(),
    };
    expect(await directly({ method: 'PUT', body: BYTES, headers })).toBe(200);
    expect(await archive.retention(KEY)).toEqual(new Date(0));
    await expect(archive.put(KEY, BYTES, { retainUntil: inAnHour() })).rejects.toEqual(refused('SERVICE_UNAVAILABLE'));
  });

  test('does not remove what is under legal hold', async () => {
    const archive = s3Archive(options);
    expect(await directly({ method: 'PUT', body: BYTES, headers: { 'x-amz-object-lock-legal-hold': 'ON' } })).toBe(200);
    await expect(archive.remove(KEY)).rejects.toEqual(refused('RETENTION_LOCKED'));
    expect(await archive.get(KEY)).toEqual(BYTES);
  });

  test('holds the version that it reads, whatever was put over it', async () => {
    const archive = s3Archive(options);
    await archive.put(KEY, BYTES, { retainUntil: inAnHour() });
    const versionId = await versionOf();
    expect(await directly({ method: 'PUT', body: Buffer.from('forged') })).toBe(200);
    await archive.setLegalHold(KEY, true);
    const answer = await raw({ method: 'HEAD', key: options.address.prefix + KEY, query: { versionId } });
    expect(answer.header('x-amz-object-lock-legal-hold')).toBe('ON');
    expect(await archive.legalHold(KEY)).toBe(true);
  });

  test('sends a checksum with every body, so that what was changed on the way is refused', async () => {
    const { archive } = await through(
      () => undefined,
      () => undefined,
    );
    const put = (headers: Record<string, string>) => directly({ method: 'PUT', body: BYTES, headers });
    expect(await put({ 'content-md5': hash('md5', 'other', 'base64') })).toBe(400);
    await archive.put(KEY, BYTES, { retainUntil: inAnHour() });
    expect(bodies.length).toBeGreaterThan(0);
    expect(bodies.filter((headers) => headers['content-md5'] === undefined)).toEqual([]);
  });

  test('tries on the server what nobody may, and says what this one does differently from S3', async () => {
    const attacks = (await s3Archive(options).attack?.('self-test/a', inAnHour())) ?? [];
    expect(Object.fromEntries(attacks.map(({ attempt, verdict }) => [attempt, verdict]))).toEqual({
      delete_version: 'kept',
      delete_version_with_bypass: 'kept',
      shorten: 'kept',
      shorten_with_bypass: 'kept',
      weaken_to_governance: 'kept',
      overwrite: 'kept',
      hide_behind_delete_marker: 'kept',
      wrong_content_md5: 'kept',
      conditional_put: 'differs',
      multipart: 'differs',
      governance_with_bypass: 'differs',
      delete_under_legal_hold: 'kept',
      after_all: 'kept',
    });
    const answers = Object.fromEntries(attacks.map(({ attempt, answer }) => [attempt, answer]));
    expect(answers).toMatchObject({
      delete_version: '403 AccessDenied',
      overwrite: '200',
      hide_behind_delete_marker: '204',
      wrong_content_md5: '400 BadDigest',
      conditional_put: '200',
      multipart: '200 no lock',
      governance_with_bypass: '204',
      after_all: '200 COMPLIANCE',
    });
    // Nothing is left over but what is locked.
    expect(await keysOf(s3Archive(options))).toEqual(['self-test/a']);
  });

  test('needs no right beyond those of the policy in the documentation, which leaves nobody a way to lift a lock', async () => {
    const address = { ...options.address, bucket: 'under-policy', prefix: '' };
    const credentials = { accessKeyId: 'worker', secretAccessKey: 'secret-of-the-worker' };
    const keys = ['--access-key', credentials.accessKeyId, '--secret-key', credentials.secretAccessKey];
    await gateway.admin('user', 'create', '--uid', 'tenon-worker', '--display-name', 'worker', ...keys);
    const owner = s3Client({ ...options, address });
    const bucket = { ...options, address, credentials };
    const client = s3Client(bucket);
    await owner({ method: 'PUT', headers: { 'x-amz-bucket-object-lock-enabled': 'true' } });
    const documented = readFileSync(new URL('../../docs/archive.md', import.meta.url), 'utf8');
    const [, policy = ''] = /```json\n(.*?)```/s.exec(documented) ?? [];
    const body = policy.replaceAll('audit-archive', 'under-policy').replaceAll('111122223333', '');
    const answer = await owner({ method: 'PUT', query: { policy: '' }, body: Buffer.from(body) });
    expect(answer.status).toBe(204);
    expect((await client({ method: 'PUT', query: { policy: '' }, body: Buffer.from(body) })).status).toBe(403);

    const archive = s3Archive(bucket);
    await archive.put(KEY, BYTES, { retainUntil: inAnHour() });
    await archive.extendRetention(KEY, new Date(inAnHour().getTime() + 1000));
    await archive.setLegalHold(KEY, true);
    await archive.setLegalHold(KEY, false);
    await archive.put('v1/soon', BYTES, { retainUntil: new Date(Date.now() + 1000) });
    expect((await client({ method: 'DELETE', key: KEY })).status).toBe(403);
    const attacks = (await archive.attack?.('self-test/policy', inAnHour())) ?? [];
    expect(attacks.filter(({ verdict }) => verdict === 'broken')).toEqual([]);
    expect(attacks.find(({ attempt }) => attempt === 'governance_with_bypass')).toMatchObject({ verdict: 'kept' });
    expect(attacks.find(({ attempt }) => attempt === 'hide_behind_delete_marker')).toMatchObject({ answer: '204' });
    await pause(2100);
    await archive.remove('v1/soon');
    expect(await archive.head('v1/soon')).toBeNull();
  });

  test('sees through a server that only says that it locks', async () => {
    const { archive } = await through((answer, call) => {
      if (call.startsWith('DELETE')) answer.statusCode = 200;
      if (call.startsWith('GET') && call.includes('versionId')) delete answer.headers['x-amz-object-lock-mode'];
    });
    const attacks = (await archive.attack?.('self-test/b', inAnHour())) ?? [];
    const broken = attacks.filter(({ verdict }) => verdict === 'broken').map(({ attempt }) => attempt);
    expect(broken).toEqual(
      expect.arrayContaining(['delete_version', 'shorten', 'delete_under_legal_hold', 'after_all']),
    );
  });

  test('lists over many pages, many versions and foreign keys', async () => {
    const keys = Array.from({ length: 7 }, (_, index) => `page/${index}`);
    const archive = s3Archive({ ...options, pageSize: 2 });
    for (const key of keys) await archive.put(key, BYTES, { retainUntil: inAnHour() });
    for (const foreign of ['page/0&z<1', 'page/0&z<2', 'page/3 ä%41', 'page/3 ä%42', 'Page']) {
      expect((await raw({ method: 'PUT', key: options.address.prefix + foreign })).status).toBe(200);
    }
    for (let version = 0; version < 5; version++)
      await raw({ method: 'PUT', key: `${options.address.prefix}page/4`, body: Buffer.from('later') });
    expect(await keysOf(archive)).toEqual(keys);
    expect(await keysOf(archive, 'page/4')).toEqual(['page/4']);
    expect(await archive.get('page/4')).toEqual(BYTES);
  });

  test('shares a bucket with another archive without seeing it', async () => {
    const url = (prefix: string) => `s3://archive/${prefix}?endpoint=${gateway.endpoint}&region=eu-central-1`;
    const [one, other] = await Promise.all(
      ['one', 'one-more/'].map((prefix) => openArchive(url(options.address.prefix + prefix), options)),
    );
    await one?.put(KEY, BYTES, { retainUntil: inAnHour() });
    expect(await other?.head(KEY)).toBeNull();
    expect(other && (await keysOf(other))).toEqual([]);
    expect(one && (await keysOf(one))).toEqual([KEY]);
  });

  test('asks for the lock again where the store took the object without it', async () => {
    const until = inAnHour();
    let heads = 0;
    const { archive, asked } = await through((answer, call) => {
      if (call.startsWith('HEAD') && ++heads === 1) delete answer.headers['x-amz-object-lock-mode'];
    });
    await archive.put(KEY, BYTES, { retainUntil: until });
    expect(asked.filter((call) => call.startsWith('PUT') && call.includes('?retention=')).length).toBe(1);
    expect(await s3Archive(options).retention(KEY)).toEqual(until);
  });

  test('sends one change of a lock at a time: a store that looks and sets in two steps would keep the shorter', async () => {
    let under = 0;
    let most = 0;
    const { archive } = await through(
      () => undefined,
      (call, res) => {
        if (!call.includes('retention=')) return;
        most = Math.max(most, ++under);
        res.once('close', () => under--);
      },
    );
    const [until, ...longer] = Array.from(
      { length: 6 },
      (_, hours) => new Date(inAnHour().getTime() + hours * 3_600_000),
    );
    await archive.put(KEY, BYTES, { retainUntil: until ?? inAnHour() });
    await Promise.all(longer.map((date) => archive.extendRetention(KEY, date)));
    expect(await archive.retention(KEY)).toEqual(longer.at(-1));
    expect(most).toBe(1);
  });

  test.each([
    ['the mode', (answer: IncomingMessage) => void (answer.headers['x-amz-object-lock-mode'] = 'GOVERNANCE')],
    [
      'the date',
      (answer: IncomingMessage) =>
        void (answer.headers['x-amz-object-lock-retain-until-date'] = '2026-01-01T00:00:00Z'),
    ],
    ['the size', (answer: IncomingMessage) => void (answer.headers['content-length'] = '6')],
  ])('fails to put where %s that the store shows is another one', async (_what, change) => {
    const { archive } = await through((answer, call) => {
      if (call.startsWith('HEAD')) change(answer);
    });
    await expect(archive.put(KEY, BYTES, { retainUntil: inAnHour() })).rejects.toEqual(refused('SERVICE_UNAVAILABLE'));
  });

  test('is unavailable where the store is away, silent, broken, busy or without end', async () => {
    const endpoints = [
      `http://127.0.0.1:${await freePort()}`,
      await listen(() => undefined),
      await listen((_req, res) => void res.writeHead(200).write('<ListVersionsResult>')),
      await listen((_req, res) => void res.writeHead(500).end()),
      await listen((_req, res) => void res.writeHead(429).end()),
      await listen((_req, res) => void res.writeHead(503).end('<Error><Code>SlowDown</Code></Error>')),
      await listen((_req, res) => void res.end(Buffer.alloc(17 * 1024 * 1024))),
      await listen((_req, res) => void res.end('<IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>')),
      await listen((_req, res) => void res.end('<Version><Key>a</Key></Version>')),
      await listen((_req, res) => void res.writeHead(307, { location: gateway.endpoint }).end()),
    ];
    for (const endpoint of endpoints) {
      const archive = s3Archive({ ...optionsFor('', endpoint), timeoutMs: 300 });
      await expect(archive.get(KEY), endpoint).rejects.toEqual(refused('SERVICE_UNAVAILABLE'));
      await expect(archive.put(KEY, BYTES, { retainUntil: inAnHour() }), endpoint).rejects.toEqual(
        refused('SERVICE_UNAVAILABLE'),
      );
    }
  });

  test('is unavailable to wrong credentials, without a bucket and without Object Lock, and says no secret', async () => {
    const secret = 'wrong-secret-of-the-test';
    await s3Client({ ...options, address: { ...options.address, bucket: 'plain' } })({ method: 'PUT' });
    const wrong = [
      { ...options, credentials: { ...gateway.credentials, secretAccessKey: secret } },
      { ...options, credentials: { accessKeyId: 'nobody', secretAccessKey: secret } },
      { ...options, address: { ...options.address, bucket: 'no-such-bucket' } },
      { ...options, address: { ...options.address, bucket: 'plain' } },
    ];
    for (const each of wrong) {
      const failure = await s3Archive(each)
        .put(KEY, BYTES, { retainUntil: inAnHour() })
        .catch((error: unknown) => error);
      expect(failure).toEqual(refused('SERVICE_UNAVAILABLE'));
      expect(String((failure as Error).stack)).not.toContain(secret);
      expect((failure as Error).message).toMatch(
        /40[0-9] (SignatureDoesNotMatch|InvalidAccessKeyId|NoSuchBucket|InvalidRequest)$/,
      );
    }
  });

  test('refuses an object that is too large for one request', async () => {
    await expect(
      s3Archive(options).put(KEY, Buffer.alloc(16 * 1024 * 1024 + 1), { retainUntil: inAnHour() }),
    ).rejects.toEqual(refused('BAD_USER_INPUT'));
  });
});
