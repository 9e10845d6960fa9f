import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigError, type Config } from '#schema/config.ts';
import { signRotation, verifyRotation } from '#schema/key-rotation.ts';
import { encodeVerifierKey, noteVerifier } from '#schema/signed-note.ts';
import { readSigningKey, signingKeyFileOf, type SigningKey } from './key-files.ts';

/** The key that signs, and how it came to be the one. */
export interface SigningKeys {
  readonly current: SigningKey;
  /** Every key that ever signed, the current one first and then the newest first. */
  readonly verifierKeys: readonly string[];
  /** Statements of the rotations, oldest first; each is signed by the old and the new key. */
  readonly rotations: readonly string[];
}

/** What a rotation has changed. */
export interface Rotated {
  readonly statement: string;
  readonly oldKey: string;
  readonly newKey: string;
}

/**
 * Returns the signing key with the statements that lead to it, which lie in `signing-keys.json` beside it. A file that
 * holds anything else than statements of this deployment is a ConfigError.
 */
export function readSigningKeys(config: Config): SigningKeys {
  const current = readSigningKey(config);
  const rotations = readStatements(config);
  const older = rotations.map((statement) => encodeVerifierKey(verifyRotation(statement).oldKey)).toReversed();
  return { current, verifierKeys: [...new Set([current.verifierKey, ...older])], rotations };
}

/**
 * Puts a new key in the place of the signing key; processes take it up with their next start. First the statement is
 * durable, then the key: ended in between, the next call goes on from there, so that no key ever signs that no statement
 * speaks of. The old private key is gone afterwards.
 */
export function rotateSigningKey(config: Config, now: Date): Rotated {
  const file = signingKeyFileOf(config);
  const next = `${file}.next`;
  const oldKey = readSigningKey(config);
  const rotations = readStatements(config);
  const begun = begunRotation(next, { oldKey, last: rotations.at(-1) });
  if (begun !== null) {
    finish(next, file);
    return begun;
  }
  rmSync(next, { force: true });
  const pem = String(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const newKey = { name: oldKey.name, privateKey: createPrivateKey(pem) };
  const statement = signRotation({ number: rotations.length + 1, oldKey, newKey, at: now });
  writeDurably(next, pem, { mode: 0o600, like: file });
  const statements = statementFileOf(config);
  const staging = `${statements}.next`;
  rmSync(staging, { force: true });
  writeDurably(staging, `${JSON.stringify({ rotations: [...rotations, statement] }, null, 2)}\n`, {
    mode: 0o644,
    like: file,
  });
  finish(staging, statements);
  finish(next, file);
  return {
    statement,
    oldKey: oldKey.verifierKey,
    newKey: encodeVerifierKey(noteVerifier(newKey.name, newKey.privateKey)),
  };
}

function statementFileOf(config: Config): string {
  return join(dirname(signingKeyFileOf(config)), 'signing-keys.json');
}

/** A rotation whose statement is written already, and whose key waits beside the old one. */
function begunRotation(
  next: string,
  { oldKey, last }: { oldKey: SigningKey; last: string | undefined },
): Rotated | null {
  if (last === undefined) return null;
  const rotation = verifyRotation(last);
  if (encodeVerifierKey(rotation.oldKey) !== oldKey.verifierKey) return null;
  const newKey = encodeVerifierKey(rotation.newKey);
  if (!existsSync(next) || verifierKeyIn(next, oldKey.name) !== newKey)
    throw new ConfigError(
      `signing-keys.json says that ${newKey} has taken over, but its private key is not in ${next}`,
    );
  return { statement: last, oldKey: oldKey.verifierKey, newKey };
}

function verifierKeyIn(file: string, name: string): string | null {
  try {
    return encodeVerifierKey(noteVerifier(name, createPrivateKey(readFileSync(file, 'utf8'))));
  } catch {
    return null;
  }
}

function readStatements(config: Config): string[] {
  const file = statementFileOf(config);
  if (!existsSync(file)) return [];
  try {
    const { rotations } = JSON.parse(readFileSync(file, 'utf8')) as { rotations?: unknown };
    if (!Array.isArray(rotations)) throw new TypeError('it holds no rotations');
    return rotations.map((statement: unknown) => {
      if (typeof statement !== 'string') throw new TypeError('a statement is no text');
      if (verifyRotation(statement).deployment !== config.deployment)
        throw new TypeError('it is of another deployment');
      return statement;
    });
  } catch (error) {
    throw new ConfigError(`${file} cannot be used: ${error instanceof Error ? error.message : ''}`);
  }
}

function writeDurably(file: string, text: string, { mode, like }: { mode: number; like: string }): void {
  const handle = openSync(file, 'wx', mode);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  // Where root rotates the keys of a service, the service must be able to read them.
  const { uid, gid } = statSync(like);
  if (process.getuid?.() === 0) chownSync(file, uid, gid);
}

function finish(staging: string, file: string): void {
  renameSync(staging, file);
  if (process.platform === 'win32') return;
  const folder = openSync(dirname(file), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
