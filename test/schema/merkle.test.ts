import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  consistencyNodes,
  consistencyProof,
  EMPTY_ROOT,
  Frontier,
  inclusionNodes,
  inclusionProof,
  leafHash,
  nodeHash,
  verifyConsistency,
  verifyInclusion,
  type NodeAddress,
} from '#schema/merkle.ts';

// The reference tree of Certificate Transparency: eight inputs and the root after each.
const INPUTS = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
const L0 = '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d';
const L1 = '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7';
const L4 = 'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b';
const N01 = 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125';
const N23 = '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e';
const N45 = '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a';
const N67 = 'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0';
const N03 = 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7';
const N47 = '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4';

const reference = INPUTS.map((input) => leafHash(Buffer.from(input, 'hex')));
const leaves = Array.from({ length: 64 }, (_, index) => leafHash(Buffer.from(`entry ${index}`)));
const roots = Array.from({ length: leaves.length + 1 }, (_, size) => naiveRoot(leaves.slice(0, size)));
const root = (size: number): Buffer => roots[size] ?? expect.fail(`no root ${size}`);
const leafAt = (index: number): Buffer => leaves[index] ?? expect.fail(`no leaf ${index}`);

const refused = expect.objectContaining({ name: 'TenonError', code: 'BAD_USER_INPUT' });

describe('the reference tree of Certificate Transparency', () => {
  test('has the published root at every size', () => {
    const frontier = new Frontier();
    const found = [hex(frontier.root())];
    for (const leaf of reference) {
      frontier.append(leaf);
      found.push(hex(frontier.root()));
    }
    expect(found).toEqual(ROOTS);
    expect(hex(EMPTY_ROOT)).toBe(ROOTS[0]);
  });

  test.each([
    [0, 1, []],
    [0, 2, [L1]],
    [1, 2, [L0]],
    [2, 3, [N01]],
    [1, 5, [L0, N23, L4]],
    [0, 8, [L1, N23, N47]],
    [5, 8, [L4, N67, N03]],
  ])('has the published inclusion proof of leaf %i in %i', (index, size, expected) => {
    expect(inclusionProof(reference, index, size).map(hex)).toEqual(expected);
  });

  test.each([
    [1, 1, []],
    [1, 8, [L1, N23, N47]],
    [2, 5, [N23, L4]],
    [6, 8, [N45, N67, N03]],
  ])('has the published consistency proof from %i to %i', (oldSize, newSize, expected) => {
    expect(consistencyProof(reference, oldSize, newSize).map(hex)).toEqual(expected);
  });
});

describe('a frontier', () => {
  test('has the root of the whole tree at every size, also when kept as JSON in between', () => {
    let frontier = new Frontier();
    leaves.forEach((leaf, index) => {
      frontier.append(leaf);
      const text = JSON.stringify(frontier);
      frontier = Frontier.fromJSON(JSON.parse(text));
      expect(JSON.stringify(frontier)).toBe(text);
      expect([frontier.size, hex(frontier.root())]).toEqual([index + 1, hex(root(index + 1))]);
    });
  });

  test('starts empty, and keeps one node for each one-bit of its size', () => {
    expect(Frontier.fromJSON().toJSON()).toEqual({ size: 0, nodes: [] });
    const { state } = grown(13);
    expect(state.nodes).toHaveLength(3);
  });

  test('tells of every complete inner node once, which is all that proofs look up', () => {
    const { stored, lookup } = grown(leaves.length);
    expect(stored.size).toBe(leaves.length * 2 - 1);
    for (const size of [1, 7, 33, 63, 64]) {
      for (let index = 0; index < size; index++) {
        expect(inclusionProof(lookup, index, size)).toEqual(inclusionProof(leaves, index, size));
        expect(inclusionNodes(index, size).every((address) => stored.has(keyOf(address)))).toBe(true);
        expect(consistencyProof(lookup, index, size)).toEqual(consistencyProof(leaves, index, size));
        expect(consistencyNodes(index, size).every((address) => stored.has(keyOf(address)))).toBe(true);
      }
    }
  });

  test('counts beyond 32 bits', () => {
    const size = 2 ** 40 + 1;
    const frontier = Frontier.fromJSON({ size, nodes: [hex(leafAt(0)), hex(leafAt(1))] });
    frontier.append(leafAt(2));
    expect(frontier.toJSON()).toEqual({
      size: size + 1,
      nodes: [hex(leafAt(0)), hex(nodeHash(leafAt(1), leafAt(2)))],
    });
    const proof = inclusionProof(imagined, 2 ** 40, size + 1);
    expect(proof).toEqual([imagined({ level: 0, index: 2 ** 40 + 1 }), imagined({ level: 40, index: 0 })]);
    const claimed = nodeHash(
      imagined({ level: 40, index: 0 }),
      nodeHash(leafAt(3), imagined({ level: 0, index: size })),
    );
    const claim = { leaf: leafAt(3), index: 2 ** 40, size: size + 1, proof, root: claimed };
    expect(verifyInclusion(claim)).toBe(true);
    expect(verifyInclusion({ ...claim, index: 0 })).toBe(false);
  });

  test.each([
    ['too few nodes', { size: 3, nodes: ['0'.repeat(64)] }],
    ['too many nodes', { size: 2, nodes: ['0'.repeat(64), '0'.repeat(64)] }],
    ['a negative size', { size: -1, nodes: [] }],
    ['a broken size', { size: 0.5, nodes: [] }],
    ['a size beyond the safe integers', { size: 2 ** 53, nodes: ['0'.repeat(64)] }],
    ['capital hex', { size: 1, nodes: ['A'.repeat(64)] }],
    ['a short node', { size: 1, nodes: ['00'] }],
  ])('refuses a state with %s', (_name, state) => {
    expect(() => Frontier.fromJSON(state)).toThrow(refused);
  });

  test('refuses a leaf that is no hash and stays as it was', () => {
    const { frontier, state } = grown(3);
    expect(() => frontier.append(Buffer.alloc(31))).toThrow(refused);
    expect(frontier.toJSON()).toEqual(state);
  });
});

