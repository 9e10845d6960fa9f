import { parseCheckpoint, type Checkpoint } from './checkpoint.ts';
import { fail } from './errors.ts';
import { verifyInclusion } from './merkle.ts';
import { decodeBase64, verifyNote, type NoteVerifier } from './signed-note.ts';

/** Everything needed to show offline that one entry is in a log (C2SP tlog-proof). */
export interface TlogProof {
  /** Zero-based place of the entry in the log. */
  readonly index: number;
  /** The audit path of RFC 6962 section 2.1.1, nearest sibling first, 32 bytes each. */
  readonly hashes: readonly Uint8Array[];
  /** The signed note, verbatim. */
  readonly checkpoint: string;
  /** Data of the application that the proof does not authenticate, such as the entry itself; never empty. */
  readonly extra?: Uint8Array;
}

/** What is asked of a proof. */
export interface ProofQuestion {
  /** The file's text or bytes. */
  readonly proof: string | Uint8Array;
  /** The leaf hash of the entry, made by the verifier from the entry's own bytes. */
  readonly leaf: Uint8Array;
  /** The log's keys; a witness's key alone must not be among them, for one signature of these is enough. */
  readonly verifierKeys: readonly NoteVerifier[];
  /** The log that must have signed, where the keys sign for several. */
  readonly origin?: string;
}

/** What a proof has shown. */
export interface ProvenEntry {
  readonly index: number;
  readonly checkpoint: Checkpoint;
  readonly signers: readonly NoteVerifier[];
}

const HEADER = 'c2sp.org/tlog-proof@v1';
/** Two of the largest notes, more than a path of 53 hashes and an entry of 65,535 bytes beside a checkpoint need. */
const MAX_PROOF_BYTES = 2_000_000;
/** Sizes are safe integers, so no path is longer. */
const MAX_HASHES = 53;
const HASH_BYTES = 32;
const INDEX_LINE = /^index (0|[1-9][0-9]{0,15})$/;

/** Returns the text of a proof, to be stored with the extension `.tlog-proof`. */
export function encodeProof({ index, hashes, checkpoint, extra }: TlogProof): string {
  const lines = [HEADER];
  if (extra !== undefined) lines.push(`extra ${base64(extra)}`);
  lines.push(`index ${index}`, ...hashes.map(base64));
  const text = `${lines.join('\n')}\n\n${checkpoint}`;
  parseProof(text);
  return text;
}

/** Returns the parts of a proof without verifying any; hostile input enters here, all faults are BAD_USER_INPUT. */
export function parseProof(proof: string | Uint8Array): TlogProof {
  const text = proofText(proof);
  const split = text.indexOf('\n\n');
  if (split < 0) refuse('it has no blank line before the checkpoint');
  const [header, ...lines] = text.slice(0, split).split('\n', MAX_HASHES + 4);
  if (header !== HEADER) refuse(`its first line is not ${HEADER}`);
  const extra = lines[0]?.startsWith('extra ') === true ? parseExtra(lines.shift() ?? '') : undefined;
  const index = parseIndex(lines.shift() ?? '');
  if (lines.length > MAX_HASHES) refuse('it has more hashes than any tree is high');
  const parts = { index, hashes: lines.map(parseHash), checkpoint: text.slice(split + 2) };
  return extra === undefined ? parts : { ...parts, extra };
}

/**
 * Returns what the proof shows: a trusted key has signed a checkpoint of a log that holds the leaf at the index.
 * A malformed proof, an unknown or failing signature, another origin and a path that does not lead to the root are
 * BAD_USER_INPUT.
 */
export function verifyProof({ proof, leaf, verifierKeys, origin }: ProofQuestion): ProvenEntry {
  const { index, hashes, checkpoint: note } = parseProof(proof);
  const { text, signers } = verifyNote(note, verifierKeys);
  const checkpoint = parseCheckpoint(text);
  if (origin !== undefined && checkpoint.origin !== origin) refuse('it is of another log');
  const claim = { leaf, index, size: checkpoint.size, proof: hashes, root: checkpoint.root };
  if (!verifyInclusion(claim)) refuse('the entry is not at that index of the signed tree');
  return { index, checkpoint, signers };
}

function proofText(proof: string | Uint8Array): string {
  const length = typeof proof === 'string' ? Buffer.byteLength(proof) : proof.length;
  if (length > MAX_PROOF_BYTES) refuse('it is longer than a proof may be');
  if (typeof proof === 'string') return proof;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(proof);
  } catch (cause) {
    return refuse('it is not UTF-8', cause);
  }
}

function parseExtra(line: string): Buffer {
  const extra = decodeBase64(line.slice('extra '.length));
  return extra === null || extra.length === 0 ? refuse('its extra data are not base64') : extra;
}

function parseIndex(line: string): number {
  const index = Number(INDEX_LINE.exec(line)?.[1] ?? Number.NaN);
  return Number.isSafeInteger(index) ? index : refuse('it has no index line');
}

function parseHash(line: string): Buffer {
  const node = decodeBase64(line);
  return node === null || node.length !== HASH_BYTES ? refuse('a hash is not the base64 of 32 bytes') : node;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function refuse(reason: string, cause?: unknown): never {
  return fail('BAD_USER_INPUT', `tlog-proof: ${reason}`, { hint: `Proof: ${reason}.`, cause });
}
