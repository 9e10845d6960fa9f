import { lstat, open } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { errnoOf } from '#kit/postgres-binaries.ts';
import { fail } from '#schema/errors.ts';
import { parseVerifierKey, type NoteVerifier } from '#schema/signed-note.ts';
import { verifyArchive } from './archive.ts';
import { folderSource } from './folder-source.ts';
import type { FileSource } from './file-source.ts';
import { readCheckpoint } from './log-heads.ts';
import { verifyPack, type PackQuestion } from './pack.ts';
import { verifyProofFile } from './proof.ts';
import { createFindings, reasonOf, type Report } from './report.ts';
import { zipSource } from './zip-source.ts';

/** What a target is checked with. */
export interface VerifyOptions {
  /** Verifier keys (`name+id+base64`) that are trusted; only a pack can be checked without, by the keys inside it. */
  readonly keys: readonly string[];
  /** Signed notes of log heads that were kept elsewhere. */
  readonly checkpoints?: readonly (string | Uint8Array)[];
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
 * Checks the folder of an archive, an evidence pack (folder or zip) or the proof of one entry, without anything else
 * than the keys: no database, no network. Faults of the target are verdicts of the report. A target that is none of
 * these or cannot be read, a missing or malformed key, and a checkpoint that no key has signed are BAD_USER_INPUT.
 */
export async function verifyTarget(path: string, options: VerifyOptions): Promise<Report> {
  const keys = options.keys.map(parseVerifierKey);
  const onProgress = options.onProgress ?? (() => undefined);
  const heads = (options.checkpoints ?? []).map((note) => readCheckpoint(note, requireKeys(keys)));
  const question = { path, keys, heads, onProgress };
  const kind = await kindOf(path);
  if (kind === 'pack') return using(folderSource(path), (source) => verifyPack({ ...question, source }));
  if (kind === 'zip') return verifyZip(question);
  const trusting = { ...question, keys: requireKeys(keys) };
  if (kind === 'archive') return using(archiveSource(path), (source) => verifyArchive({ ...trusting, source }));
  return verifyProofFile({ ...trusting, proof: await readProof(path), entry: options.entry ?? null });
}

async function verifyZip(question: Omit<PackQuestion, 'source'>): Promise<Report> {
  const source = await zipSource(question.path).catch((thrown: unknown) => brokenZip(question.path, thrown));
  return 'target' in source ? source : using(source, (zip) => verifyPack({ ...question, source: zip }));
}

/** A zip that cannot be opened was one: that is a verdict about it and no wrong use. */
function brokenZip(path: string, thrown: unknown): Report {
  const findings = createFindings();
  findings.judge('integrity', 'fail', { file: basename(path), sentence: reasonOf(thrown) });
  findings.judge('completeness', 'cannot say', { file: basename(path), sentence: 'the zip cannot be relied upon' });
  const counts = { files: 1, logs: 0, segments: 0, entries: 0, populations: 0 };
  return { target: { kind: 'pack', path }, ...findings.judged, assumptions: [], counts, logs: [] };
}

async function kindOf(path: string): Promise<'archive' | 'pack' | 'zip' | 'proof'> {
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
  return refuse(`${path} is neither a folder, nor a zip, nor a proof`);
}

/** Also from within: `archive/v1/eu/tnt_.../1` is checked like the archive, but for the logs beside it. */
function archiveSource(path: string): FileSource {
  const [, root, inner = ''] = /^(.*)[/\\](v1(?:[/\\][^/\\]+){0,3})$/.exec(resolve(path)) ?? [];
  if (root === undefined) return folderSource(path);
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
  return folderSource(resolve(path, '..')).read(basename(path), MAX_PROOF_BYTES);
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
