import { parseCheckpoint, type Checkpoint } from '#schema/checkpoint.ts';
import { Frontier } from '#schema/merkle.ts';
import { verifyNote, type NoteVerifier } from '#schema/signed-note.ts';
import type { Findings } from './report.ts';

/** Signed heads of one log that came from elsewhere than its archive. */
export interface OutsideHeads {
  /** Compares the tree before a segment and the leaves it adds, 32 bytes each, with every head that lies between. */
  passing(before: Frontier, leaves: Uint8Array): void;
  /** Judges, at the end of what was folded, whether anything is missing up to the newest head. */
  ending(size: number | null): void;
}

const HASH_BYTES = 32;

/** Returns the checkpoint of a signed note; a note without a signature of the keys is BAD_USER_INPUT. */
export function readCheckpoint(note: string | Uint8Array, keys: readonly NoteVerifier[]): Checkpoint {
  return parseCheckpoint(verifyNote(note, keys).text);
}

/** Returns the heads of a log, which judge into `findings`. */
export function outsideHeads(
  { heads: given, vouched }: { heads: readonly Checkpoint[]; vouched: readonly Checkpoint[] },
  findings: Findings,
): OutsideHeads {
  const heads = [...given, ...vouched];
  return {
    passing: (before, leaves) => {
      const within = heads.filter(
        ({ size }) => size >= before.size && size <= before.size + leaves.length / HASH_BYTES,
      );
      for (const head of within) {
        const tree = Frontier.fromJSON(before.toJSON());
        for (let at = 0; tree.size < head.size; at += HASH_BYTES) tree.append(leaves.subarray(at, at + HASH_BYTES));
        if (Buffer.compare(tree.root(), head.root) === 0) continue;
        findings.judge('integrity', 'fail', {
          seq: before.size,
          sentence: `the outside head of ${head.size} entries was signed over other ones: somebody was shown another log`,
        });
      }
    },
    ending: (size) => {
      // What is vouched for and not sealed yet is judged with the platform log.
      const ends = [...given, ...vouched.filter((head) => head.size <= (size ?? 0))].map((head) => head.size);
      const newest = ends.reduce<number | null>((most, end) => Math.max(most ?? 0, end), null);
      judgeEnd({ size, newest }, findings);
    },
  };
}

function judgeEnd({ size, newest }: { size: number | null; newest: number | null }, findings: Findings): void {
  if (size === null) {
    findings.judge('completeness', 'cannot say', {
      sentence: 'what stands there was changed, so nobody can tell what is missing',
    });
  } else if (newest === null) {
    findings.judge('completeness', 'cannot say', {
      seq: size,
      sentence: `without a head from outside nobody can tell whether entries from ${size} on were cut off; give one with --checkpoint`,
    });
  } else if (newest > size) {
    findings.judge('completeness', 'fail', {
      seq: size,
      sentence: `a head of ${newest} entries was signed, but the entries end before ${size}`,
    });
  } else if (newest < size) {
    findings.assume(
      `nothing is missing before seq ${newest}, where the outside head ends; of what follows it says nothing`,
    );
  }
}
