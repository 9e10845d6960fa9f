import { createHash, hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Checkpoint } from '#schema/checkpoint.ts';
import { verifyStatement } from '#schema/dsse.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import { checkedLog } from './archive.ts';
import type { FileSource } from './file-source.ts';
import type { LogAnswer } from './log.ts';
import { checkLog } from './pack-log.ts';
import { MAX_PACK_MANIFEST_BYTES, parsePackManifest, type PackFile, type PackManifest } from './pack-manifest.ts';
import { createFindings, reasonOf, type Findings, type Report } from './report.ts';
import { countRows } from './row-count.ts';
import { parseVerifierKeys } from './verifier-keys.ts';

/** What is asked of an evidence pack. */
export interface PackQuestion {
  readonly source: FileSource;
  readonly path: string;
  /** Empty: the keys inside the pack are taken, and the report says so. */
  readonly keys: readonly NoteVerifier[];
  readonly heads: readonly Checkpoint[];
  readonly onProgress: (fraction: number) => void;
}

/** The predicate type of the statement over a pack's manifest. */
export const EVIDENCE_PREDICATE_TYPE = 'https://tenon.dev/evidence/v1';

const MANIFEST = 'manifest.json';
const ENVELOPE = 'manifest.dsse.json';
const KEYS = 'verify/KEYS';
const MAX_ENVELOPE_BYTES = 8 * 1024 * 1024;
const MAX_SMALL_BYTES = 64 * 1024;

/**
 * Checks an evidence pack: the signature over its manifest, every file against the manifest, the log inside it against
 * its signed head, and its populations against the log.
 */
export async function verifyPack(question: PackQuestion): Promise<Report> {
  const findings = createFindings();
  const present = new Set(await question.source.list(''));
  const keys = question.keys.length > 0 ? question.keys : await ownKeys(question.source, findings);
  const manifest = await readManifest({ ...question, keys }, findings);
  let log: LogAnswer | null = null;
  let populations = 0;
  if (manifest !== null) {
    judgeOmissions(manifest, findings);
    await checkFiles({ ...question, manifest, present }, findings);
    // Behind a changed file nothing of the rest is worth a second verdict.
    if (findings.judged.integrity.verdict === 'pass') {
      const onProgress = (part: number) => question.onProgress(HASHING_SHARE + part * (1 - HASHING_SHARE));
      ({ log, populations } = await checkLog({ ...question, keys, manifest, onProgress }, findings));
    }
  }
  const { integrity, completeness } = findings.judged;
  const changed = integrity.verdict === 'fail' && completeness.verdict === 'pass';
  return {
    target: { kind: 'pack', path: question.path },
    integrity,
    completeness: changed ? { verdict: 'cannot say', place: UNTOLD } : completeness,
    assumptions: [...findings.assumptions],
    counts: {
      files: present.size,
      logs: log === null ? 0 : 1,
      segments: log?.segments ?? 0,
      entries: log?.entries ?? 0,
      populations,
    },
    logs: log === null ? [] : [checkedLog(log)],
  };
}

const UNTOLD = {
  file: null,
  seq: null,
  row: null,
  sentence: 'what stands there was changed, so nobody can tell what is missing',
};

async function ownKeys(source: FileSource, findings: Findings): Promise<NoteVerifier[]> {
  try {
    const keys = parseVerifierKeys((await source.read(KEYS, MAX_SMALL_BYTES)).toString('utf8'));
    findings.assume(
      'the key was taken from the pack itself, so whoever made the pack may have made the key; compare it, or give one with --key',
    );
    return keys;
  } catch (thrown) {
    findings.judge('integrity', 'fail', {
      file: KEYS,
      sentence: `no key was given, and the pack's own cannot be used: ${reasonOf(thrown)}`,
    });
    return [];
  }
}

async function readManifest(
  { source, keys }: Pick<PackQuestion, 'source' | 'keys'>,
  findings: Findings,
): Promise<PackManifest | null> {
  let file = MANIFEST;
  try {
    const bytes = await source.read(MANIFEST, MAX_PACK_MANIFEST_BYTES);
    const manifest = parsePackManifest(bytes);
    file = ENVELOPE;
    const { statement } = verifyStatement(parseJson(await source.read(ENVELOPE, MAX_ENVELOPE_BYTES)), keys);
    const { subject, predicateType, predicate } = statement;
    const expected = [{ name: MANIFEST, digest: { sha256: hash('sha256', bytes, 'hex') } }];
    if (!isDeepStrictEqual(subject, expected)) {
      findings.judge('integrity', 'fail', { file: MANIFEST, sentence: 'it is not the manifest that was signed' });
    } else if (predicateType !== EVIDENCE_PREDICATE_TYPE || !isDeepStrictEqual(predicate, predicateOf(manifest))) {
      findings.judge('integrity', 'fail', {
        file: ENVELOPE,
        sentence: 'what was signed is not about this kind, window and tenant',
      });
    }
    return manifest;
  } catch (thrown) {
    findings.judge('integrity', 'fail', { file, sentence: reasonOf(thrown) });
    return null;
  }
}

function predicateOf({ kind, window, tenant }: PackManifest) {
  return { kind, window, tenant };
}

function parseJson(bytes: Buffer): unknown {
  return JSON.parse(bytes.toString('utf8'));
}

function judgeOmissions({ omissions }: PackManifest, findings: Findings): void {
  const [first] = omissions;
  if (first !== undefined) {
    findings.judge('completeness', 'fail', {
      file: MANIFEST,
      sentence: `the pack leaves out ${first.what}: ${first.why}`,
    });
  }
}

async function checkFiles(
  { source, manifest, present, onProgress }: PackQuestion & { manifest: PackManifest; present: ReadonlySet<string> },
  findings: Findings,
): Promise<void> {
  const named = new Set([MANIFEST, ENVELOPE, ...manifest.files.map(({ path }) => path)]);
  for (const path of present) {
    if (!named.has(path))
      findings.judge('integrity', 'fail', { file: path, sentence: 'the manifest does not name this file' });
  }
  const total = manifest.files.reduce((sum, { bytes }) => sum + bytes, 1);
  let done = 0;
  for (const file of manifest.files) {
    if (!present.has(file.path))
      findings.judge('completeness', 'fail', { file: file.path, sentence: 'the file is missing' });
    else await checkFile(source, file, findings);
    done += file.bytes;
    onProgress((done / total) * HASHING_SHARE);
  }
}

/** Of the whole work, as the bar shows it; the rest is reading the log. */
const HASHING_SHARE = 0.3;

async function checkFile(source: FileSource, file: PackFile, findings: Findings): Promise<void> {
  try {
    const digest = createHash('sha256');
    const rows = file.rows === null ? null : countRows(file.path);
    let bytes = 0;
    for await (const piece of source.stream(file.path)) {
      digest.update(piece);
      rows?.add(piece);
      bytes += piece.length;
      if (bytes > file.bytes) break;
    }
    if (bytes !== file.bytes || digest.digest('hex') !== file.sha256) {
      findings.judge('integrity', 'fail', {
        file: file.path,
        sentence: 'the file is not the one that the manifest names',
      });
    } else if (rows !== null && rows.count() !== file.rows) {
      findings.judge('completeness', 'fail', {
        file: file.path,
        sentence: `the manifest counts ${file.rows} rows, the file has ${rows.count()}`,
      });
    }
  } catch (thrown) {
    findings.judge('integrity', 'fail', { file: file.path, sentence: reasonOf(thrown) });
  }
}
