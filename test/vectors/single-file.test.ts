import { describe, expect, it } from 'vitest';
import {
  canonical,
  checkpointOf,
  entryOf,
  isIncluded,
  keyOf,
  leafOf,
  verifyArchive,
  verifyExport,
  verifyPack,
  verifyProof,
  withRotations,
  type Findings,
} from '../../compliance/verifier/tenon-verify.mjs';
import archive from './archive.json' with { type: 'json' };
import canonicalJson from './canonical-json.json' with { type: 'json' };
import entries from './entries.json' with { type: 'json' };
import exports from './exports.json' with { type: 'json' };
import merkle from './merkle.json' with { type: 'json' };
import notes from './notes.json' with { type: 'json' };
import pack from './pack.json' with { type: 'json' };
import proofs from './proofs.json' with { type: 'json' };
import rotations from './rotations.json' with { type: 'json' };

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
    const claims = (all: readonly Readonly<Record<string, unknown>>[]) =>
      all.map((each) => isIncluded({ ...each, path: each['hashes'] } as Parameters<typeof isIncluded>[0]));
    expect(claims(merkle.inclusion)).not.toContain(false);
    expect(claims(merkle.inclusion_invalid)).not.toContain(true);
  });

  it('opens signed notes, and refuses others', () => {
    const keys = [keyOf(notes.key)];
    for (const { note, origin, size, root } of notes.valid)
      expect(checkpointOf(note, keys)).toMatchObject({ origin, size, root });
    for (const note of notes.invalid) expect(() => checkpointOf(note, keys), note).toThrow();
    for (const key of notes.invalid_keys) expect(() => keyOf(key), key).toThrow();
  });

  it('follows rotations of the key, and refuses others', () => {
    const trusted = rotations.trusted.map(keyOf);
    for (const { statement, leads_to: next } of rotations.valid)
      expect(withRotations(trusted, [statement]).map(({ line }) => line)).toEqual([...rotations.trusted, next]);
    for (const statement of rotations.invalid) expect(() => withRotations(trusted, [statement])).toThrow();
  });

  it('checks an archive with its platform log', () => {
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

  it('checks packs', () => {
    const options = { keys: [keyOf(pack.key)] };
    const passed = { integrity: 'pass', completeness: 'pass' };
    expect(verdictsOf(verifyPack(sourceOf(pack.files), options))).toMatchObject(passed);
    for (const { changes, expected } of pack.mutations)
      expect(verdictsOf(verifyPack(sourceOf(pack.files, changes), options))).toMatchObject(expected);
  });
});
