import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { encodeCheckpoint } from '#schema/checkpoint.ts';
import { consistencyProof, Frontier, leafHash } from '#schema/merkle.ts';
import { noteVerifier, signNote, type NoteSigner, type NoteVerifier } from '#schema/signed-note.ts';
import { openWitnessKey } from '../../compliance/witness/key.ts';
import { openWitnessState, type WitnessState } from '../../compliance/witness/state.ts';
import { createWitness, type Witness } from '../../compliance/witness/witness.ts';

/** A log that a test lets grow, fork and shrink as it likes. */
export interface TestLog {
  readonly origin: string;
  readonly verifier: NoteVerifier;
  /** Signs the first `size` leaves. */
  note(size: number, signer?: NoteSigner): string;
  root(size: number): Buffer;
  proof(from: number, to: number): Buffer[];
}

/** Returns a log of many leaves; another seed makes another log from the leaf at `forkAt` on. */
export function testLog({
  origin = 'tenon.test/audit/tnt_x/1',
  signer = newSigner(),
  seed = 'a',
  forkAt = 0,
} = {}): TestLog {
  const leaves = Array.from({ length: 200 }, (_, at) => leafHash(Buffer.from(`${at < forkAt ? 'a' : seed} ${at}`)));
  const root = (size: number): Buffer => {
    const tree = new Frontier();
    for (const leaf of leaves.slice(0, size)) tree.append(leaf);
    return tree.root();
  };
  return {
    origin,
    verifier: noteVerifier(signer.name, signer.privateKey),
    root,
    note: (size, by = signer) => signNote(encodeCheckpoint({ origin, size, root: root(size) }), by),
    proof: (from, to) => consistencyProof(leaves, from, to),
  };
}

/** Returns a new key under a name. */
export function newSigner(name = 'tenon.test'): NoteSigner {
  return { name, privateKey: generateKeyPairSync('ed25519').privateKey };
}

/** A witness in a folder of its own. */
export interface TestWitness {
  readonly folder: string;
  readonly state: WitnessState;
  readonly key: NoteSigner;
  readonly witness: Witness;
}

/** Returns an empty folder that is removed with the test file. */
export function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-witness-'));
  folders.push(folder);
  return folder;
}

/** Opens a witness, in a folder that it had before or in a new one. */
export async function openTestWitness(folder = emptyFolder()): Promise<TestWitness> {
  const state = await openWitnessState(folder);
  const key = await openWitnessKey(folder, null);
  return { folder, state, key, witness: createWitness({ state, key, clock: () => NOW }) };
}

/** The time of the witness. */
export const NOW = new Date('2026-05-01T10:00:00Z');

const folders: string[] = [];

afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
