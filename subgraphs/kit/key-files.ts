import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigError, type Config } from '#schema/config.ts';
import { encodeVerifierKey, noteVerifier } from '#schema/signed-note.ts';
import { parseContextKeys, type ContextKeys } from '#schema/tenant-context.ts';
import { newDataKeyFile, parseDataKeys, type DataKeys } from './data-keys.ts';

/** The Ed25519 key pair that signs checkpoints and evidence, and its public half as a C2SP verifier key. */
export interface SigningKey {
  readonly name: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** `name+hex id+base64 key`, as verifiers take it. */
  readonly verifierKey: string;
}

/** Returns the keys of the tenant context; embedded mode makes the file at its first start, readable by its owner. */
export function readContextKeys(config: Config): ContextKeys {
  const file = config.contextKeyFile ?? join(config.home, 'context-keys.json');
  const text = config.profile === 'embedded' ? readOrMake(file, newContextKeyFile) : read(file);
  try {
    return parseContextKeys(text);
  } catch (error) {
    throw new ConfigError(`TENON_CONTEXT_KEY_FILE ${file} cannot be used: ${(error as Error).message}`);
  }
}

/** Returns the keys that wrap the keys of personal data; embedded mode makes the file at its first start. */
export function readDataKeys(config: Config): DataKeys {
  const file = dataKeyFileOf(config);
  const text = config.profile === 'embedded' ? readOrMake(file, newDataKeyFile) : read(file);
  try {
    // After a rotation the tenants' keys are wrapped by one that the file holds and this process does not know yet.
    return { ...parseDataKeys(text), reload: () => parseDataKeys(read(file)) };
  } catch (error) {
    throw new ConfigError(`TENON_DATA_KEY_FILE ${file} cannot be used: ${(error as Error).message}`);
  }
}

/** Returns where the data keys lie. */
export function dataKeyFileOf({ dataKeyFile, home }: Config): string {
  return dataKeyFile ?? join(home, 'data-keys.json');
}

/** Returns the signing key of the deployment; embedded mode makes the file at its first start. */
export function readSigningKey(config: Config): SigningKey {
  const file = signingKeyFileOf(config);
  const pem = config.profile === 'embedded' ? readOrMake(file, newSigningKeyFile) : read(file);
  const privateKey = privateKeyOf(pem, file);
  const publicKey = createPublicKey(privateKey);
  const name = config.deployment;
  return { name, privateKey, publicKey, verifierKey: encodeVerifierKey(noteVerifier(name, publicKey)) };
}

/** Returns where the signing key lies. */
export function signingKeyFileOf({ signingKeyFile, home }: Config): string {
  return signingKeyFile ?? join(home, 'signing-key.pem');
}

/** Returns the text of a context key file with one new key, before the keys of an older file where one is given. */
export function newContextKeyFile(older?: { readonly keys: readonly unknown[] }): string {
  const kid = `k${Date.now().toString(36)}`;
  const keys = [{ kid, secret: randomBytes(32).toString('hex') }, ...(older?.keys ?? [])];
  return `${JSON.stringify({ signing: kid, keys }, null, 2)}\n`;
}

function newSigningKeyFile(): string {
  return String(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

function privateKeyOf(pem: string, file: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Told below, without the text of a key file in it.
  }
  throw new ConfigError(`TENON_SIGNING_KEY_FILE ${file} holds no Ed25519 private key in PEM form`);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError(`the key file ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** Two processes may start at once: whoever makes the file first wins, the other reads it. */
function readOrMake(file: string, make: () => string): string {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  try {
    writeFileSync(file, make(), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      throw new ConfigError(`the key file ${file} cannot be made`);
  }
  return read(file);
}
