import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { canonicalBytes, canonicalJson, type JsonValue } from '#schema/canonical-json.ts';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { mintId } from '#schema/ids.ts';
import { parseVerifierKey, verifyNote } from '#schema/signed-note.ts';
import {
  logOrigin,
  parseManifest,
  segmentKey,
  signManifest,
  type LogName,
  type Manifest,
} from '../../compliance/manifest.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';

const log: LogName = { deployment: 'tenon.test', region: 'eu', tenant: mintId('tnt'), epoch: 1 };
const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });
const hex = (byte: string) => byte.repeat(32);

const facts: Omit<Manifest, 'v' | 'origin' | 'keys' | 'checkpoint' | 'own_sha256'> = {
  number: 3,
  first_seq: 10,
  count: 5,
  first_ts: '2026-01-01T00:00:00Z',
  last_ts: '2026-01-01T00:00:00.500Z',
  prev_manifest_sha256: hex('01'),
  segment: {
    key: segmentKey(log, 3),
    size_bytes: 900,
    sha256: hex('ab'),
    gz_size_bytes: 300,
    gz_sha256: hex('02'),
  },
  first_prev: hex('03'),
  last_leaf: hex('04'),
  size_before: 10,
  root_before: hex('05'),
  size_after: 15,
  root_after: hex('06'),
  planned_at: '2026-01-02T00:00:00.000Z',
  lock: { mode: 'FILESYSTEM', until: '2026-04-02T00:00:00.000Z' },
};

describe('a manifest', () => {
  test('is canonical, named by its number, and carries a checkpoint that the key signed over origin, size and root', () => {
    const signed = signManifest(log, facts, TEST_SIGNING_KEY);
    expect(signed.text).toBe(canonicalJson(signed.manifest));
    expect(signed.key).toBe(`v1/eu/${log.tenant}/1/man/000000003.json`);
    const [key = ''] = signed.manifest.keys;
    expect(key).toBe(TEST_SIGNING_KEY.verifierKey);
    const { text } = verifyNote(signed.manifest.checkpoint, [parseVerifierKey(key)]);
    expect(parseCheckpoint(text)).toEqual({ origin: logOrigin(log), size: 15, root: Buffer.from(hex('06'), 'hex') });
    expect(parseManifest(Buffer.from(signed.text))).toEqual(signed.manifest);
  });

  test('is the same to the byte whenever it is signed again', () => {
    expect(signManifest(log, facts, TEST_SIGNING_KEY)).toEqual(signManifest(log, facts, TEST_SIGNING_KEY));
  });

  test('has no field that docs/formats.md does not tell', () => {
    const [, table = ''] =
      /### 5\.2 Manifest\n(.*?)\n### /s.exec(readFileSync(new URL('../../docs/formats.md', import.meta.url), 'utf8')) ??
      [];
    const { manifest } = signManifest(log, facts, TEST_SIGNING_KEY);
    for (const field of [manifest, manifest.segment, manifest.lock].flatMap((object) => Object.keys(object))) {
      expect(table).toMatch(new RegExp(`[\`{ ]${field}[\`,}]`));
    }
  });

  test('of another shape is refused', () => {
    const { manifest } = signManifest(log, facts, TEST_SIGNING_KEY);
    const { checkpoint: _, ...without } = manifest;
    const wrong: JsonValue[] = [
      null,
      [],
      'text',
      {},
      without,
      { ...manifest, more: 1 },
      { ...manifest, v: 2 },
      { ...manifest, number: -1 },
      { ...manifest, count: 1.5 },
      { ...manifest, root_after: 'AB' },
      { ...manifest, first_ts: 'yesterday' },
      { ...manifest, prev_manifest_sha256: '' },
      { ...manifest, segment: { ...manifest.segment, key: 1 } },
      { ...manifest, segment: [] },
      { ...manifest, lock: {} },
      { ...manifest, keys: [] },
      JSON.parse('{"__proto__":{"v":1}}') as JsonValue,
    ];
    for (const value of wrong) expect(() => parseManifest(canonicalBytes(value))).toThrow(refused);
    expect(() => parseManifest(Buffer.from(JSON.stringify(manifest, null, 1)))).toThrow(refused);
    expect(() => parseManifest(Buffer.from(`"${'a'.repeat(70_000)}"`))).toThrow(refused);
    expect(parseManifest(canonicalBytes({ ...manifest, prev_manifest_sha256: null })).prev_manifest_sha256).toBeNull();
  });
});

describe('the place of a log', () => {
  test('is its region, tenant and epoch, with numbers that sort as they count', () => {
    expect(logOrigin(log)).toBe(`tenon.test/audit/${log.tenant}/1`);
    expect([10, 9, 1].map((number) => segmentKey(log, number)).toSorted()).toEqual(
      [1, 9, 10].map((number) => segmentKey(log, number)),
    );
    expect(segmentKey(log, 7)).toBe(`v1/eu/${log.tenant}/1/seg/000000007.jsonl.gz`);
  });
});
