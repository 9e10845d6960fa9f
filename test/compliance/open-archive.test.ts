import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigError, readConfig } from '#schema/config.ts';
import { archiveCredentials, openArchive } from '../../compliance/archive/open.ts';

const root = mkdtempSync(join(tmpdir(), 'tenon-open-archive-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const clock = () => new Date();
const credentials = { accessKeyId: 'tenon', secretAccessKey: 'secret-of-the-test' };

describe('openArchive', () => {
  test('chooses the driver by the scheme', async () => {
    expect((await openArchive(pathToFileURL(join(root, 'a b')).href, { clock, credentials: null })).lockMode).toBe(
      'FILESYSTEM',
    );
    for (const url of [
      's3://bucket',
      's3://bucket?region=eu-central-1',
      's3://bucket/one/two/?endpoint=http://127.0.0.1:9&region=eu-central-1',
    ]) {
      expect((await openArchive(url, { clock, credentials })).lockMode).toBe('COMPLIANCE');
    }
  });

  test.each([
    'http://bucket',
    's3://',
    's3://b',
    's3://Bucket_name',
    's3://user:word@bucket',
    's3://bucket:9000',
    's3://bucket/../x y',
    's3://bucket/UPPER',
    's3://bucket?region=eu%20central',
    's3://bucket?endpoint=ftp://host',
    's3://bucket?endpoint=http://user:word@host',
    's3://bucket?endpoint=http://host/path',
    's3://bucket?endpoint=nothing',
  ])('refuses %s in one line', async (url) => {
    const failure = await openArchive(url, { clock, credentials }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConfigError);
    expect((failure as Error).message).toMatch(/^an archive .*; it takes file:/);
    expect((failure as Error).message).not.toContain('word');
  });

  test('needs credentials for S3, both of them', async () => {
    await expect(openArchive('s3://bucket', { clock, credentials: null })).rejects.toThrow(
      'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set',
    );
    const read = (env: Record<string, string>) => archiveCredentials(readConfig(env));
    expect(read({})).toBeNull();
    expect(read({ AWS_ACCESS_KEY_ID: 'tenon', AWS_SECRET_ACCESS_KEY: 'secret-of-the-test' })).toEqual(credentials);
    expect(() => read({ AWS_ACCESS_KEY_ID: 'tenon' })).toThrow(ConfigError);
    expect(() => read({ AWS_SECRET_ACCESS_KEY: 'secret-of-the-test' })).toThrow(ConfigError);
  });

  test('does not show a secret that cannot be used', () => {
    expect(() => readConfig({ AWS_SECRET_ACCESS_KEY: 'secret with a space' })).toThrow(
      'AWS_SECRET_ACCESS_KEY is not usable, but takes a secret access key',
    );
  });
});
