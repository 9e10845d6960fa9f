import { lstat, open } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { errnoOf } from '#kit/postgres-binaries.ts';
import { fail } from '#schema/errors.ts';
import { parseVerifierKey, type NoteVerifier } from '#schema/signed-note.ts';
import { parseWitnessPolicy } from '#schema/witness-policy.ts';
import { parseCertificates } from '../anchors/certificate-path.ts';
import { verifyIsolationFile } from '../isolation/report.ts';
import { isIsolationStatement } from '../isolation/statement.ts';
import { isErasureCertificate, verifyCertificate } from '../privacy/verify-certificate.ts';
import { keysWithRotations, verifyArchive } from './archive.ts';
import { verifyExportFile } from './export.ts';
import { folderSource } from './folder-source.ts';
import type { FileSource } from './file-source.ts';
import { readCheckpoint } from './log-heads.ts';
import { verifyPack } from './pack.ts';
import { verifyProofFile } from './proof.ts';
import { createFindings, reasonOf, type Report } from './report.ts';
import { zipSource } from './zip-source.ts';

/** What a target is checked with. */
export interface VerifyOptions {
  /** Verifier keys (`name+id+base64`) that are trusted; only a pack can be checked without, by the keys inside it. */
  readonly keys: readonly string[];
  /** Signed notes of log heads that were kept elsewhere. */
  readonly checkpoints?: readonly (string | Uint8Array)[];
  /** Policy file (C2SP tlog-policy): whose cosignatures of the platform log count. */
  readonly policy?: Buffer;
  /** Certificates (PEM) of time stamp authorities that are believed. */
  readonly authorities?: string;
  /** The bytes of the entry that a proof is about, where they are not inside it. */
  readonly entry?: Buffer;
  /** Is told how much of the work is done, from 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/** More than two of the largest notes. */
const MAX_PROOF_BYTES = 2_000_000;
const PROOF_HEADER = 'c2sp.org/tlog-proof@';
const ZIP_MAGIC = Buffer.from('PK');

/**
 * Checks the folder of an archive, an evidence pack (folder or zip), the proof of one entry, an export, a certificate of
 * erasure or a statement of isolation, without anything else than the keys: no database, no network. Faults of the target are verdicts of the report. A target that is none of
 * these or cannot be read, a missing or malformed key, and a checkpoint that no key has signed are BAD_USER_INPUT.
 */
export async function verifyTarget(path: string, options: VerifyOptions): Promise<Report> {
  const given = options.keys.map(parseVerifierKey);
  const onProgress = options.onProgress ?? (() => undefined);
  const kind = await kindOf(path);
  const checkpoints = options.checkpoints ?? [];
  if (kind === 'pack' || kind === 'zip') return verifyPackAt({ path, kind, given, checkpoints, onProgress });
  const keys = requireKeys(kind === 'archive' ? await rotatedKeys(path, given) : given);
  const heads = checkpoints.map((note) => readCheckpoint(note, keys));
  const trusting = { path, keys, heads, onProgress };
  const trust = {
    policy: options.policy === undefined ? null : parseWitnessPolicy(options.policy),
    certificates: options.authorities === undefined ? [] : parseCertificates(options.authorities),
  };
  if (kind === 'archive') {
    const isPart = insideOf(path) !== null;
    return using(archiveSource(path), (source) => verifyArchive({ ...trusting, trust, source, isPart }));
  }
  if (kind === 'export') return verifyExportFile({ ...trusting, pieces: folderOfFile(path).stream(basename(path)) });
  if (kind === 'isolation')
    return verifyIsolationFile(path, await folderOfFile(path).read(basename(path), MAX_PROOF_BYTES), keys);
  if (kind === 'certificate')
    return verifyCertificateFile(trusting, await folderOfFile(path).read(basename(path), MAX_PROOF_BYTES));
  return verifyProofFile({ ...trusting, proof: await readProof(path), entry: options.entry ?? null });
}

/** The keys given, and those that statements of rotations beside the logs lead to from them. */
async function rotatedKeys(path: string, given: readonly NoteVerifier[]): Promise<readonly NoteVerifier[]> {
  return using(archiveSource(path), (source) => keysWithRotations(source, given));
}

function verifyCertificateFile({ path, keys }: { path: string; keys: readonly NoteVerifier[] }, bytes: Buffer): Report {
  const findings = createFindings();
  try {
    const { erasure, origin, size } = verifyCertificate(bytes, keys);
    findings.assume(`the log ${origin} of ${size} entries holds the erasure of ${erasure.person ?? erasure.tenant}`);
    findings.assume("that the key was destroyed everywhere is the deployment's word; its log shows that it gave it");
  } catch (thrown) {
    findings.judge('integrity', 'fail', { file: basename(path), sentence: reasonOf(thrown) });
    findings.judge('completeness', 'cannot say', { file: basename(path), sentence: 'what stands there was changed' });
  }
  const counts = {
    files: 1,
    logs: 0,
    segments: 0,
    entries: findings.judged.integrity.verdict === 'pass' ? 1 : 0,
    populations: 0,
  };
  const { integrity, completeness } = findings.judged;
  return {
    target: { kind: 'certificate', path },
    integrity,
    completeness,
    assumptions: [...findings.assumptions],
    counts,
    logs: [],
  };
}

/** What is asked of a pack before it is open. */
interface PackAt {
  readonly path: string;
  readonly kind: 'pack' | 'zip';
  readonly given: readonly NoteVerifier[];
  readonly checkpoints: readonly (string | Uint8Array)[];
  readonly onProgress: (fraction: number) => void;
}

async function verifyPackAt({ path, kind, given, checkpoints, onProgress }: PackAt): Promise<Report> {
  if (checkpoints.length > 0) requireKeys(given);
  const opened =
    kind === 'pack' ? folderSource(path) : await zipSource(path).catch((thrown: unknown) => brokenZip(path, thrown));
  if ('target' in opened) return opened;
  return using(opened, async (source) => {
    const keys = given.length === 0 ? given : await keysWithRotations(source, given);
    const heads = checkpoints.map((note) => readCheckpoint(note, keys));
    return verifyPack({ path, source, keys, heads, onProgress });
  });
}

/** A zip that cannot be opened was one: that is a verdict about it and no wrong use. */
function brokenZip(path: string, thrown: unknown): Report {
  const findings = createFindings();
  findings.judge('integrity', 'fail', { file: basename(path), sentence: reasonOf(thrown) });
  findings.judge('completeness', 'cannot say', { file: basename(path), sentence: 'the zip cannot be relied upon' });
  const counts = { files: 1, logs: 0, segments: 0, entries: 0, populations: 0 };
  return { target: { kind: 'pack', path }, ...findings.judged, assumptions: [], counts, logs: [] };
}

async function kindOf(
  path: string,
): Promise<'archive' | 'pack' | 'zip' | 'proof' | 'export' | 'certificate' | 'isolation'> {
  const found = await lstat(resolve(path)).catch((error: unknown) =>
    refuse(`${path} cannot be read (${errnoOf(error)})`),
  );
  if (found.isDirectory()) {
    const source = folderSource(path);
    const isPack = (await source.size('manifest.json')) !== null || (await source.size('manifest.dsse.json')) !== null;
    return isPack ? 'pack' : 'archive';
  }
  const head = await readStart(path);
  if (path.endsWith('.zip') || head.subarray(0, 2).equals(ZIP_MAGIC)) return 'zip';
  if (path.endsWith('.tlog-proof') || head.toString('latin1').startsWith(PROOF_HEADER)) return 'proof';
  if (
    path.endsWith('.ndjson') ||
    path.endsWith('.csv') ||
    /^(?:\{"(?:checkpoint|entry)":|epoch,seq,)/.test(head.toString('latin1'))
  )
    return 'export';
  if (isErasureCertificate(head)) return 'certificate';
  if (isIsolationStatement(head)) return 'isolation';
  return refuse(`${path} is neither a folder, nor a zip, a proof, an export, a certificate or a statement`);
}

/** Also from within: `archive/v1/eu/tnt_.../1` is checked like the archive, but for the logs beside it. */
function archiveSource(path: string): FileSource {
  const place = insideOf(path);
  if (place === null) return folderSource(path);
  const { root, inner } = place;
  const prefix = inner.replaceAll('\\', '/').split('/');
  const source = folderSource(root);
  return {
    ...source,
    folders: async (folder) => {
      const names = await source.folders(folder);
      const depth = folder === '' ? 0 : folder.split('/').length;
      return names.filter((name) => prefix[depth] === undefined || prefix[depth] === name);
    },
  };
}

function insideOf(path: string): { root: string; inner: string } | null {
  const [, root, inner = ''] = /^(.*)[/\\](v1(?:[/\\][^/\\]+){0,3})$/.exec(resolve(path)) ?? [];
  return root === undefined ? null : { root, inner };
}

async function using<T>(source: FileSource, work: (source: FileSource) => Promise<T>): Promise<T> {
  try {
    return await work(source);
  } finally {
    await source.close();
  }
}

function requireKeys(keys: readonly NoteVerifier[]): readonly NoteVerifier[] {
  return keys.length > 0
    ? keys
    : refuse('a key to trust is needed; the deployment shows its own under /.well-known/tenon/keys');
}

async function readProof(path: string): Promise<Buffer> {
  return folderOfFile(path).read(basename(path), MAX_PROOF_BYTES);
}

function folderOfFile(path: string): FileSource {
  return folderSource(resolve(path, '..'));
}

async function readStart(path: string): Promise<Buffer> {
  const file = await open(path).catch((error: unknown) => refuse(`${path} cannot be read (${errnoOf(error)})`));
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', reason, { hint: `${reason[0]?.toUpperCase()}${reason.slice(1)}.` });
}
