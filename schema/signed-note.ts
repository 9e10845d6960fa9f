import { createPublicKey, hash, sign, verify, type KeyObject } from 'node:crypto';
import { fail } from './errors.ts';

/** Who signs notes: the key name is what verifiers know the key by, the key is Ed25519. */
export interface NoteSigner {
  readonly name: string;
  readonly privateKey: KeyObject;
}

/** A key that a verifier trusts; name and id together name it (C2SP signed-note). */
export interface NoteVerifier {
  readonly name: string;
  /** Eight lower-case hex digits: SHA-256(name, LF, 0x01, raw public key)[:4]. */
  readonly keyId: string;
  readonly publicKey: KeyObject;
}

/** A note of which at least one trusted key has signed the text. */
export interface VerifiedNote {
  /** What was signed, with its final newline. */
  readonly text: string;
  /** The trusted keys that signed, each once, in the order of their lines. */
  readonly signers: readonly NoteVerifier[];
}

/** A note beyond this is no checkpoint; Go's reference implementation draws the same line. */
const MAX_NOTE_BYTES = 1_000_000;
/** The least that the specification lets a verifier accept, and more than logs and witnesses need. */
const MAX_SIGNATURES = 16;
const ED25519 = 0x01;
const RAW_KEY_BYTES = 32;
/** SubjectPublicKeyInfo of an Ed25519 key up to its raw bytes (RFC 8410 section 4). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

const SIGNATURE_LINE = /^— ([^ ]+) ([A-Za-z0-9+/=]+)$/u;
const NOT_IN_NAMES = /[\p{White_Space}+]/u;
// eslint-disable-next-line no-control-regex
const NOT_IN_NOTES = /[\u0000-\u0009\u000b-\u001f]|\p{Surrogate}/u;

/**
 * Returns the signed note: the text, a blank line and one line for each signer.
 * The text ends in a newline and holds no other control character; what `verifyNote` would not read is BAD_USER_INPUT.
 */
export function signNote(text: string, ...signers: readonly [NoteSigner, ...NoteSigner[]]): string {
  if (!text.endsWith('\n') || NOT_IN_NOTES.test(text)) refuse('the text does not end in a newline or has controls');
  if (signers.length > MAX_SIGNATURES) refuse('there are too many signers');
  const note = `${text}\n${signers.map((signer) => signatureLine(text, signer)).join('')}`;
  return Buffer.byteLength(note) > MAX_NOTE_BYTES ? refuse('it is longer than a note may be') : note;
}

/**
 * Returns the text of a note and the trusted keys that signed it. Signatures of unknown keys are passed over; a
 * malformed note, a failing signature of a trusted key, or none of a trusted key is BAD_USER_INPUT. Hostile input
 * enters here: at most 1,000,000 bytes and 16 signatures.
 */
export function verifyNote(note: string | Uint8Array, verifierKeys: readonly NoteVerifier[]): VerifiedNote {
  const { text, signatures } = parseNote(noteText(note));
  const signers = new Set<NoteVerifier>();
  for (const { name, keyId, signature } of signatures) {
    const known = verifierKeys.filter((key) => key.name === name && key.keyId === keyId);
    const signer = known.find((key) => verify(null, Buffer.from(text), key.publicKey, signature));
    if (signer !== undefined) signers.add(signer);
    else if (known.length > 0) refuse(`the signature of ${name}+${keyId} does not fit the text`);
  }
  if (signers.size === 0) refuse('no trusted key has signed it');
  return { text, signers: [...signers] };
}

/** Returns the verifier for a public key, or for the public half of a private one. */
export function noteVerifier(name: string, key: KeyObject): NoteVerifier {
  const raw = rawPublicKey(key);
  return { name: checkedName(name), keyId: keyIdOf(name, raw), publicKey: publicKeyFromRaw(raw) };
}

/** Returns the verifier key text `name+keyid+base64(0x01 || public key)` that auditors are given. */
export function encodeVerifierKey({ name, keyId, publicKey }: NoteVerifier): string {
  const typed = Buffer.concat([Buffer.of(ED25519), rawPublicKey(publicKey)]);
  return `${checkedName(name)}+${keyId}+${typed.toString('base64')}`;
}

