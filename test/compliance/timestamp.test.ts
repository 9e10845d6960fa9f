import { describe, expect, test } from 'vitest';
import { isTrusted, parseCertificates } from '../../compliance/anchors/certificate-path.ts';
import { timestampRequest, verifyTimestamp } from '../../compliance/anchors/timestamp.ts';
import { openLocalTsa, type LocalTsa } from './local-tsa.ts';

const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });
const data = Buffer.from('tenon.test/platform/eu-1/1\n7\n...\n');

describe.each(['ec', 'rsa'] as const)('a time stamp of an authority with a key of the kind %s', async (kind) => {
  const tsa = await openLocalTsa(kind);
  if (tsa === null) return;
  const trusted = parseCertificates(tsa.root);
  const request = timestampRequest(data);
  const answer = await ask(tsa, request.bytes);
  const question = { answer, data, nonce: request.nonce, trusted };

  test('is accepted and tells its time', () => {
    const stamp = verifyTimestamp(question);
    expect(Math.abs(stamp.time.getTime() - Date.now())).toBeLessThan(60_000);
    expect(stamp).toMatchObject({ authority: 'CN=Test authority', trusted: true });
    expect(verifyTimestamp({ ...question, trusted: parseCertificates(tsa.certificate) }).trusted).toBe(true);
    expect(verifyTimestamp({ ...question, trusted: [] }).trusted).toBe(false);
  });

  test('is refused for other data, another request, and another authority', async () => {
    expect(() => verifyTimestamp({ ...question, data: Buffer.from('other') })).toThrow('imprint');
    expect(() => verifyTimestamp({ ...question, nonce: timestampRequest(data).nonce })).toThrow('another request');
    const other = await openLocalTsa(kind);
    expect(() => verifyTimestamp({ ...question, trusted: parseCertificates(other?.root ?? '') })).toThrow('trusted');
  });

  test('is trusted for the time alone in which the certificate of its authority was valid', () => {
    const [signer] = parseCertificates(tsa.certificate);
    const valid = (time: Date) => signer !== undefined && isTrusted(signer, { carried: [], trusted, time });
    expect([new Date(), new Date('2020-01-01'), new Date('2099-01-01')].map(valid)).toEqual([true, false, false]);
  });

  test('is refused with any byte of what is signed changed, and never breaks the reader', () => {
    const info = answer.indexOf(Buffer.from('2a0304', 'hex'));
    for (let at = 0; at < answer.length; at += 7) {
      const broken = Buffer.from(answer);
      broken[at] = (broken[at] ?? 0) ^ 0x01;
      // Some bytes are not signed, such as those of certificates that nobody asks for; none may change what is said.
      const said = sayOf({ ...question, answer: broken });
      expect([null, sayOf(question)]).toContainEqual(said);
    }
    for (let at = info; at < info + 60; at++) {
      const broken = Buffer.from(answer);
      broken[at] = (broken[at] ?? 0) ^ 0x01;
      expect(() => verifyTimestamp({ ...question, answer: broken })).toThrow(refused);
    }
  });

  test('is refused where it is cut off, empty, or none', () => {
    for (const length of [0, 1, 10, 100, answer.length - 1])
      expect(() => verifyTimestamp({ ...question, answer: answer.subarray(0, length) })).toThrow(refused);
    expect(() => verifyTimestamp({ ...question, answer: Buffer.from('<html>busy</html>') })).toThrow(refused);
    expect(() => verifyTimestamp({ ...question, answer: Buffer.alloc(70_000, 0x30) })).toThrow(refused);
  });

  test('is refused where the authority refuses', async () => {
    const refusal = await tsa.stamp(Buffer.from('no request'));
    expect(() => verifyTimestamp({ ...question, answer: refusal })).toThrow('refuses with status 2');
  });
});

test.each([
  ['critical,timeStamping', true],
  ['critical,timeStamping,codeSigning', false],
  ['timeStamping', false],
  ['critical,codeSigning', false],
])('whether a certificate with the extended key usage %s stamps time: %s', async (usage, expected) => {
  const tsa = await openLocalTsa('ec', usage);
  if (tsa === null) return;
  const [signer] = parseCertificates(tsa.certificate);
  const parts = { carried: [], trusted: parseCertificates(tsa.root), time: new Date() };
  expect(signer !== undefined && isTrusted(signer, parts)).toBe(expected);
});

function sayOf(question: Parameters<typeof verifyTimestamp>[0]): object | null {
  try {
    return verifyTimestamp(question);
  } catch (error) {
    expect(error).toEqual(refused);
    return null;
  }
}

async function ask(tsa: LocalTsa, body: Buffer): Promise<Buffer> {
  const headers = { 'content-type': 'application/timestamp-query' };
  const answer = await fetch(tsa.url, { method: 'POST', headers, body: new Uint8Array(body) });
  return Buffer.from(await answer.arrayBuffer());
}
