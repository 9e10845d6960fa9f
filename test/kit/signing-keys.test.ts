import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { readSigningKey } from '#kit/key-files.ts';
import { readSigningKeys, rotateSigningKey } from '#kit/signing-keys.ts';
import { ConfigError, readConfig, type Config } from '#schema/config.ts';
import { encodeRotations, parseRotations, trustedKeys } from '#schema/key-rotation.ts';
import { encodeVerifierKey, parseVerifierKey } from '#schema/signed-note.ts';

const root = mkdtempSync(join(tmpdir(), 'tenon-keys-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const now = new Date('2026-05-01T10:00:00Z');

let config: Config;
let home: string;
beforeEach(() => {
  home = mkdtempSync(join(root, 'case-'));
  config = readConfig({ TENON_HOME: home });
});

describe('a rotation of the signing key', () => {
  it('leads whoever trusts the first key to the newest, over as many rotations as there were', () => {
    const first = readSigningKey(config).verifierKey;
    const second = rotateSigningKey(config, now).newKey;
    const third = rotateSigningKey(config, now).newKey;
    const { current, verifierKeys, rotations } = readSigningKeys(config);
    expect(current.verifierKey).toBe(third);
    expect(verifierKeys).toEqual([third, second, first]);
    const { keys, faults } = trustedKeys([parseVerifierKey(first)], rotations);
    expect([keys.map(encodeVerifierKey), faults]).toEqual([[first, second, third], []]);
    expect(parseRotations(encodeRotations(rotations))).toEqual(rotations);
  });

  it('leaves the new private key readable by its owner alone, and the old one nowhere', () => {
    const file = join(home, 'signing-key.pem');
    readSigningKey(config);
    const before = readFileSync(file, 'utf8');
    rotateSigningKey(config, now);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).not.toBe(before);
    expect(existsSync(`${file}.next`)).toBe(false);
  });

  it('goes on where it was ended before its statement was there', () => {
    const { verifierKey } = readSigningKey(config);
    writeFileSync(join(home, 'signing-key.pem.next'), 'half a ke');
    expect(rotateSigningKey(config, now).oldKey).toBe(verifierKey);
    expect(readSigningKeys(config).rotations).toHaveLength(1);
  });

  it('goes on with the key of its statement where it was ended before the key was in its place', () => {
    readSigningKey(config);
    const file = join(home, 'signing-key.pem');
    copyFileSync(file, `${file}.old`);
    const { newKey, statement } = rotateSigningKey(config, now);
    copyFileSync(file, `${file}.next`);
    copyFileSync(`${file}.old`, file);
    expect(readSigningKeys(config).current.verifierKey).not.toBe(newKey);
    expect(rotateSigningKey(config, new Date())).toMatchObject({ newKey, statement });
    expect(readSigningKeys(config)).toMatchObject({ current: { verifierKey: newKey }, rotations: [statement] });
  });

  it('is refused where the key of the last statement is lost, rather than contradicting it', () => {
    readSigningKey(config);
    const file = join(home, 'signing-key.pem');
    copyFileSync(file, `${file}.old`);
    rotateSigningKey(config, now);
    copyFileSync(`${file}.old`, file);
    expect(() => rotateSigningKey(config, now)).toThrow(ConfigError);
  });

  it('is not believed from a file that somebody has changed', () => {
    readSigningKey(config);
    rotateSigningKey(config, now);
    const file = join(home, 'signing-keys.json');
    const text = readFileSync(file, 'utf8');
    for (const broken of [text.replace('/keys/1', '/keys/2'), '{}', '{"rotations":[1]}', 'no JSON']) {
      writeFileSync(file, broken);
      expect(() => readSigningKeys(config)).toThrow(ConfigError);
    }
    writeFileSync(file, text);
    expect(() => readSigningKeys(readConfig({ TENON_HOME: home, TENON_DEPLOYMENT: 'other.test' }))).toThrow(
      ConfigError,
    );
  });
});
