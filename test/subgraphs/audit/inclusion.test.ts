import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Frontier, leafHash, verifyInclusion } from '#schema/merkle.ts';
import { hashRanges, proofOf } from '../../../subgraphs/audit/inclusion.ts';

/** A tree with the hashes that are stored of it: its leaves, and the roots of complete subtrees of 256^n. */
function treeOf(size: number) {
  const frontier = new Frontier();
  const stored = new Map<string, Uint8Array>();
  for (let index = 0; index < size; index++) {
    const leaf = leafHash(Buffer.from(`entry ${index}`));
    stored.set(`0:${index}`, leaf);
    frontier.append(leaf, (address, hash) => {
      if (address.level % 8 === 0) stored.set(`${address.level / 8}:${address.index}`, hash);
    });
  }
  return { root: frontier.root(), stored };
}

const LARGEST = 66_500;
const largest = treeOf(LARGEST);

describe('a proof from stored hashes', () => {
  it('needs only what its ranges name, and verifies, for any leaf of trees beyond 256^2', () => {
    const place = fc.integer({ min: 0, max: LARGEST - 1 });
    fc.assert(
      fc.property(fc.oneof(place, fc.constantFrom(0, 255, 256, 65_535, 65_536, LARGEST - 1)), (index) => {
        const ranges = hashRanges(index, LARGEST);
        const wanted = ranges.flatMap(({ level, start, count }) =>
          Array.from({ length: count }, (_, at) => `${level}:${start + at}`),
        );
        const fetched = new Map(wanted.map((key) => [key, largest.stored.get(key)]));
        const proof = proofOf((level, at) => fetched.get(`${level}:${at}`) ?? fail(level, at), index, LARGEST);
        const leaf = largest.stored.get(`0:${index}`) ?? fail(0, index);
        expect(verifyInclusion({ leaf, index, size: LARGEST, proof, root: largest.root })).toBe(true);
        expect(wanted.length).toBeLessThan(800);
      }),
      { numRuns: 300 },
    );
  });

  it('asks for ranges that are aligned, so that proofs side by side share them', () => {
    for (const index of [0, 1, 300, 599]) {
      for (const { start, count } of hashRanges(index, 600))
        expect([start % count, Math.log2(count) % 1]).toEqual([0, 0]);
    }
  });

  it('is empty for the only leaf of a tree', () => {
    expect(hashRanges(0, 1)).toEqual([]);
    expect(proofOf(fail, 0, 1)).toEqual([]);
  });
});

function fail(level: number, index: number): never {
  throw new Error(`hash ${index} on level ${level} was not asked for`);
}
