import fc from 'fast-check';
import { describe, expect, inject, it } from 'vitest';
import { assessVersion, requireSafeVersion } from '#kit/postgres-version.ts';
import { withClient } from '../support/postgres.ts';

const FIXED = [
  [15, 20],
  [16, 16],
  [17, 12],
  [18, 7],
] as const;

const answering = (version: unknown) => ({ query: async () => ({ rows: [{ version }] }) });

describe('assessVersion', () => {
  it.each(FIXED)('takes PostgreSQL %i from its minor release %i on', (major, minor) => {
    expect(assessVersion(major * 10_000 + minor)).toMatchObject({ ok: true, minimum: `${major}.${minor}` });
    const before = assessVersion(major * 10_000 + minor - 1);
    expect(before).toMatchObject({ ok: false, minimum: `${major}.${minor}` });
    expect(before.sentence).toContain(`PostgreSQL ${major}.${minor - 1} `);
    expect(before.sentence).toContain('CVE-2026-120154');
    expect(before.sentence).toContain(`${major}.${minor} or newer`);
  });

  it('refuses every release of the versions before 15, and what is no version', () => {
    fc.assert(fc.property(fc.integer({ min: -1, max: 149_999 }), (version) => !assessVersion(version).ok));
    expect(assessVersion(140_099)).toMatchObject({ ok: false, minimum: '15.20' });
    expect(assessVersion(Number.NaN).ok).toBe(false);
    expect(assessVersion(180_007.5).ok).toBe(false);
  });

  it('takes every release of the versions after 18', () => {
    fc.assert(fc.property(fc.integer({ min: 190_000, max: 999_999 }), (version) => assessVersion(version).ok));
  });
});

describe('requireSafeVersion', () => {
  it('reads the version of the server that it is connected to', async () => {
    await withClient(inject('postgresUrl'), async (client) => {
      const { rows } = await client.query<{ server_version_num: string }>('show server_version_num');
      const { ok, sentence } = assessVersion(Number(rows[0]?.server_version_num));
      expect(await requireSafeVersion(client, { profile: 'embedded' })).toBe(ok ? null : sentence);
      const production = requireSafeVersion(client, { profile: 'production' });
      if (ok) expect(await production).toBeNull();
      else await expect(production).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE', message: sentence });
    });
  });

  it('stops production on an unsafe server and only warns elsewhere', async () => {
    const { sentence } = assessVersion(180_006);
    await expect(requireSafeVersion(answering(180_006), { profile: 'production' })).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: sentence,
    });
    expect(await requireSafeVersion(answering(180_006), { profile: 'embedded' })).toBe(sentence);
  });

  it('says nothing of a safe server and trusts no server that hides its version', async () => {
    expect(await requireSafeVersion(answering(180_007), { profile: 'production' })).toBeNull();
    await expect(requireSafeVersion(answering(undefined), { profile: 'production' })).rejects.toThrow('not supported');
  });
});