describe('inclusion', () => {
  test('is proved for every index in every tree up to 64 leaves', () => {
    let proved = 0;
    for (let size = 1; size <= leaves.length; size++) {
      for (let index = 0; index < size; index++) {
        const proof = inclusionProof(leaves, index, size);
        if (verifyInclusion({ leaf: leafAt(index), index, size, proof, root: root(size) })) proved += 1;
      }
    }
    expect(proved).toBe((64 * 65) / 2);
  });

  test('fails when any bit, the index, the size or the length of the path is changed', () => {
    const place = fc.integer({ min: 1, max: 64 }).chain((size) => fc.tuple(fc.nat(size - 1), fc.constant(size)));
    fc.assert(
      fc.property(place, fc.nat(), fc.integer({ min: 0, max: 80 }), ([index, size], bit, other) => {
        const proof = inclusionProof(leaves, index, size);
        const claim = { leaf: leafAt(index), index, size, proof, root: root(size) };
        const flipped = flipBit([claim.leaf, claim.root, ...proof], bit);
        const [leaf = claim.leaf, claimedRoot = claim.root, ...path] = flipped;
        expect(verifyInclusion({ ...claim, leaf, root: claimedRoot, proof: path })).toBe(false);
        expect(verifyInclusion({ ...claim, proof: [...proof, leafAt(0)] })).toBe(false);
        if (proof.length > 0) expect(verifyInclusion({ ...claim, proof: proof.slice(1) })).toBe(false);
        if (proof.length > 0) expect(verifyInclusion({ ...claim, proof: proof.slice(0, -1) })).toBe(false);
        if (other !== index) expect(verifyInclusion({ ...claim, index: other })).toBe(false);
      }),
      { numRuns: 400 },
    );
  });

  test('is false, not an error, for numbers and hashes that cannot be', () => {
    const claim = { leaf: leafAt(0), index: 0, size: 1, proof: [], root: leafAt(0) };
    expect(verifyInclusion(claim)).toBe(true);
    for (const bad of [
      { index: -1 },
      { index: 0.5 },
      { index: 1 },
      { size: 0 },
      { size: Number.NaN },
      { size: 2 ** 53 },
    ]) {
      expect(verifyInclusion({ ...claim, ...bad })).toBe(false);
    }
    expect(verifyInclusion({ ...claim, leaf: Buffer.alloc(0), root: Buffer.alloc(0) })).toBe(false);
    expect(verifyInclusion({ ...claim, size: 2, proof: [Buffer.alloc(31)] })).toBe(false);
  });

  test('fails for a path that leads to the root but is of another length than the tree is high', () => {
    const [leaf, sibling] = [leafAt(0), leafAt(1)];
    const above = nodeHash(leaf, sibling);
    expect(verifyInclusion({ leaf, index: 0, size: 2, proof: [sibling], root: above })).toBe(true);
    expect(verifyInclusion({ leaf, index: 0, size: 3, proof: [sibling], root: above })).toBe(false);
    const before = nodeHash(sibling, leaf);
    expect(verifyInclusion({ leaf, index: 0, size: 1, proof: [sibling], root: before })).toBe(false);
  });

  test('cannot be asked of a leaf that is not there', () => {
    expect(() => inclusionProof(leaves, 3, 3)).toThrow(refused);
    expect(() => inclusionProof(leaves, -1, 3)).toThrow(refused);
    expect(() => inclusionProof(leaves.slice(0, 2), 0, 3)).toThrow(refused);
  });
});

