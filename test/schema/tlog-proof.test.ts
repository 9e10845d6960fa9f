import { generateKeyPairSync } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeCheckpoint } from '#schema/checkpoint.ts';
import { Frontier, inclusionProof, leafHash } from '#schema/merkle.ts';
import { noteVerifier, signNote } from '#schema/signed-note.ts';
import { encodeProof, parseProof, verifyProof } from '#schema/tlog-proof.ts';

const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });

const ORIGIN = 'example.com/audit/tnt_1/1';
const { privateKey } = generateKeyPairSync('ed25519');
const verifierKeys = [noteVerifier(ORIGIN, privateKey)];
const leaves = Array.from({ length: 21 }, (_, index) => leafHash(Buffer.from(`entry ${index}`)));
const leafAt = (index: number): Buffer => leaves[index] ?? expect.fail(`no leaf ${index}`);
const checkpoint = checkpointAt(leaves.length);
const proof = encodeProof({ index: 13, hashes: inclusionProof(leaves, 13, 21), checkpoint });
const lines = proof.split('\n');

describe('a tlog-proof', () => {
  test('has the lines that C2SP tlog-proof prescribes', () => {
    expect(lines[0]).toBe('c2sp.org/tlog-proof@v1');
    expect(lines[1]).toBe('index 13');
    expect(lines.slice(2, 7)).toEqual(inclusionProof(leaves, 13, 21).map((node) => node.toString('base64')));
    expect(lines[7]).toBe('');
    expect(lines.slice(8).join('\n')).toBe(checkpoint);
  });

  test('is read as the example of the specification is written', () => {
    const hashes = ['gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=', 'B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA='];
    const note =
      'example.com/fancylog\n109482\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\n— example.com/fancylog hI2DJw==\n';
    const text = `c2sp.org/tlog-proof@v1\nextra YWdlLXYx\nindex 73894\n${hashes.join('\n')}\n\n${note}`;
    const parts = parseProof(text);
    expect(parts).toEqual({
      index: 73_894,
      hashes: hashes.map((node) => Buffer.from(node, 'base64')),
      checkpoint: note,
      extra: Buffer.from('age-v1'),
    });
    expect(encodeProof(parts)).toBe(text);
  });

  test('proves every entry of a log, also the only one, whose path is empty', () => {
    for (const size of [1, 8, 21]) {
      for (let index = 0; index < size; index++) {
        const text = encodeProof({
          index,
          hashes: inclusionProof(leaves, index, size),
          checkpoint: checkpointAt(size),
        });
        const proven = verifyProof({ proof: Buffer.from(text), leaf: leafAt(index), verifierKeys, origin: ORIGIN });
        expect(proven).toMatchObject({ index, signers: verifierKeys, checkpoint: { origin: ORIGIN, size } });
      }
    }
  });

  test('can carry the largest entry as extra data, which change nothing in what is proved', () => {
    const extra = Buffer.alloc(65_535, 7);
    const text = encodeProof({ index: 13, hashes: inclusionProof(leaves, 13, 21), checkpoint, extra });
    expect(parseProof(text).extra).toEqual(extra);
    expect(verifyProof({ proof: text, leaf: leafAt(13), verifierKeys }).index).toBe(13);
  });
});

describe('verifying a tlog-proof fails', () => {
  test('for another entry, another index, another log and unknown keys', () => {
    expect(() => verifyProof({ proof, leaf: leafAt(12), verifierKeys })).toThrow(refused);
    expect(() => verifyProof({ proof, leaf: Buffer.alloc(0), verifierKeys })).toThrow(refused);
    expect(() => verifyProof({ proof: proof.replace('index 13', 'index 12'), leaf: leafAt(13), verifierKeys })).toThrow(
      refused,
    );
    expect(() => verifyProof({ proof, leaf: leafAt(13), verifierKeys, origin: 'example.com/audit/tnt_2/1' })).toThrow(
      refused,
    );
    const other = [noteVerifier(ORIGIN, generateKeyPairSync('ed25519').privateKey)];
    expect(() => verifyProof({ proof, leaf: leafAt(13), verifierKeys: other })).toThrow(refused);
  });

  test('when any byte is another', () => {
    const bytes = Buffer.from(proof);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ change;
        expect(() => verifyProof({ proof: changed, leaf: leafAt(13), verifierKeys })).toThrow(refused);
      }),
      { numRuns: 500 },
    );
  });

  test('for a signed text that is no checkpoint', () => {
    const note = signNote('no checkpoint\n', { name: ORIGIN, privateKey });
    const text = encodeProof({ index: 0, hashes: [], checkpoint: note });
    expect(() => verifyProof({ proof: text, leaf: leafAt(0), verifierKeys })).toThrow(refused);
  });
});

describe('a malformed tlog-proof', () => {
  const hash = leafAt(0).toString('base64');
  test.each([
    ['nothing', ''],
    ['no blank line', lines.slice(0, 7).join('\n')],
    ['another version', proof.replace('@v1', '@v2')],
    ['no index', proof.replace('index 13\n', '')],
    ['a leading zero', proof.replace('index 13', 'index 013')],
    ['a negative index', proof.replace('index 13', 'index -1')],
    ['an index beyond the safe integers', proof.replace('index 13', 'index 9007199254740993')],
    ['extra data behind the index', proof.replace('index 13\n', 'index 13\nextra YQ==\n')],
    ['extra data twice', proof.replace('index 13\n', 'extra YQ==\nextra YQ==\nindex 13\n')],
    ['empty extra data', proof.replace('index 13\n', 'extra \nindex 13\n')],
    ['extra data that are not base64', proof.replace('index 13\n', 'extra a\nindex 13\n')],
    ['carriage returns', proof.replaceAll('\n', '\r\n')],
    ['a short hash', proof.replace('index 13\n', 'index 13\nAAAA\n')],
    ['a byte order mark', `\ufeff${proof}`],
    ['54 hashes', proof.replace('index 13\n', `index 13\n${`${hash}\n`.repeat(49)}`)],
    ['a million lines', proof.replace('index 13\n', `index 13\n${'a\n'.repeat(900_000)}`)],
    ['more than 2,000,000 bytes', `${proof}${'a'.repeat(2_000_000)}`],
  ])('with %s is refused', (_name, text) => {
    expect(() => parseProof(text)).toThrow(refused);
    expect(() => verifyProof({ proof: text, leaf: leafAt(13), verifierKeys })).toThrow(refused);
  });

  test('that is not UTF-8 is refused', () => {
    expect(() => parseProof(Buffer.concat([Buffer.from(proof), Buffer.of(0xff)]))).toThrow(refused);
  });

  test('is never written', () => {
    expect(() => encodeProof({ index: -1, hashes: [], checkpoint })).toThrow(refused);
    expect(() => encodeProof({ index: 0, hashes: [Buffer.alloc(31)], checkpoint })).toThrow(refused);
    expect(() => encodeProof({ index: 0, hashes: [], checkpoint, extra: Buffer.alloc(0) })).toThrow(refused);
  });
});

function checkpointAt(size: number): string {
  const frontier = new Frontier();
  for (const leaf of leaves.slice(0, size)) frontier.append(leaf);
  return signNote(encodeCheckpoint({ origin: ORIGIN, size, root: frontier.root() }), { name: ORIGIN, privateKey });
}
