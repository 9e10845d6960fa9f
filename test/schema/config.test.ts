import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig, SETTINGS } from '#schema/config.ts';

const CELL = {
  name: 'eu-1',
  region: 'eu',
  database: 'postgres://a/b',
  auditDatabase: 'postgres://a/c',
  archive: 'file:///tmp/x',
};
const production = {
  TENON_PROFILE: 'production',
  DATABASE_URL: 'postgres://tenon_app:secret@host/directory',
  CELLS: JSON.stringify([CELL]),
  TENON_CONTEXT_KEY_FILE: '/keys/context.json',
  TENON_DATA_KEY_FILE: '/keys/data.json',
  TENON_SIGNING_KEY_FILE: '/keys/signing.pem',
};

describe('the settings', () => {
  it('hold their defaults where nothing is set', () => {
    expect(readConfig({})).toMatchObject({
      profile: 'embedded',
      port: 4000,
      host: '127.0.0.1',
      subgraphs: 'local',
      databaseUrl: null,
    });
  });

  it('are read for production', () => {
    const config = readConfig({ ...production, SUBGRAPHS: 'identity=http://a:1,billing=http://b:2/' });
    expect(config.cells).toEqual([CELL]);
    expect(config.subgraphs).toEqual({ identity: 'http://a:1', billing: 'http://b:2' });
  });

  it.each([
    ['PORT', '70000', 'a port number'],
    ['PORT', 'abc', 'a port number'],
    ['PORT', '-1', 'a port number'],
    ['TENON_PROFILE', 'prod', 'embedded or production'],
    ['TENON_SEAL_INTERVAL_MS', '1.5', 'milliseconds'],
    ['REDIS_URL', 'http://x', 'a redis:// URL'],
    ['ARCHIVE_URL', 'ftp://x', 'file:///folder or s3://bucket?endpoint=...&region=...'],
    ['SUBGRAPHS', 'identity', 'local, or name=url pairs separated by commas'],
    ['PUBLIC_URL', 'not a url', 'a URL'],
  ])(
    '%s=%s stops the start with one line that says which, what it read and what it takes',
    (variable, value, takes) => {
      expect(() => readConfig({ [variable]: value })).toThrow(
        new ConfigError(`${variable} is ${JSON.stringify(value)}, but takes ${takes}`),
      );
    },
  );

  it.each([
    '[]',
    '{}',
    '[{"name":"eu-1"}]',
    '/no/such/file',
    '[{]',
    JSON.stringify([{ ...CELL, database: 'mysql://x' }]),
  ])('CELLS=%s stops the start', (value) => {
    expect(() => readConfig({ ...production, CELLS: value })).toThrow(/^CELLS is /);
  });

  it.each(['DATABASE_URL', 'CELLS', 'TENON_CONTEXT_KEY_FILE', 'TENON_DATA_KEY_FILE', 'TENON_SIGNING_KEY_FILE'])(
    '%s is needed in production',
    (variable) => {
      expect(() => readConfig({ ...production, [variable]: '' })).toThrow(`${variable} is not set`);
    },
  );

  it('never say a password aloud', () => {
    expect(() => readConfig({ ...production, DATABASE_URL: 'mysql://tenon:hunter2@host/x' })).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('hunter2') }),
    );
  });

  it('have one row a variable, each with a sentence', () => {
    const rows = Object.values(SETTINGS);
    expect(new Set(rows.map(({ env }) => env)).size).toBe(rows.length);
    for (const { about } of rows) expect(about).toMatch(/^.{10,}\.$/);
  });
});