describe('consistency', () => {
  test('is proved for every pair of sizes up to 64', () => {
    let proved = 0;
    for (let newSize = 0; newSize <= leaves.length; newSize++) {
      for (let oldSize = 0; oldSize <= newSize; oldSize++) {
        const proof = consistencyProof(leaves, oldSize, newSize);
        const claim = { oldSize, newSize, oldRoot: root(oldSize), newRoot: root(newSize), proof };
        if (verifyConsistency(claim)) proved += 1;
      }
    }
    expect(proved).toBe((65 * 66) / 2);
  });

  test('fails when any bit or the length of the path is changed', () => {
    const pair = fc
      .integer({ min: 1, max: 64 })
      .chain((size) => fc.tuple(fc.integer({ min: 1, max: size }), fc.constant(size)));
    fc.assert(
      fc.property(pair, fc.nat(), ([oldSize, newSize], bit) => {
        const proof = consistencyProof(leaves, oldSize, newSize);
        const claim = { oldSize, newSize, oldRoot: root(oldSize), newRoot: root(newSize), proof };
        const [oldRoot = claim.oldRoot, newRoot = claim.newRoot, ...path] = flipBit(
          [claim.oldRoot, claim.newRoot, ...proof],
          bit,
        );
        expect(verifyConsistency({ ...claim, oldRoot, newRoot, proof: path })).toBe(false);
        expect(verifyConsistency({ ...claim, proof: [...proof, leafAt(0)] })).toBe(false);
        if (proof.length > 0) expect(verifyConsistency({ ...claim, proof: proof.slice(1) })).toBe(false);
        if (proof.length > 0) expect(verifyConsistency({ ...claim, proof: proof.slice(0, -1) })).toBe(false);
      }),
      { numRuns: 400 },
    );
  });

  test('fails for a path that leads to both roots but is of another length than the tree is high', () => {
    const [first, second, third] = [leafAt(0), leafAt(1), leafAt(2)];
    const newRoot = nodeHash(first, second);
    const claim = { oldSize: 1, newSize: 2, oldRoot: first, newRoot, proof: [second] };
    expect(verifyConsistency(claim)).toBe(true);
    expect(verifyConsistency({ ...claim, newSize: 3 })).toBe(false);
    const oldRoot = nodeHash(third, first);
    const grownRoot = nodeHash(third, newRoot);
    const whole = { oldSize: 3, newSize: 4, oldRoot, newRoot: grownRoot, proof: [first, second, third] };
    expect(verifyConsistency(whole)).toBe(true);
    const above = { oldRoot: nodeHash(first, oldRoot), newRoot: nodeHash(first, grownRoot) };
    expect(verifyConsistency({ ...whole, ...above, proof: [first, second, third, first] })).toBe(false);
  });

  test('fails for a log that was rewritten, cut short or only claims to have been empty', () => {
    const rewritten = leaves.with(2, leafHash(Buffer.from('another')));
    const claim = { oldSize: 5, newSize: 9, oldRoot: root(5), newRoot: naiveRoot(rewritten.slice(0, 9)) };
    expect(verifyConsistency({ ...claim, proof: consistencyProof(rewritten, 5, 9) })).toBe(false);
    expect(verifyConsistency({ ...claim, oldSize: 9, newSize: 5, proof: [] })).toBe(false);
    expect(verifyConsistency({ ...claim, oldSize: 0, proof: [] })).toBe(false);
    expect(verifyConsistency({ ...claim, oldSize: -1, proof: [] })).toBe(false);
    expect(verifyConsistency({ ...claim, newSize: 2 ** 53, proof: [] })).toBe(false);
    expect(() => consistencyProof(leaves, 5, 4)).toThrow(refused);
  });
});

test('a leaf and a node over the same bytes have different hashes', () => {
  const both = Buffer.concat([leafAt(0), leafAt(1)]);
  expect(nodeHash(leafAt(0), leafAt(1))).not.toEqual(leafHash(both));
  expect(() => nodeHash(leafAt(0), Buffer.alloc(33))).toThrow(refused);
});

// The definition of RFC 6962 section 2.1, word by word and with another hash function of Node.
function naiveRoot(hashes: readonly Buffer[]): Buffer {
  const [only] = hashes;
  if (only === undefined) return createHash('sha256').digest();
  if (hashes.length === 1) return only;
  const split = 2 ** Math.floor(Math.log2(hashes.length - 1));
  const left = naiveRoot(hashes.slice(0, split));
  return createHash('sha256')
    .update('\u0001')
    .update(left)
    .update(naiveRoot(hashes.slice(split)))
    .digest();
}

function grown(size: number) {
  const stored = new Map<string, Buffer>();
  const frontier = new Frontier();
  leaves.slice(0, size).forEach((leaf, index) => {
    stored.set(keyOf({ level: 0, index }), leaf);
    frontier.append(leaf, (address, node) => stored.set(keyOf(address), node));
  });
  const lookup = (address: NodeAddress): Buffer => stored.get(keyOf(address)) ?? expect.fail(`no ${keyOf(address)}`);
  return { frontier, stored, lookup, state: frontier.toJSON() };
}

// A tree too large to build: each node's hash is that of its own address.
function imagined(address: NodeAddress): Buffer {
  return leafHash(Buffer.from(keyOf(address)));
}

function keyOf({ level, index }: NodeAddress): string {
  return `${level}/${index}`;
}

function flipBit(hashes: readonly Buffer[], bit: number): Buffer[] {
  const bytes = Buffer.concat(hashes);
  const at = bit % (bytes.length * 8);
  bytes[at >> 3] = (bytes[at >> 3] ?? 0) ^ (1 << (at & 7));
  return hashes.map((_, index) => bytes.subarray(index * 32, index * 32 + 32));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
