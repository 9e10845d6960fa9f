import { canonicalJson, parseCanonical } from './canonical-json.ts';
import type { Checkpoint } from './checkpoint.ts';
import { fail } from './errors.ts';
import { isObject } from './json-object.ts';
import { verifyInclusion } from './merkle.ts';
import {
  parsePlatformEntry,
  parsePlatformHead,
  platformLeaf,
  type HeadsEntry,
  type PlatformHead,
} from './platform-entry.ts';
import type { NoteVerifier } from './signed-note.ts';
import { parseProof, verifyProof } from './tlog-proof.ts';

/** Everything needed to show offline that a platform log has committed to the head of one tenant's log. */
export type PlatformProof = {
  readonly v: 1;
  /** RFC 8785 text of the head. */
  readonly head: string;
  /** Its place in the tree of heads of the tick, and the audit path (RFC 6962), nearest sibling first, in lower-case hex. */
  readonly head_index: number;
  readonly head_hashes: readonly string[];
  /** tlog-proof of the tick's entry in the platform log; its extra data are the entry's bytes. */
  readonly tlog_proof: string;
};

/** What is asked of a proof. */
export interface PlatformProofQuestion {
  /** The JSON text as it was served: RFC 8785, perhaps with a newline at its end. */
  readonly proof: string | Uint8Array;
  readonly verifierKeys: readonly NoteVerifier[];
  /** The tenant log it must be about, `<deployment>/audit/<tenant id>/<epoch>`. */
  readonly origin: string;
  /** The platform log that must have signed, where the keys sign for several. */
  readonly platformOrigin?: string;
}

/** What a proof has shown: at `entry.at` the tenant's log had this head. */
export interface ProvenHead {
  readonly head: PlatformHead;
  readonly entry: HeadsEntry;
  /** Of the platform log. */
  readonly checkpoint: Checkpoint;
  readonly signers: readonly NoteVerifier[];
}

/** Far above a path of 53 hashes, a head and a tlog-proof. */
const MAX_PROOF_BYTES = 256 * 1024;
const MAX_HASHES = 53;
const HASH_HEX = /^[0-9a-f]{64}$/;
const KEYS = ['v', 'head', 'head_index', 'head_hashes', 'tlog_proof'];

/** Returns the RFC 8785 text of a proof. */
export function encodePlatformProof(proof: PlatformProof): string {
  return isPlatformProof(proof) ? canonicalJson(proof) : refuse('it has not exactly its fields');
}

/** Returns the parts of a proof without verifying any; hostile input enters here, all faults are BAD_USER_INPUT. */
export function parsePlatformProof(proof: string | Uint8Array): PlatformProof {
  const bytes =
    typeof proof === 'string' ? Buffer.from(proof) : Buffer.from(proof.buffer, proof.byteOffset, proof.length);
  if (bytes.length > MAX_PROOF_BYTES) refuse(`it is longer than ${MAX_PROOF_BYTES} bytes`);
  const value: unknown = parseCanonical(bytes.at(-1) === LF ? bytes.subarray(0, -1) : bytes);
  return isPlatformProof(value) ? value : refuse('it has not exactly its fields');
}

const LF = 0x0a;

/**
 * Returns what the proof shows: a trusted key has signed a checkpoint of a platform log with an entry whose tree of heads
 * holds this head. A malformed proof, an unknown or failing signature, another log, and a path that does not lead to its
 * root are BAD_USER_INPUT.
 */
export function verifyPlatformProof(question: PlatformProofQuestion): ProvenHead {
  const { verifierKeys, origin, platformOrigin } = question;
  const proof = parsePlatformProof(question.proof);
  const head = parsePlatformHead(Buffer.from(proof.head));
  if (head.origin !== origin) refuse('it is about the log of another tenant or epoch');
  const { extra = refuse('it does not carry the entry of the tick') } = parseProof(proof.tlog_proof);
  const entry = parsePlatformEntry(extra);
  if (entry.kind !== 'heads') return refuse('the entry is no tick');
  const proven = verifyProof({
    proof: proof.tlog_proof,
    leaf: platformLeaf(Buffer.from(extra).toString('utf8')),
    verifierKeys,
    ...(platformOrigin === undefined ? {} : { origin: platformOrigin }),
  });
  if (!/\/platform\/[^/]+\/\d+$/.test(proven.checkpoint.origin)) refuse('it was signed for another kind of log');
  if (entry.number !== proven.index) refuse('the entry has another number than its place in the log');
  const claim = {
    leaf: platformLeaf(proof.head),
    index: proof.head_index,
    size: entry.tenants,
    proof: proof.head_hashes.map((hash) => Buffer.from(hash, 'hex')),
    root: Buffer.from(entry.heads_root, 'hex'),
  };
  if (!verifyInclusion(claim)) refuse('the head is not in the tree of the tick');
  return { head, entry, checkpoint: proven.checkpoint, signers: proven.signers };
}

function isPlatformProof(value: unknown): value is PlatformProof {
  if (!isObject(value) || Object.keys(value).length !== KEYS.length || !KEYS.every((key) => Object.hasOwn(value, key)))
    return false;
  const hashes: unknown = value['head_hashes'];
  return (
    value['v'] === 1 &&
    typeof value['head'] === 'string' &&
    typeof value['tlog_proof'] === 'string' &&
    Number.isSafeInteger(value['head_index']) &&
    Number(value['head_index']) >= 0 &&
    Array.isArray(hashes) &&
    hashes.length <= MAX_HASHES &&
    hashes.every((hash) => typeof hash === 'string' && HASH_HEX.test(hash))
  );
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `platform proof: ${reason}`, { hint: `Platform proof: ${reason}.` });
}
