import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { cosignatureVerifier, encodeCosignerKey, parseCosignerKey } from '#schema/cosignature.ts';
import { ConfigError } from '#schema/config.ts';
import { isKeyName, type NoteSigner } from '#schema/signed-note.ts';
import { writeOnce } from './state.ts';

const KEY_FILE = 'witness-key.pem';
const VERIFIER_FILE = 'witness.vkey';

/**
 * Returns the key of the witness in a folder, made at its first start together with its name: the given one, or
 * `<host>/tenon-witness`. The file `witness.vkey` beside it is for those who are to trust it. A key that cannot be read,
 * or that has another name than the one asked for, is a ConfigError.
 */
export async function openWitnessKey(folder: string, name: string | null): Promise<NoteSigner> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (name !== null && !isKeyName(name)) throw new ConfigError('the name of a witness has no white space and no plus');
  const made = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
  // Of two processes that start at once, whoever is first makes it, and both read it.
  await writeOnce(folder, KEY_FILE, { text: String(made), mode: 0o600 });
  const privateKey = await readPrivateKey(join(folder, KEY_FILE));
  const fresh = { name: name ?? `${hostname()}/tenon-witness`, privateKey };
  await writeOnce(folder, VERIFIER_FILE, { text: `${encodeCosignerKey(cosignatureVerifier(fresh))}\n` });
  const known = parseCosignerKey((await readFile(join(folder, VERIFIER_FILE), 'utf8')).trim());
  const signer = { name: known.name, privateKey };
  if (cosignatureVerifier(signer).keyId !== known.keyId)
    throw new ConfigError(`${KEY_FILE} and ${VERIFIER_FILE} in ${folder} do not belong together`);
  if (name !== null && name !== known.name)
    throw new ConfigError(`the witness in ${folder} is called ${known.name}; a key has one name for good`);
  return signer;
}

async function readPrivateKey(file: string): Promise<NoteSigner['privateKey']> {
  try {
    const key = createPrivateKey(await readFile(file, 'utf8'));
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Told below, without the text of a key file in it.
  }
  throw new ConfigError(`${file} holds no Ed25519 private key in PEM form`);
}
