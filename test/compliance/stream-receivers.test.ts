import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { StreamForm, type StreamSettings } from '#schema/audit-stream.ts';
import { asTenonError } from '#schema/errors.ts';
import { noteVerifier } from '#schema/signed-note.ts';
import { s3Client } from '../../compliance/archive/s3-client.ts';
import { STREAM_FORMATTERS } from '../../compliance/streams/forms/form.ts';
import { datadogReceiver } from '../../compliance/streams/receivers/datadog.ts';
import type { Receiver, StreamBatch, StreamTarget } from '../../compliance/streams/receivers/receiver.ts';
import { s3Receiver } from '../../compliance/streams/s3-receiver.ts';
import { splunkReceiver } from '../../compliance/streams/receivers/splunk.ts';
import { syslogReceiver } from '../../compliance/streams/receivers/syslog.ts';
import { webhookReceiver } from '../../compliance/streams/receivers/webhook.ts';
import { verifyExportFile } from '../../compliance/verify/export.ts';
import { isInstalled } from '../support/programs.ts';
import { RADOSGW_PROGRAMS, startRadosgw } from '../support/radosgw.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { httpReceiver } from './stream-world.ts';
import { streamedEntries, TENANT } from './streamed-entries.ts';

const KEY = Buffer.from('0123456789abcdef0123456789abcdef');
const hasOpenssl = isInstalled(['openssl'], 'signatures and TLS of streams');
const openssl = (words: readonly string[], input = Buffer.of()) =>
  execFileSync('openssl', words, { input, stdio: ['pipe', 'pipe', 'ignore'] });
const now = new Date('2026-05-04T12:00:00Z');
const entries = streamedEntries([{}, { outcome: 'denied' }, { outcome: 'failure', event: { action: 'role.delete' } }]);

function targetOf(
  endpoint: string,
  { secret = '', ...settings }: StreamSettings & { secret?: string } = {},
): StreamTarget {
  const platform = { config: { profile: 'embedded', outgoingPrivate: null } } as const;
  return { platform, deployment: 'tenon.test', endpoint, settings, secret };
}

function batchOf(form: StreamForm = StreamForm.NATIVE): StreamBatch {
  const messages = entries.map((streamed) => ({ streamed, body: STREAM_FORMATTERS[form](streamed) }));
  return { stream: 'str_0006g6rm96e7xaacqhy8tyjgx9', tenant: TENANT, form, messages, now };
}

/** What whoever set the stream up reads, or null where the batch was taken. */
async function refusal(receiver: Receiver, target: StreamTarget): Promise<string | undefined | null> {
  return receiver.send(target, batchOf()).then(
    () => null,
    (thrown: unknown) => asTenonError(thrown).hint,
  );
}

describe('a webhook', () => {
  const secret = `whsec_${KEY.toString('base64')}`;

  it.skipIf(!hasOpenssl)('gets the batch with a signature that an independent computation finds as well', async () => {
    const door = await httpReceiver();
    await webhookReceiver.send(targetOf(door.url, { secret }), batchOf());
    const [request] = door.requests;
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = request?.headers ?? {};
    expect(at).toBe('1777896000');
    // By OpenSSL, not by what made it.
    const text = Buffer.concat([Buffer.from(`${String(id)}.${String(at)}.`), request?.body ?? Buffer.of()]);
    const signed = openssl(
      ['dgst', '-sha256', '-mac', 'HMAC', '-macopt', `hexkey:${KEY.toString('hex')}`, '-binary'],
      text,
    );
    expect(signature).toBe(`v1,${signed.toString('base64')}`);
    expect(JSON.parse(request?.body.toString() ?? '')).toEqual(batchOf().messages.map(({ body }) => JSON.parse(body)));
    expect(request?.headers['content-type']).toBe('application/json');
  });

  it('gets CloudEvents as a batch of theirs', async () => {
    const door = await httpReceiver();
    await webhookReceiver.send(targetOf(door.url, { secret }), batchOf(StreamForm.CLOUDEVENTS));
    expect(door.requests[0]?.headers['content-type']).toBe('application/cloudevents-batch+json');
  });

  it.each([301, 400, 410, 429, 500])('that answers %i has not taken it', async (status) => {
    const door = await httpReceiver((_req, res) => void res.writeHead(status, { location: '/elsewhere' }).end('words'));
    expect(await refusal(webhookReceiver, targetOf(door.url, { secret }))).toBe(`It answered ${status}.`);
    expect(door.requests).toHaveLength(1);
  });

  it('within our own network is not reached in production, whatever its name', async () => {
    const door = await httpReceiver();
    const target = {
      ...targetOf(door.url.replace('http:', 'https:'), { secret }),
      platform: { config: { profile: 'production', outgoingPrivate: null } } as const,
    };
    expect(await refusal(webhookReceiver, target)).toBe('Its address may not be reached from here.');
    expect(door.requests).toEqual([]);
  });

  it('that is not there has not taken it', async () => {
    expect(await refusal(webhookReceiver, targetOf('http://127.0.0.1:9/', { secret }))).toBe(
      'It gave no answer in time.',
    );
  });
});

