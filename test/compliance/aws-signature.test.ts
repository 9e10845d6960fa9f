import { describe, expect, it } from 'vitest';
import { requestTarget, signRequest, type SignableRequest } from '../../compliance/archive/aws-signature.ts';

// The worked examples of the Amazon S3 API reference, "Signature Calculations for the Authorization Header".
const scope = {
  credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' },
  region: 'us-east-1',
  now: new Date('2013-05-24T00:00:00Z'),
};
const get: SignableRequest = {
  method: 'GET',
  host: 'examplebucket.s3.amazonaws.com',
  path: '/',
  query: {},
  headers: {},
  body: new Uint8Array(),
};
const signatureOf = (request: SignableRequest) => signRequest(request, scope)['authorization'];

describe('signRequest', () => {
  it('signs the examples of the S3 reference as they are printed there', () => {
    expect(signatureOf({ ...get, path: '/test.txt', headers: { range: 'bytes=0-9' } })).toBe(
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,' +
        'SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,' +
        'Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    );
    expect(signatureOf({ ...get, query: { lifecycle: '' } })).toContain(
      '=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
    );
    expect(signatureOf({ ...get, query: { prefix: 'J', 'max-keys': '2' } })).toContain(
      '=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    );
    const headers = { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' };
    const put: SignableRequest = {
      ...get,
      method: 'PUT',
      path: '/test$file.text',
      headers,
      body: Buffer.from('Welcome to Amazon S3.'),
    };
    expect(signatureOf(put)).toContain('=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd');
  });

  it('depends on the body, on every header, on the secret and on the day', () => {
    const changed = [
      signatureOf(get),
      signatureOf({ ...get, body: Buffer.from('x') }),
      signatureOf({ ...get, headers: { 'x-amz-object-lock-mode': 'COMPLIANCE' } }),
      signRequest(get, { ...scope, credentials: { ...scope.credentials, secretAccessKey: 'other' } })['authorization'],
      signRequest(get, { ...scope, now: new Date('2013-05-25T00:00:00Z') })['authorization'],
    ];
    expect(new Set(changed).size).toBe(5);
  });
});

describe('requestTarget', () => {
  it('encodes what RFC 3986 reserves, keeps the slashes of the path, and sorts the query', () => {
    const target = requestTarget({
      path: "/bucket/a b/c+d'(e)!*",
      query: { versions: '', 'key-marker': 'a/b&c=d', prefix: 'ä' },
    });
    expect(target).toBe('/bucket/a%20b/c%2Bd%27%28e%29%21%2A?key-marker=a%2Fb%26c%3Dd&prefix=%C3%A4&versions=');
  });
});
