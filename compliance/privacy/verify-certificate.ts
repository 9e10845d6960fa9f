import { entryLeaf, parseEntry, type AuditEntry } from '#schema/audit-event.ts';
import { canonicalJson, parseCanonical, type JsonValue } from '#schema/canonical-json.ts';
import { verifyStatement } from '#schema/dsse.ts';
import { fail } from '#schema/errors.ts';
import { isObject } from '#schema/json-object.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import { encodeProof, parseProof, verifyProof } from '#schema/tlog-proof.ts';
import { erasureOfStatement, type ErasurePredicate } from './erasure-statement.ts';

/** What a certificate has shown. */
export interface VerifiedErasure {
  readonly erasure: ErasurePredicate;
  /** The log that holds the event, and the size of the signed tree that shows it. */
  readonly origin: string;
  readonly size: number;
}

/** Two of the largest entries, twice wrapped in base64, and a proof. */
const MAX_CERTIFICATE_BYTES = 1024 * 1024;

/** Tells whether bytes look like a certificate of erasure, so that `verify` knows what it was given. */
export function isErasureCertificate(bytes: Uint8Array): boolean {
  return (
    bytes.length <= MAX_CERTIFICATE_BYTES && Buffer.from(bytes.subarray(0, 11)).toString('latin1') === '{"proof":"c'
  );
}

/**
 * Returns what a certificate of erasure shows, offline: a trusted key has signed the statement, and the event that it
 * speaks of stands in a signed log and says the same. Anything else is BAD_USER_INPUT, with the reason as its hint.
 * Hostile input enters here; no byte of a certificate can be changed without being noticed.
 */
export function verifyCertificate(bytes: Uint8Array, keys: readonly NoteVerifier[]): VerifiedErasure {
  if (bytes.length > MAX_CERTIFICATE_BYTES) refuse('it is too long');
  const { statement, proof } = parseCertificate(bytes);
  const verified = verifyStatement(statement, keys);
  requirePlain(statement, verified.signers);
  const erasure = erasureOfStatement(verified.statement) ?? refuse('its statement is of something else');
  const parts = parseProof(proof);
  if (encodeProof(parts) !== proof) refuse('its proof is not written as it should be');
  const entryText = parts.extra ?? refuse('its proof has no entry');
  const leaf = entryLeaf(entryText);
  const { index, checkpoint, signers } = verifyProof({ proof, leaf, verifierKeys: keys });
  requireSame(erasure, { entry: parseEntry(entryText), leaf: leaf.toString('hex'), index });
  const suffix = `/audit/${erasure.tenant}/${erasure.log.epoch}`;
  if (!signers.some(({ name }) => checkpoint.origin === `${name}${suffix}`)) refuse('its log is another one');
  return { erasure, origin: checkpoint.origin, size: checkpoint.size };
}

function parseCertificate(bytes: Uint8Array): { statement: JsonValue; proof: string } {
  const certificate = parseCanonical(bytes);
  if (!isObject(certificate) || Object.keys(certificate).join() !== 'proof,statement,v')
    return refuse('it has another shape');
  const { v, statement, proof } = certificate;
  if (v !== 1 || typeof proof !== 'string' || statement === undefined) return refuse('it is of another version');
  return { statement, proof };
}

/** DSSE lets an envelope be written in several ways and calls its key id a hint; a certificate is written in one. */
function requirePlain(statement: JsonValue, signers: readonly NoteVerifier[]): void {
  const { payload, signatures } = statement as { payload: string; signatures: { keyid: string; sig: string }[] };
  const [signature, ...others] = signatures;
  const keyids = signers.map(({ name, keyId }) => `${name}+${keyId}`);
  const isOne = signature !== undefined && others.length === 0 && keyids.includes(signature.keyid);
  if (!isOne || !isPlain(payload) || !isPlain(signature.sig)) refuse('its envelope is not written as it should be');
  if (Object.keys(statement as object).length !== 3 || Object.keys(signature).length !== 2)
    refuse('its envelope has more');
  const body = Buffer.from(payload, 'base64').toString('utf8');
  if (canonicalJson(parseCanonical(Buffer.from(body))) !== body) refuse('its statement is not canonical');
}

function isPlain(base64: string): boolean {
  return Buffer.from(base64, 'base64').toString('base64') === base64;
}

interface ProvenEvent {
  readonly entry: AuditEntry;
  readonly leaf: string;
  readonly index: number;
}

function requireSame(erasure: ErasurePredicate, { entry, leaf, index }: ProvenEvent): void {
  const { event, seq, outcome } = entry;
  const { kid = null, basis = null, request = null } = event.context;
  const action = erasure.person === null ? 'tenant.erased' : 'subject.erased';
  const said = { leaf, seq, index, outcome, action: event.action, event: event.id, tenant: event.tenant_id };
  const claimed = {
    ...erasure.log,
    index: seq,
    outcome: 'success',
    action,
    event: erasure.event,
    tenant: erasure.tenant,
  };
  const { epoch: _, ...place } = claimed;
  const ofEvent = { resource: event.resource.id, at: event.ts, kid, basis, request };
  const ofStatement = {
    resource: erasure.person ?? erasure.tenant,
    at: erasure.key_destroyed_at,
    kid: erasure.key_id,
    basis: erasure.basis,
    request: erasure.request,
  };
  const same = canonicalJson({ ...said, ...ofEvent }) === canonicalJson({ ...place, ...ofStatement });
  if (!same) refuse('the event in the log says something else');
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `erasure certificate: ${reason}`, { hint: `Certificate: ${reason}.` });
}
