import { sign, verify } from 'node:crypto';
import { canonicalBytes, type JsonValue } from './canonical-json.ts';
import { fail } from './errors.ts';
import { decodeBase64, noteVerifier, type NoteSigner, type NoteVerifier } from './signed-note.ts';

/** The payload type of every envelope made here: an in-toto Statement as JSON. */
export const IN_TOTO_PAYLOAD_TYPE = 'application/vnd.in-toto+json';

/** The `_type` of an in-toto Statement v1. */
export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';

/** A thing that a statement speaks of, by its digests: algorithm (`sha256`) to lower-case hex. */
export type StatementSubject = {
  readonly name: string;
  readonly digest: { readonly [algorithm: string]: string };
};

/** An in-toto Statement v1: what is claimed (`predicate`, of the kind `predicateType`) about which things. */
export type Statement = {
  readonly _type: typeof STATEMENT_TYPE;
  readonly subject: readonly StatementSubject[];
  readonly predicateType: string;
  readonly predicate: { readonly [key: string]: JsonValue };
};

/** A DSSE envelope; `payload` and `sig` are base64, `keyid` is the signer's `name+keyid`, a hint and no more. */
export interface DsseEnvelope {
  readonly payloadType: typeof IN_TOTO_PAYLOAD_TYPE;
  readonly payload: string;
  readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
}

/** A statement that at least one trusted key has signed. */
export interface VerifiedStatement {
  readonly statement: Statement;
  /** The trusted keys that signed, each once. */
  readonly signers: readonly NoteVerifier[];
}

/** Statements name files by digest and hold summaries; the files themselves lie beside them. */
const MAX_PAYLOAD_CHARACTERS = 8 * 1024 * 1024;
const MAX_SIGNATURES = 16;

/** Returns the bytes that a DSSE signature covers: `DSSEv1 SP len SP type SP len SP body`. */
export function preAuthEncoding(payloadType: string, body: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${body.length} `;
  return Buffer.concat([Buffer.from(head), body]);
}

/** Returns the envelope over the canonical bytes of a statement: the same statement and keys give the same envelope. */
export function signStatement(statement: Statement, ...signers: readonly [NoteSigner, ...NoteSigner[]]): DsseEnvelope {
  const body = canonicalBytes(statement);
  const payload = body.toString('base64');
  if (payload.length > MAX_PAYLOAD_CHARACTERS) refuse('the statement is too long');
  const signed = preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, body);
  return {
    payloadType: IN_TOTO_PAYLOAD_TYPE,
    payload,
    signatures: signers.map(({ name, privateKey }) => ({
      keyid: keyidOf(noteVerifier(name, privateKey)),
      sig: sign(null, signed, privateKey).toString('base64'),
    })),
  };
}

/**
 * Returns the statement of an envelope and the trusted keys that signed it; the payload is read only after a signature
 * has been verified. Signatures that fail are passed over, as DSSE asks; none of a trusted key, another payload type
 * or a malformed envelope is BAD_USER_INPUT. Hostile input enters here: at most 8 MiB and 16 signatures.
 */
export function verifyStatement(envelope: unknown, verifierKeys: readonly NoteVerifier[]): VerifiedStatement {
  const { body, signatures } = parseEnvelope(envelope);
  const signed = preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, body);
  const signers = new Set<NoteVerifier>();
  for (const { keyid, sig } of signatures) {
    const named = verifierKeys.filter((key) => keyidOf(key) === keyid);
    const signer = (named.length > 0 ? named : verifierKeys).find((key) => verify(null, signed, key.publicKey, sig));
    if (signer !== undefined) signers.add(signer);
  }
  if (signers.size === 0) refuse('no trusted key has signed it');
  return { statement: parseStatement(body), signers: [...signers] };
}

interface ParsedEnvelope {
  readonly body: Buffer;
  readonly signatures: readonly { readonly keyid: unknown; readonly sig: Buffer }[];
}

function parseEnvelope(envelope: unknown): ParsedEnvelope {
  if (!isRecord(envelope)) return refuse('it is no object');
  if (envelope['payloadType'] !== IN_TOTO_PAYLOAD_TYPE) refuse(`its payload type is not ${IN_TOTO_PAYLOAD_TYPE}`);
  const body = decodeEither(envelope['payload']) ?? refuse('its payload is not base64');
  const signatures = envelope['signatures'];
  if (!Array.isArray(signatures) || signatures.length === 0) return refuse('it has no signatures');
  if (signatures.length > MAX_SIGNATURES) refuse(`it has more than ${MAX_SIGNATURES} signatures`);
  return { body, signatures: signatures.map(parseSignature) };
}

function parseSignature(signature: unknown): { keyid: unknown; sig: Buffer } {
  if (!isRecord(signature)) return refuse('a signature is no object');
  return { keyid: signature['keyid'], sig: decodeEither(signature['sig']) ?? refuse('a signature is not base64') };
}

function parseStatement(body: Buffer): Statement {
  const statement = parseJson(body);
  return isStatement(statement) ? statement : refuse('its payload is no in-toto Statement v1');
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    return refuse('its payload is not JSON', cause);
  }
}

function isStatement(value: unknown): value is Statement {
  if (!isRecord(value) || value['_type'] !== STATEMENT_TYPE) return false;
  const { subject, predicateType, predicate } = value;
  if (typeof predicateType !== 'string' || !isRecord(predicate)) return false;
  return Array.isArray(subject) && subject.length > 0 && subject.every(isSubject);
}

function isSubject(value: unknown): value is StatementSubject {
  if (!isRecord(value) || typeof value['name'] !== 'string' || !isRecord(value['digest'])) return false;
  const digests = Object.values(value['digest']);
  return digests.length > 0 && digests.every((digest) => typeof digest === 'string' && /^[0-9a-f]+$/.test(digest));
}

/** DSSE lets signers write standard or URL-safe base64; the latter often comes without padding. */
function decodeEither(text: unknown): Buffer | null {
  if (typeof text !== 'string' || text.length > MAX_PAYLOAD_CHARACTERS) return null;
  const standard = text.replaceAll('-', '+').replaceAll('_', '/');
  return decodeBase64(standard.padEnd(Math.ceil(standard.length / 4) * 4, '='));
}

function keyidOf({ name, keyId }: NoteVerifier): string {
  return `${name}+${keyId}`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuse(reason: string, cause?: unknown): never {
  return fail('BAD_USER_INPUT', `DSSE envelope: ${reason}`, { hint: `Envelope: ${reason}.`, cause });
}
