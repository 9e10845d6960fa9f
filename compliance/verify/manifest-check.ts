import { parseCheckpoint } from '#schema/checkpoint.ts';
import { EMPTY_ROOT } from '#schema/merkle.ts';
import { ZERO_PREV } from '#schema/audit-event.ts';
import { verifyNote, type NoteVerifier } from '#schema/signed-note.ts';
import {
  logOrigin,
  manifestKey,
  manifestSha256,
  parseManifest,
  segmentKey,
  withOwnHash,
  type Manifest,
} from '../manifest.ts';
import type { LogPlace } from './log-files.ts';

/** A manifest whose own words and signature are in order, with the hash that its successor names. */
export interface CheckedManifest {
  readonly manifest: Manifest;
  readonly sha256: string;
}

/**
 * Returns the manifest in these bytes, having proved that a trusted key signed its checkpoint for this log and that its
 * fields agree with each other, the checkpoint and the name it lies under; any fault is BAD_USER_INPUT or its sentence.
 */
export function checkManifest(
  bytes: Buffer,
  at: { log: LogPlace; name: string; keys: readonly NoteVerifier[] },
): CheckedManifest | string {
  const manifest = parseManifest(bytes);
  const sha256 = manifestSha256(bytes.toString('utf8'));
  const { text, signers } = verifyNote(manifest.checkpoint, at.keys);
  const checkpoint = parseCheckpoint(text);
  const log = { ...at.log, deployment: signers[0]?.name ?? '' };
  const { number, first_seq: firstSeq, count, size_before: before, size_after: after } = manifest;
  if (manifest.origin !== logOrigin(log)) return 'it is of another log';
  if (checkpoint.origin !== manifest.origin || checkpoint.size !== after)
    return 'its checkpoint was signed for another log or size';
  if (Buffer.from(checkpoint.root).toString('hex') !== manifest.root_after)
    return 'its checkpoint was signed over another root';
  if (at.name !== `${at.log.root}${manifestKey(log, number)}`) return 'its name is not that of its number';
  if (manifest.segment.key !== segmentKey(log, number)) return 'it names its segment wrongly';
  const { own_sha256: own, ...words } = manifest;
  if (own !== withOwnHash(words).own_sha256) return 'its own hash is not that of its words';
  if (count === 0 || firstSeq !== before || before + count !== after) return 'its sizes contradict each other';
  return { manifest, sha256 };
}

/** Returns why a manifest does not follow its predecessor (null: it is the first of the log), or null where it does. */
export function discontinuity({ manifest }: CheckedManifest, before: CheckedManifest | null): string | null {
  const expected =
    before === null
      ? { sha256: null, size: 0, root: EMPTY_ROOT.toString('hex'), leaf: ZERO_PREV }
      : {
          sha256: before.sha256,
          size: before.manifest.size_after,
          root: before.manifest.root_after,
          leaf: before.manifest.last_leaf,
        };
  if (manifest.prev_manifest_sha256 !== expected.sha256) return 'it does not name the manifest before it';
  if (manifest.size_before !== expected.size || manifest.root_before !== expected.root)
    return 'it does not go on from the tree before it';
  return manifest.first_prev === expected.leaf ? null : 'it does not go on from the last leaf before it';
}
