import { canonicalJson, type JsonValue } from '#schema/canonical-json.ts';
import type { StreamedEntry } from './streamed-entry.ts';

/**
 * Returns the row of an NDJSON export (docs/formats.md) with the checkpoint inside, so that it stands alone: RFC 8785 of
 * `{checkpoint, entry, epoch, leaf, proof, tree_size}`, of a test also `test: true`. The entry is byte for byte what was
 * hashed.
 */
export function nativeForm({ text, epoch, leaf, proof, isTest }: StreamedEntry): string {
  const test = isTest ? '"test":true,' : '';
  return (
    `{"checkpoint":${canonicalJson(proof?.checkpoint ?? null)},"entry":${text},"epoch":${epoch},"leaf":"${leaf}",` +
    `"proof":${hashesOf(proof)},${test}"tree_size":${proof?.treeSize ?? null}}`
  );
}

/**
 * Returns an NDJSON export (docs/formats.md) of entries in the order of the log: before the first line of each epoch and
 * checkpoint the line of that checkpoint. `tenon verify` checks it as any other.
 */
export function exportLines(entries: readonly StreamedEntry[]): string[] {
  let announced: string | null = null;
  return entries.flatMap(({ text, epoch, leaf, proof }) => {
    const line =
      `{"entry":${text},"epoch":${epoch},"leaf":"${leaf}","proof":${hashesOf(proof)},` +
      `"tree_size":${proof?.treeSize ?? null}}`;
    if (proof === null || proof.checkpoint === announced) return [line];
    announced = proof.checkpoint;
    return [canonicalJson({ checkpoint: proof.checkpoint, epoch }), line];
  });
}

/** Returns what `nativeForm` writes, as a value; sealed fields are what they are in the log. */
export function nativeValue(streamed: StreamedEntry): { readonly [key: string]: JsonValue } {
  const { entry, epoch, leaf, proof, isTest } = streamed;
  return {
    checkpoint: proof?.checkpoint ?? null,
    entry,
    epoch,
    leaf,
    proof: proof?.hashes ?? null,
    ...(isTest ? { test: true } : {}),
    tree_size: proof?.treeSize ?? null,
  };
}

function hashesOf(proof: StreamedEntry['proof']): string {
  return proof === null ? 'null' : JSON.stringify(proof.hashes);
}
