import { canonicalBytes, type JsonValue } from '#schema/canonical-json.ts';
import { signStatement, STATEMENT_TYPE, type DsseEnvelope, type Statement } from '#schema/dsse.ts';
import { isObject } from '#schema/json-object.ts';
import type { ErasedStore } from '#kit/personal-data.ts';
import type { NoteSigner } from '#schema/signed-note.ts';

/** What a certificate of erasure claims, as an in-toto predicate. */
export const ERASURE_PREDICATE_TYPE = 'https://tenon.dev/erasure/v1';

/** What became of one store; `kept_until` is when the last of what stays under a destroyed key is gone, where it is known. */
export type ErasedRows = { readonly [Key in keyof ErasedStore]: ErasedStore[Key] } & {
  readonly kept_until: string | null;
};

/** How a store lets go of what was personal, as in `ErasedStore`. */
const METHODS: readonly unknown[] = [
  'deleted',
  'cleared',
  'withdrawn',
  'key_destroyed',
] satisfies ErasedStore['method'][];

/** What was erased of whom. */
export type ErasurePredicate = {
  /** `aud_` id of the event. */
  readonly event: string;
  /** `tnt_` id. */
  readonly tenant: string;
  /** `usr_` id; null where the whole tenant has ended. */
  readonly person: string | null;
  /** The destroyed key; null for a tenant. */
  readonly key_id: string | null;
  readonly basis: string;
  readonly request: string | null;
  /** When the key was destroyed; the event has the same time. */
  readonly key_destroyed_at: string;
  /** When nothing else was left. */
  readonly erased_at: string;
  readonly stores: readonly ErasedRows[];
  /**
   * Until when backups of databases from before may hold what was erased, as the operator says; null where she does not.
   * What is restored from one is erased again.
   */
  readonly backups_until: string | null;
  /** Where the event stands in the tenant's log. */
  readonly log: { readonly epoch: number; readonly seq: number; readonly leaf: string };
};

/** Returns the signed statement: the same claims and key give the same bytes. Its subject is the leaf of the event. */
export function signErasure(predicate: ErasurePredicate, signer: NoteSigner): DsseEnvelope {
  const statement: Statement = {
    _type: STATEMENT_TYPE,
    subject: [{ name: predicate.event, digest: { rfc6962leaf: predicate.log.leaf } }],
    predicateType: ERASURE_PREDICATE_TYPE,
    predicate: { ...predicate, stores: predicate.stores.map((rows) => ({ ...rows })) },
  };
  return signStatement(statement, signer);
}

/** Returns the bytes that an envelope is stored as (RFC 8785). */
export function envelopeBytes(envelope: DsseEnvelope): Buffer {
  return canonicalBytes({ ...envelope, signatures: envelope.signatures.map((each) => ({ ...each })) });
}

/** Returns the claims of a verified statement, or null where it is no statement of an erasure. */
export function erasureOfStatement({ predicateType, predicate, subject }: Statement): ErasurePredicate | null {
  if (predicateType !== ERASURE_PREDICATE_TYPE || !isPredicate(predicate)) return null;
  const [named, ...others] = subject;
  const isSame = named?.name === predicate.event && named.digest['rfc6962leaf'] === predicate.log.leaf;
  return isSame && others.length === 0 ? predicate : null;
}

const LEAF = /^[0-9a-f]{64}$/;

function isPredicate(value: { readonly [key: string]: JsonValue }): value is ErasurePredicate {
  const { event, tenant, person, key_id: keyId, basis, request, stores, log } = value;
  const texts = [event, tenant, basis, value['key_destroyed_at'], value['erased_at']];
  const texted =
    texts.every((text) => typeof text === 'string') &&
    [person, keyId, request, value['backups_until']].every(isTextOrNull);
  if (!texted || !Array.isArray(stores) || !isObject(log)) return false;
  const { epoch, seq, leaf } = log;
  return isCount(epoch) && isCount(seq) && typeof leaf === 'string' && LEAF.test(leaf) && stores.every(isErasedRows);
}

function isErasedRows(value: unknown): boolean {
  if (!isObject(value) || typeof value['store'] !== 'string' || !METHODS.includes(value['method'])) return false;
  const { method, rows, left, kept_until: until = 0 } = value;
  // Nothing is certified that a search has found afterwards.
  return isCount(rows) && isCount(left) && isTextOrNull(until) && (method === 'key_destroyed' || left === 0);
}

function isTextOrNull(value: unknown): boolean {
  return value === null || typeof value === 'string';
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
