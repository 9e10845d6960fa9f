import { hash } from 'node:crypto';
import { canonicalJson, parseCanonical } from '#schema/canonical-json.ts';
import { encodeCheckpoint } from '#schema/checkpoint.ts';
import { fail } from '#schema/errors.ts';
import { idOf, type Id } from '#schema/ids.ts';
import { encodeVerifierKey, noteVerifier, signNote, type NoteSigner } from '#schema/signed-note.ts';

/** One epoch of one tenant's log, and where its archive lies. */
export interface LogName {
  /** Host-like name of the deployment, which is also the name of its signing key. */
  readonly deployment: string;
  readonly region: string;
  readonly tenant: Id<'tnt'>;
  readonly epoch: number;
}

/** What a manifest says of its segment; docs/formats.md tells every field. All hashes are lower-case hex. */
export type Manifest = {
  readonly v: 1;
  readonly origin: string;
  /** Gap-free from 0. */
  readonly number: number;
  readonly first_seq: number;
  readonly count: number;
  /** `ts` of the first and the last entry; clocks jump, so others may lie outside. */
  readonly first_ts: string;
  readonly last_ts: string;
  /** Of the manifest before, as it stands in the archive; null for number 0. */
  readonly prev_manifest_sha256: string | null;
  readonly segment: {
    readonly key: string;
    readonly size_bytes: number;
    readonly sha256: string;
    readonly gz_size_bytes: number;
    readonly gz_sha256: string;
  };
  /** `prev` of the first entry, and the leaf hash of the last. */
  readonly first_prev: string;
  readonly last_leaf: string;
  readonly size_before: number;
  readonly root_before: string;
  readonly size_after: number;
  readonly root_after: string;
  readonly planned_at: string;
  readonly lock: { readonly mode: string; readonly until: string };
  /** Verifier keys that the checkpoint can be checked with; to trust one is the reader's decision. */
  readonly keys: readonly string[];
  /** The signed note over `origin`, `size_after` and `root_after`. */
  readonly checkpoint: string;
  /** Of the RFC 8785 bytes of all the rest, so that what is not signed cannot change unseen either. */
  readonly own_sha256: string;
};

/** A manifest in the form that is archived. */
export interface SignedManifest {
  readonly manifest: Manifest;
  /** RFC 8785 text of it. */
  readonly text: string;
  readonly key: string;
}

const MAX_MANIFEST_BYTES = 64 * 1024;

/** Returns the origin of the log's checkpoints: `<deployment>/audit/<tenant id>/<epoch>`. */
export function logOrigin({ deployment, tenant, epoch }: LogName): string {
  return `${deployment}/audit/${tenant}/${epoch}`;
}

/** Returns the log of a tenant whose UUID is given. */
export function logOf(place: { deployment: string; region: string }, tenantId: string, epoch: number): LogName {
  return { ...place, tenant: idOf('tnt', tenantId), epoch };
}

/**
 * Returns the key of the segment of a number. The archive takes one object under it, so whoever put that one has decided
 * what the log holds there.
 */
export function segmentKey(log: LogName, number: number): string {
  return keyOf(log, number, { folder: 'seg', suffix: '.jsonl.gz' });
}

/** Returns the key of the manifest of a number. */
export function manifestKey(log: LogName, number: number): string {
  return keyOf(log, number, { folder: 'man', suffix: '.json' });
}

function keyOf(
  { region, tenant, epoch }: LogName,
  number: number,
  { folder, suffix }: { folder: string; suffix: string },
): string {
  return `v1/${region}/${tenant}/${epoch}/${folder}/${String(number).padStart(9, '0')}${suffix}`;
}

/** Signs the checkpoint over the tree after the segment and returns the manifest that carries it. */
export function signManifest(
  log: LogName,
  facts: Omit<Manifest, 'v' | 'origin' | 'keys' | 'checkpoint' | 'own_sha256'>,
  signer: NoteSigner,
): SignedManifest {
  const origin = logOrigin(log);
  const root = Buffer.from(facts.root_after, 'hex');
  const checkpoint = signNote(encodeCheckpoint({ origin, size: facts.size_after, root }), signer);
  const keys = [encodeVerifierKey(noteVerifier(signer.name, signer.privateKey))];
  const manifest = withOwnHash({ v: 1, origin, ...facts, keys, checkpoint });
  const text = canonicalJson(manifest);
  return { manifest, text, key: manifestKey(log, facts.number) };
}

/** Returns the manifest with the hash of its own words in it. */
export function withOwnHash(words: Omit<Manifest, 'own_sha256'>): Manifest {
  return { ...words, own_sha256: manifestSha256(canonicalJson(words)) };
}

/** Returns the hash of a manifest's bytes, which its successor names. */
export function manifestSha256(text: string): string {
  return hash('sha256', text, 'hex');
}

/**
 * Returns the manifest whose canonical bytes these are. Only the shape is checked, no hash and no signature. Hostile
 * input enters here: more than 64 KiB, bytes that are not canonical, or another shape are BAD_USER_INPUT.
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > MAX_MANIFEST_BYTES) refuse(`it is longer than ${MAX_MANIFEST_BYTES} bytes`);
  const value: unknown = parseCanonical(bytes);
  return isManifest(value) ? value : refuse('it has not exactly the fields of a manifest');
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string' && value !== '';
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const isHash: Check = (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
const isTime: Check = (value) =>
  typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z$/.test(value);

const MANIFEST: Readonly<Record<keyof Manifest, Check>> = {
  v: (value) => value === 1,
  origin: isText,
  number: isCount,
  first_seq: isCount,
  count: isCount,
  first_ts: isTime,
  last_ts: isTime,
  prev_manifest_sha256: (value) => value === null || isHash(value),
  segment: shapeOf({ key: isText, size_bytes: isCount, sha256: isHash, gz_size_bytes: isCount, gz_sha256: isHash }),
  first_prev: isHash,
  last_leaf: isHash,
  size_before: isCount,
  root_before: isHash,
  size_after: isCount,
  root_after: isHash,
  planned_at: isTime,
  lock: shapeOf({ mode: isText, until: isTime }),
  keys: (value) => Array.isArray(value) && value.length > 0 && value.every(isText),
  checkpoint: isText,
  own_sha256: isHash,
};

function isManifest(value: unknown): value is Manifest {
  return shapeOf(MANIFEST)(value);
}

function shapeOf(checks: Readonly<Record<string, Check>>): Check {
  const names = Object.keys(checks);
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    const fields = new Map<string, unknown>(Object.entries(value));
    return (
      fields.size === names.length &&
      names.every((name) => fields.has(name) && checks[name]?.(fields.get(name)) === true)
    );
  };
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `manifest: ${reason}`, { hint: `Manifest: ${reason}.` });
}
