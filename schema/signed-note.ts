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

/** One signature of a note, as its line says and nothing verified. */
export interface SignatureLine {
  readonly name: string;
  /** Eight lower-case hex digits. */
  readonly keyId: string;
  /** What stands behind the key id: its form is up to the type of the key. */
  readonly signature: Buffer;
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
  const { text, signatures } = parseNote(note);
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

/**
 * Returns the text and the signatures of a note without verifying any. Hostile input enters here: a malformed note, more
 * than 1,000,000 bytes or 16 signatures are BAD_USER_INPUT.
 */
export function parseNote(note: string | Uint8Array): { text: string; signatures: SignatureLine[] } {
  const whole = noteText(note);
  const split = whole.lastIndexOf('\n\n');
  if (split < 0 || !whole.endsWith('\n') || NOT_IN_NOTES.test(whole)) refuse('it has not the form of a signed note');
  const lines = whole.slice(split + 2, -1).split('\n', MAX_SIGNATURES + 1);
  if (lines.length > MAX_SIGNATURES) refuse(`it has more than ${MAX_SIGNATURES} signatures`);
  return { text: whole.slice(0, split + 1), signatures: lines.map(parseSignatureLine) };
}

/** Returns the line of a signature, as it stands below a note. */
export function encodeSignatureLine({ name, keyId, signature }: SignatureLine): string {
  return `— ${checkedName(name)} ${Buffer.concat([Buffer.from(keyId, 'hex'), signature]).toString('base64')}\n`;
}

/** Returns the verifier for a public key, or for the public half of a private one. */
export function noteVerifier(name: string, key: KeyObject): NoteVerifier {
  const raw = rawPublicKey(key);
  return { name: checkedName(name), keyId: typedKeyId({ name, type: ED25519, raw }), publicKey: publicKeyOf(key) };
}

/** Returns the verifier key text `name+keyid+base64(0x01 || public key)` that auditors are given. */
export function encodeVerifierKey({ name, publicKey }: NoteVerifier): string {
  return encodeTypedKey({ name, type: ED25519, raw: rawPublicKey(publicKey) });
}

/** Returns the verifier inside a verifier key text; another algorithm or an id that does not fit is BAD_USER_INPUT. */
export function parseVerifierKey(text: string): NoteVerifier {
  const { name, type, raw } = parseTypedKey(text);
  if (type !== ED25519) refuse('it is no Ed25519 verifier key');
  return noteVerifier(name, publicKeyFromRaw(raw));
}

/** A public key under the name and for the kind of signature that its id is made of; `raw` is 32 bytes of Ed25519. */
export interface TypedKey {
  readonly name: string;
  /** 0x01 signs notes, 0x04 cosigns checkpoints. */
  readonly type: number;
  readonly raw: Uint8Array;
}

/** Returns the key id of a key: eight hex digits of SHA-256(name, LF, type, raw public key)[:4]. */
export function typedKeyId({ name, type, raw }: TypedKey): string {
  return hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(type), raw]), 'hex').slice(0, 8);
}

/** Returns the verifier key text of a key of any type. */
export function encodeTypedKey(key: TypedKey): string {
  const typed = Buffer.concat([Buffer.of(key.type), key.raw]);
  return `${checkedName(key.name)}+${typedKeyId(key)}+${typed.toString('base64')}`;
}

/** Returns the key inside a verifier key text; one that is not 32 bytes, or whose id does not fit, is BAD_USER_INPUT. */
export function parseTypedKey(text: string): TypedKey {
  // The base64 behind the second plus may hold further ones.
  const [, name = '', keyId = '', encoded = ''] =
    /^([^+]{1,1000})\+([0-9a-f]{8})\+([A-Za-z0-9+/=]{1,100})$/u.exec(text) ?? [];
  const typed = decodeBase64(encoded);
  if (typed === null || typed.length !== 1 + RAW_KEY_BYTES || !isKeyName(name))
    return refuse('it is no Ed25519 verifier key');
  const key = { name, type: typed[0] ?? 0, raw: typed.subarray(1) };
  return typedKeyId(key) === keyId ? key : refuse('the id of the verifier key does not fit the key');
}

/** Returns the Ed25519 public key whose 32 bytes (RFC 8032) these are. */
export function publicKeyFromRaw(raw: Uint8Array): KeyObject {
  if (raw.length !== RAW_KEY_BYTES) refuse('an Ed25519 public key has 32 bytes');
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' });
}

/** Returns the 32 bytes of an Ed25519 public key, or of the public half of a private one. */
export function rawPublicKey(key: KeyObject): Buffer {
  const known = RAW_KEYS.get(key);
  if (known !== undefined) return Buffer.from(known);
  if (key.asymmetricKeyType !== 'ed25519') refuse('the key is not Ed25519');
  const raw = publicKeyOf(key).export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length);
  RAW_KEYS.set(key, Buffer.from(raw));
  return raw;
}

/** Deriving a public key from a private one, or its bytes from it, costs more than signing. */
const RAW_KEYS = new WeakMap<KeyObject, Buffer>();
const PUBLIC_KEYS = new WeakMap<KeyObject, KeyObject>();

function publicKeyOf(key: KeyObject): KeyObject {
  if (key.type !== 'private') return key;
  const known = PUBLIC_KEYS.get(key) ?? createPublicKey(key);
  PUBLIC_KEYS.set(key, known);
  return known;
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

function signatureLine(text: string, { name, privateKey }: NoteSigner): string {
  const keyId = typedKeyId({ name: checkedName(name), type: ED25519, raw: rawPublicKey(privateKey) });
  return encodeSignatureLine({ name, keyId, signature: sign(null, Buffer.from(text), privateKey) });
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

function parseSignatureLine(line: string): SignatureLine {
  const [, name = '', encoded = ''] = SIGNATURE_LINE.exec(line) ?? [];
  const bytes = decodeBase64(encoded);
  if (!isKeyName(name) || bytes === null || bytes.length < 5) refuse('a signature line is malformed');
  return { name, keyId: bytes.toString('hex', 0, 4), signature: bytes.subarray(4) };
}

function checkedName(name: string): string {
  return isKeyName(name) ? name : refuse('the key name is empty or has white space, a control or a plus');
}

function refuse(reason: string, cause?: unknown): never {
  return fail('BAD_USER_INPUT', `signed note: ${reason}`, { hint: `Signed note: ${reason}.`, cause });
}