describe('Splunk', () => {
  it('gets one event a line with its token, and code 0 takes them', async () => {
    const door = await httpReceiver((_req, res) => void res.end('{"text":"Success","code":0}'));
    await splunkReceiver.send(targetOf(door.url, { secret: 'a-token', index: 'audit' }), batchOf(StreamForm.OCSF));
    const [request] = door.requests;
    expect(request).toMatchObject({ method: 'POST', path: '/services/collector/event' });
    expect(request?.headers.authorization).toBe('Splunk a-token');
    const events = (request?.body.toString() ?? '')
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events).toHaveLength(3);
    expect(events[1]).toMatchObject({
      time: 1772360430.4,
      index: 'audit',
      sourcetype: 'tenon:audit',
      source: `tenon.test/audit/${TENANT}/1`,
      fields: { seq: '1', epoch: '1', action: 'document.share', tenant: TENANT },
      event: { class_uid: 6003, metadata: { sequence: 1 } },
    });
  });

  it.each([
    ['{"text":"Invalid token","code":4}', 'It answered with code 4.'],
    ['<html>', 'It is no event collector.'],
  ])('that answers %s has not taken them', async (body, hint) => {
    const door = await httpReceiver((_req, res) => void res.end(body));
    expect(await refusal(splunkReceiver, targetOf(door.url, { secret: 'a-token' }))).toBe(hint);
  });

  it('has taken them when the indexer acknowledges, where that is asked for', async () => {
    const door = await httpReceiver((req, res, count) => {
      if (req.path === '/services/collector/event') res.end('{"code":0,"ackId":7}');
      else res.end(JSON.stringify({ acks: { '7': count > 2 } }));
    });
    await splunkReceiver.send(targetOf(door.url, { secret: 'a-token', acknowledge: true }), batchOf());
    const channel = door.requests[0]?.headers['x-splunk-request-channel'];
    expect(channel).toMatch(/^[0-9a-f-]{36}$/);
    expect(door.requests.map(({ path }) => path)).toEqual([
      '/services/collector/event',
      `/services/collector/ack?channel=${String(channel)}`,
      `/services/collector/ack?channel=${String(channel)}`,
    ]);
    expect(JSON.parse(door.requests[1]?.body.toString() ?? '')).toEqual({ acks: [7] });
    const mute = await httpReceiver((_req, res) => void res.end('{"code":0}'));
    expect(await refusal(splunkReceiver, targetOf(mute.url, { acknowledge: true }))).toBe(
      'Its token does not acknowledge.',
    );
  });
});

describe('Datadog', () => {
  it('gets compressed logs whose message is the form', async () => {
    const door = await httpReceiver((_req, res) => void res.writeHead(202).end('{}'));
    await datadogReceiver.send(targetOf(door.url, { secret: 'a-key', service: 'crm', tags: 'env:prod' }), batchOf());
    const [request] = door.requests;
    expect(request).toMatchObject({ method: 'POST', path: '/api/v2/logs' });
    expect(request?.headers).toMatchObject({ 'dd-api-key': 'a-key', 'content-encoding': 'gzip' });
    const logs = JSON.parse(gunzipSync(request?.body ?? Buffer.of()).toString()) as Record<string, string>[];
    expect(logs.map(({ message = '' }) => JSON.parse(message) as unknown)).toEqual(
      batchOf().messages.map(({ body }) => JSON.parse(body) as unknown),
    );
    expect(logs[0]).toMatchObject({
      ddsource: 'tenon',
      service: 'crm',
      ddtags: `tenant:${TENANT},action:document.share,env:prod`,
    });
  });

  it('that answers 403 has not taken them', async () => {
    const door = await httpReceiver((_req, res) => void res.writeHead(403).end());
    expect(await refusal(datadogReceiver, targetOf(door.url, { secret: 'a-key' }))).toBe('It answered 403.');
  });
});