/** Returns the verifier inside a verifier key text; another algorithm or an id that does not fit is BAD_USER_INPUT. */
export function parseVerifierKey(text: string): NoteVerifier {
  // The base64 behind the second plus may hold further ones.
  const [, name = '', keyId = '', encoded = ''] =
    /^([^+]{1,1000})\+([0-9a-f]{8})\+([A-Za-z0-9+/=]{1,100})$/u.exec(text) ?? [];
  const typed = decodeBase64(encoded);
  if (typed === null || typed.length !== 1 + RAW_KEY_BYTES || typed[0] !== ED25519)
    refuse('it is no Ed25519 verifier key');
  const verifier = noteVerifier(name, publicKeyFromRaw(typed.subarray(1)));
  return verifier.keyId === keyId ? verifier : refuse('the id of the verifier key does not fit the key');
}

/** Returns the Ed25519 public key whose 32 bytes (RFC 8032) these are. */
export function publicKeyFromRaw(raw: Uint8Array): KeyObject {
  if (raw.length !== RAW_KEY_BYTES) refuse('an Ed25519 public key has 32 bytes');
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' });
}

/** Returns the 32 bytes of an Ed25519 public key, or of the public half of a private one. */
export function rawPublicKey(key: KeyObject): Buffer {
  if (key.asymmetricKeyType !== 'ed25519') refuse('the key is not Ed25519');
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return publicKey.export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length);
}

/** Returns the bytes of standard, padded base64 (RFC 4648 section 4), or null where the text is not exactly that. */
export function decodeBase64(text: string): Buffer | null {
  // Buffer passes over what it cannot read, so only the way back shows that every character counted.
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}

/** Tells whether a text can be a key name or an origin: not empty, no white space, no control, no plus. */
export function isKeyName(name: string): boolean {
  return name !== '' && !NOT_IN_NAMES.test(name) && !NOT_IN_NOTES.test(name);
}

interface SignatureLine {
  readonly name: string;
  readonly keyId: string;
  readonly signature: Buffer;
}

function signatureLine(text: string, { name, privateKey }: NoteSigner): string {
  const keyId = keyIdOf(checkedName(name), rawPublicKey(privateKey));
  const signature = sign(null, Buffer.from(text), privateKey);
  return `— ${name} ${Buffer.concat([Buffer.from(keyId, 'hex'), signature]).toString('base64')}\n`;
}

function noteText(note: string | Uint8Array): string {
  const length = typeof note === 'string' ? Buffer.byteLength(note) : note.length;
  if (length > MAX_NOTE_BYTES) refuse('it is longer than a note may be');
  if (typeof note === 'string') return note;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(note);
  } catch (cause) {
    return refuse('it is not UTF-8', cause);
  }
}

function parseNote(note: string): { text: string; signatures: SignatureLine[] } {
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n') || NOT_IN_NOTES.test(note)) refuse('it has not the form of a signed note');
  const lines = note.slice(split + 2, -1).split('\n', MAX_SIGNATURES + 1);
  if (lines.length > MAX_SIGNATURES) refuse(`it has more than ${MAX_SIGNATURES} signatures`);
  return { text: note.slice(0, split + 1), signatures: lines.map(parseSignatureLine) };
}

function parseSignatureLine(line: string): SignatureLine {
  const [, name = '', encoded = ''] = SIGNATURE_LINE.exec(line) ?? [];
  const bytes = decodeBase64(encoded);
  if (!isKeyName(name) || bytes === null || bytes.length < 5) refuse('a signature line is malformed');
  return { name, keyId: bytes.toString('hex', 0, 4), signature: bytes.subarray(4) };
}

function keyIdOf(name: string, raw: Uint8Array): string {
  return hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(ED25519), raw]), 'hex').slice(0, 8);
}

function checkedName(name: string): string {
  return isKeyName(name) ? name : refuse('the key name is empty or has white space, a control or a plus');
}

function refuse(reason: string, cause?: unknown): never {
  return fail('BAD_USER_INPUT', `signed note: ${reason}`, { hint: `Signed note: ${reason}.`, cause });
}
