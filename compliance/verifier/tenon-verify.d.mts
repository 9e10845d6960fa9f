/** What the single file gives to tests; whoever runs it needs none of this. */
import type { KeyObject } from 'node:crypto';

export interface Key {
  readonly name: string;
  readonly id: string;
  readonly line: string;
  readonly key: KeyObject;
}

export interface Judgement {
  readonly verdict: 'pass' | 'fail' | 'cannot say';
  readonly place: { readonly file: string | null; readonly seq: number | null; readonly sentence: string } | null;
}

export interface Findings {
  readonly integrity: Judgement;
  readonly completeness: Judgement;
  readonly assumptions: readonly string[];
  /** Entries that were found sound. */
  readonly entries: number;
}

export interface Source {
  readonly paths: readonly string[];
  readonly read: (path: string, maxBytes: number) => Buffer;
}

export interface Options {
  readonly keys: readonly Key[];
  readonly checkpoints?: readonly (string | Uint8Array)[];
}

export function canonical(bytes: string | Uint8Array): unknown;
export function leafOf(entry: string | Uint8Array): string;
export function keyOf(line: string): Key;
export function checkpointOf(
  note: string | Uint8Array,
  keys: readonly Key[],
): { readonly origin: string; readonly size: number; readonly root: string; readonly deployment: string };
export function entryOf(text: string): {
  readonly seq: number;
  readonly prev: string;
  readonly tenant: string;
  readonly ts: string;
  readonly action: string;
  readonly context: object;
};
export function rootAbove(
  leaf: string,
  place: { readonly index: number; readonly size: number; readonly path: readonly string[] },
): string;
export function verifyArchive(source: Source, options: Options): Findings;
export function verifyPack(source: Source, options: Options): Findings;
export function verifyProof(file: Uint8Array, options: Options): Findings;
export function verifyExport(bytes: Uint8Array, options: Options): Findings;