describe('syslog', () => {
  const doors: Server[] = [];
  afterAll(() => doors.forEach((door) => door.close()));
  const listen = async (door: Server): Promise<number> => {
    doors.push(door);
    await new Promise<void>((resolve) => void door.listen(0, '127.0.0.1', resolve));
    return (door.address() as AddressInfo).port;
  };
  const collect = (taken: Buffer[]) => (socket: Socket) =>
    void socket.on('error', () => undefined).on('data', (chunk) => taken.push(chunk));

  it('gets RFC 5424 messages, each behind the number of its octets', async () => {
    const taken: Buffer[] = [];
    const port = await listen(createServer(collect(taken)));
    await syslogReceiver.send(targetOf(`syslog+tcp://127.0.0.1:${port}`, { enterpriseNumber: 4711 }), batchOf());
    const messages = framesOf(Buffer.concat(taken));
    expect(messages).toHaveLength(3);
    const [first = '', second = '', third = ''] = messages;
    const id = entries[0]?.entry.event.id;
    const data = `[tenon@4711 tenant="${TENANT}" origin="tenon.test/audit/${TENANT}/1" seq="0" action="document.share" outcome="success" id="${id}"]`;
    const head = `<110>1 2026-03-01T10:20:30.400Z tenon.test tenon - document.share ${data} `;
    expect(first.startsWith(head)).toBe(true);
    expect(first.slice(head.length)).toMatch(/^[\x20-\x7e]*$/);
    expect(JSON.parse(first.slice(head.length))).toEqual(JSON.parse(batchOf().messages[0]?.body ?? ''));
    expect(second.startsWith('<108>1 ')).toBe(true);
    expect(third.startsWith('<107>1 ')).toBe(true);
  });

  it('that breaks off has not taken them', async () => {
    const port = await listen(createServer((socket) => void socket.on('error', () => undefined).resetAndDestroy()));
    expect(await refusal(syslogReceiver, targetOf(`syslog+tcp://127.0.0.1:${port}`))).toBe(
      'It gave no answer in time.',
    );
  });

  it.skipIf(!hasOpenssl)('over TLS is trusted by the authority of the stream alone', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tenon-syslog-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const subject = ['-subj', '/CN=syslog.test', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    openssl([...made, '-keyout', key, '-out', cert, ...subject]);
    const certificate = readFileSync(cert, 'utf8');
    const taken: Buffer[] = [];
    const door = createTlsServer({ key: readFileSync(key), cert: certificate }, collect(taken));
    door.on('tlsClientError', () => undefined);
    const endpoint = `syslog+tls://127.0.0.1:${await listen(door)}`;
    await syslogReceiver.send(targetOf(endpoint, { certificate }), batchOf());
    expect(framesOf(Buffer.concat(taken))).toHaveLength(3);
    expect(await refusal(syslogReceiver, targetOf(endpoint))).toBe('It gave no answer in time.');
  });

  it('within our own network is not reached in production', async () => {
    const target = {
      ...targetOf('syslog+tls://127.0.0.1:6514'),
      platform: { config: { profile: 'production', outgoingPrivate: null } } as const,
    };
    expect(await refusal(syslogReceiver, target)).toBe('Its address may not be reached from here.');
    const named = { ...target, endpoint: 'syslog+tls://0x7f.1:6514' };
    expect(await refusal(syslogReceiver, named)).toBe('Its address may not be reached from here.');
  });
});

describe.skipIf(!isInstalled(RADOSGW_PROGRAMS, 'streams to S3 against a real server'))('a bucket', () => {
  it('gets each batch as one object that the verifier finds sound; the same batch again is the same object', async () => {
    const gateway = await startRadosgw();
    onTestFinished(() => gateway.stop());
    const address = { endpoint: new URL(gateway.endpoint), region: 'eu-central-1', bucket: 'siem', prefix: '' };
    const client = s3Client({ address, credentials: gateway.credentials, clock: () => new Date() });
    expect((await client({ method: 'PUT' })).status).toBe(200);
    const { accessKeyId, secretAccessKey: secret } = gateway.credentials;
    const target = targetOf(gateway.endpoint, {
      secret,
      accessKeyId,
      region: 'eu-central-1',
      bucket: 'siem',
      prefix: 'logs/',
    });
    const batch = { ...batchOf(), now: new Date() };
    await s3Receiver.send(target, batch);
    await s3Receiver.send(target, batch);
    const listed = (await client({ method: 'GET', query: { 'list-type': '2' } })).body.toString();
    const keys = [...listed.matchAll(/<Key>([^<]+)<\/Key>/g)].map(([, key = '']) => key);
    expect(keys).toEqual([`logs/${TENANT}/2026/03/01/10/0001.0000000000000000-0001.0000000000000002.ndjson.gz`]);
    const { body } = await client({ method: 'GET', key: keys[0] ?? '' });
    const pieces = (async function* () {
      yield gunzipSync(body);
    })();
    const verifier = noteVerifier(TEST_SIGNING_KEY.name, TEST_SIGNING_KEY.publicKey);
    const report = await verifyExportFile({ path: 'x', pieces, keys: [verifier] });
    expect(report.integrity.verdict).toBe('pass');
    expect(report.counts.entries).toBe(3);
    const stranger = { ...target, secret: 'another' };
    await expect(s3Receiver.send(stranger, batch)).rejects.toMatchObject({ hint: 'It answered 403.' });
  }, 60_000);
});

/** Octet counting of RFC 6587. */
function framesOf(bytes: Buffer): string[] {
  const frames: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(' ', at);
    const end = space + 1 + Number(bytes.toString('latin1', at, space));
    frames.push(bytes.toString('utf8', space + 1, end));
    at = end;
  }
  return frames;
}
