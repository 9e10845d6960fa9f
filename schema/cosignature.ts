import { sign, verify } from 'node:crypto';
import { parseCheckpoint, type Checkpoint } from './checkpoint.ts';
import { fail } from './errors.ts';
import {
  encodeSignatureLine,
  encodeTypedKey,
  parseNote,
  parseTypedKey,
  publicKeyFromRaw,
  rawPublicKey,
  typedKeyId,
  type NoteSigner,
  type NoteVerifier,
  type SignatureLine,
} from './signed-note.ts';

/** A witness that is trusted to have checked a log before it signed; its key id is that of type 0x04. */
export type CosignatureVerifier = NoteVerifier;

/** That a witness has seen a checkpoint, and when. */
export interface Cosignature {
  readonly witness: CosignatureVerifier;
  /** By the clock of the witness, to the second. */
  readonly time: Date;
}

/** A checkpoint and the witnesses that have seen it. */
export interface CosignedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** Each witness once, with its latest time. */
  readonly cosignatures: readonly Cosignature[];
}

const COSIGNATURE = 0x04;
const TIME_BYTES = 8;
const SIGNATURE_BYTES = 64;
/** The last second that a Date can hold; the specification allows up to 2^63 - 1. */
const MAX_SECONDS = 8_640_000_000_000n;

/** Returns the verifier of a witness, from its public key or the public half of its private one. */
export function cosignatureVerifier({ name, privateKey }: NoteSigner): CosignatureVerifier {
  return parseCosignerKey(encodeTypedKey({ name, type: COSIGNATURE, raw: rawPublicKey(privateKey) }));
}

/** Returns the verifier key of a witness as text, `name+id+base64(0x04 || key)` (C2SP tlog-cosignature). */
export function encodeCosignerKey({ name, publicKey }: CosignatureVerifier): string {
  return encodeTypedKey({ name, type: COSIGNATURE, raw: rawPublicKey(publicKey) });
}

/** Returns the witness inside a verifier key text; a key of another type than 0x04 is BAD_USER_INPUT. */
export function parseCosignerKey(text: string): CosignatureVerifier {
  const { name, type, raw } = parseTypedKey(text);
  if (type !== COSIGNATURE) refuse('the key is not one of an Ed25519 witness (type 0x04)');
  return { name, keyId: typedKeyId({ name, type, raw }), publicKey: publicKeyFromRaw(raw) };
}

/**
 * Returns the signature line of a witness over the checkpoint inside a note, made at `now`, to be put below the note.
 * The note's own signatures are not looked at: whoever cosigns has verified them before. No checkpoint is BAD_USER_INPUT.
 */
export function cosign(note: string, witness: NoteSigner, now: Date): string {
  const { text } = parseNote(note);
  parseCheckpoint(text);
  const seconds = BigInt(Math.floor(now.getTime() / 1000));
  const signature = Buffer.alloc(TIME_BYTES + SIGNATURE_BYTES);
  signature.writeBigUInt64BE(seconds);
  sign(null, message(text, seconds), witness.privateKey).copy(signature, TIME_BYTES);
  const { name, keyId } = cosignatureVerifier(witness);
  return encodeSignatureLine({ name, keyId, signature });
}

/**
 * Returns the checkpoint of a note and the witnesses among the given ones that cosigned it, which may be none. Lines of
 * unknown keys are passed over; a malformed note, a failing signature of a given witness, and a time later than `now`
 * with ten minutes for clocks that differ are BAD_USER_INPUT.
 */
export function verifyCosignatures(
  note: string | Uint8Array,
  witnesses: readonly CosignatureVerifier[],
  now?: Date,
): CosignedCheckpoint {
  const { text, signatures } = parseNote(note);
  const found = new Map<CosignatureVerifier, Cosignature>();
  for (const line of signatures) {
    const witness = witnesses.find(({ name, keyId }) => name === line.name && keyId === line.keyId);
    if (witness === undefined) continue;
    const time = verifiedTime(text, line, witness);
    if (now !== undefined && time.getTime() > now.getTime() + CLOCK_SKEW_MS)
      refuse(`${witness.name} signed in the future`);
    const before = found.get(witness);
    if (before === undefined || before.time < time) found.set(witness, { witness, time });
  }
  return { checkpoint: parseCheckpoint(text), cosignatures: [...found.values()] };
}

const CLOCK_SKEW_MS = 10 * 60_000;

function verifiedTime(text: string, { signature }: SignatureLine, witness: CosignatureVerifier): Date {
  if (signature.length !== TIME_BYTES + SIGNATURE_BYTES) refuse(`the signature of ${witness.name} has not its length`);
  const seconds = signature.readBigUInt64BE();
  if (seconds > MAX_SECONDS) refuse(`the time of ${witness.name} is none`);
  if (!verify(null, message(text, seconds), witness.publicKey, signature.subarray(TIME_BYTES)))
    refuse(`the signature of ${witness.name} does not fit the checkpoint`);
  return new Date(Number(seconds) * 1000);
}

function message(text: string, seconds: bigint): Buffer {
  return Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`);
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `cosignature: ${reason}`, { hint: `Cosignature: ${reason}.` });
}
