import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  canonical,
  checkpointOf,
  entryOf,
  keyOf,
  leafOf,
  rootAbove,
  verifyArchive,
  verifyExport,
  verifyPack,
  verifyProof,
  type Findings,
} from '../../compliance/verifier/tenon-verify.mjs';
import archive from './archive.json' with { type: 'json' };
import canonicalJson from './canonical-json.json' with { type: 'json' };
import entries from './entries.json' with { type: 'json' };
import exports from './exports.json' with { type: 'json' };
import merkle from './merkle.json' with { type: 'json' };
import notes from './notes.json' with { type: 'json' };
import pack from './pack.json' with { type: 'json' };
import streams from './streams.json' with { type: 'json' };
import proofs from './proofs.json' with { type: 'json' };

// Nothing of the platform is imported here: what the single file makes of the vectors is what another program would.

type Changes = Readonly<Record<string, string | null | undefined>>;

const sourceOf = (files: Readonly<Record<string, string>>, changes: Changes = {}) => {
  const all = new Map<string, string | null | undefined>([...Object.entries(files), ...Object.entries(changes)]);
  const present = new Map([...all].filter((file): file is [string, string] => typeof file[1] === 'string'));
  return {
    paths: [...present.keys()].toSorted(),
    read: (path: string) => Buffer.from(present.get(path) ?? '', 'base64'),
  };
};

const verdictsOf = ({ integrity, completeness }: Findings) => ({
  integrity: integrity.verdict,
  completeness: completeness.verdict,
  seq: (integrity.place ?? completeness.place)?.seq ?? null,
});

interface NativeRow {
  readonly checkpoint: string;
  readonly epoch: number;
  readonly leaf: string;
}
type Delivered = NativeRow & { readonly data?: NativeRow; readonly unmapped?: { readonly tenon: NativeRow } };

describe('the single file alone', () => {
  it('reads and refuses canonical JSON', () => {
    for (const { text } of canonicalJson.valid) expect(() => canonical(text)).not.toThrow();
    for (const text of canonicalJson.invalid) expect(() => canonical(text), text).toThrow();
  });

  it('reads and refuses entries, and hashes them', () => {
    for (const { entry, leaf } of entries.valid) expect([entryOf(entry).seq >= 0, leafOf(entry)]).toEqual([true, leaf]);
    for (const entry of entries.invalid) expect(() => entryOf(entry), entry).toThrow();
  });

  it('follows inclusion proofs', () => {
    const isProved = ({ leaf, index, size, hashes, root }: (typeof merkle.inclusion_invalid)[number]) =>
      rootAbove(leaf, { index, size, path: hashes }) === root;
    for (const claim of merkle.inclusion) expect(isProved(claim)).toBe(true);
    for (const claim of merkle.inclusion_invalid) {
      let answer = false;
      try {
        answer = isProved(claim);
      } catch {
        // Also this refuses the path.
      }
      expect(answer).toBe(false);
    }
  });

  it('opens signed notes, and refuses others', () => {
    const keys = [keyOf(notes.key)];
    for (const { note, origin, size, root } of notes.valid)
      expect(checkpointOf(note, keys)).toMatchObject({ origin, size, root });
    for (const note of notes.invalid) expect(() => checkpointOf(note, keys), note).toThrow();
    for (const key of notes.invalid_keys) expect(() => keyOf(key), key).toThrow();
  });

  it('checks an archive', () => {
    const options = { keys: [keyOf(archive.key)], checkpoints: archive.checkpoints };
    expect(verdictsOf(verifyArchive(sourceOf(archive.files), options))).toMatchObject(archive.expected);
    for (const { name, changes, expected } of archive.mutations) {
      const found = verdictsOf(verifyArchive(sourceOf(archive.files, changes), options));
      expect({ name, ...found }).toMatchObject({ name, ...expected });
    }
  });

  it('checks proofs', () => {
    const options = { keys: [keyOf(proofs.key)] };
    for (const proof of proofs.valid)
      expect(verdictsOf(verifyProof(Buffer.from(proof), options)).integrity).toBe('pass');
    for (const proof of proofs.invalid)
      expect(verdictsOf(verifyProof(Buffer.from(proof), options)).integrity).toBe('fail');
  });

  it('checks exports', () => {
    const options = { keys: [keyOf(exports.key)] };
    const answers = (texts: readonly string[]) =>
      texts.map((text) => verdictsOf(verifyExport(Buffer.from(text), options)));
    const { valid, partial, invalid } = exports.ndjson;
    expect(answers(valid)).toMatchObject(valid.map(() => ({ integrity: 'pass', completeness: 'pass' })));
    expect(answers(partial)).toMatchObject(partial.map(() => ({ integrity: 'pass', completeness: 'cannot say' })));
    expect(answers(invalid)).toMatchObject(invalid.map(() => ({ integrity: 'fail', completeness: 'cannot say' })));
  });

  it('proves what a webhook received, whatever the form', () => {
    const keys = [keyOf(streams.key)];
    for (const { form, body } of streams.webhooks.valid) {
      const rows = (JSON.parse(body) as Delivered[]).map((row) => row.data ?? row.unmapped?.tenon ?? row);
      const texts = rows.map(({ checkpoint, epoch, ...row }) => [
        { checkpoint, epoch },
        { ...row, epoch },
      ]);
      const lines = texts.flatMap((pair) => pair.map((line) => `${JSON.stringify(line)}\n`)).join('');
      expect(verdictsOf(verifyExport(Buffer.from(lines), { keys })), form).toMatchObject({ integrity: 'pass' });
      expect(rows.map(({ leaf }) => leaf)).toEqual(streams.entries.map(({ entry }) => leafOf(entry)));
    }
  });

  it('knows the requests of a webhook by their signature', () => {
    const isOurs = ({ headers, body }: (typeof streams.webhooks.valid)[number]) => {
      const text = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
      const key = Buffer.from(streams.secret.slice('whsec_'.length), 'base64');
      return headers['webhook-signature'] === `v1,${createHmac('sha256', key).update(text).digest('base64')}`;
    };
    expect(streams.webhooks.valid.map(isOurs)).toEqual([true, true, true]);
    expect(streams.webhooks.invalid.map(isOurs)).toEqual([false, false, false]);
  });

  it('checks packs', () => {
    const options = { keys: [keyOf(pack.key)] };
    const passed = { integrity: 'pass', completeness: 'pass' };
    expect(verdictsOf(verifyPack(sourceOf(pack.files), options))).toMatchObject(passed);
    for (const { changes, expected } of pack.mutations)
      expect(verdictsOf(verifyPack(sourceOf(pack.files, changes), options))).toMatchObject(expected);
  });
});
