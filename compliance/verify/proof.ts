import type { Checkpoint } from '#schema/checkpoint.ts';
import { entryLeaf, parseEntry } from '#schema/audit-event.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import { parseProof, verifyProof } from '#schema/tlog-proof.ts';
import { createFindings, reasonOf, type CheckedLog, type Findings, type Report } from './report.ts';

/** What is asked of a proof. */
export interface ProofFileQuestion {
  readonly path: string;
  readonly proof: Buffer;
  /** The entry's own bytes, where they do not travel inside the proof. */
  readonly entry: Buffer | null;
  readonly keys: readonly NoteVerifier[];
  readonly heads: readonly Checkpoint[];
}

/** Checks the proof (C2SP tlog-proof) that one entry stands in a signed log; no log is needed. */
export function verifyProofFile(question: ProofFileQuestion): Report {
  const findings = createFindings();
  const log = findLog(question, findings);
  findings.assume('a proof speaks of one entry alone; whether others are missing only the log can tell');
  const { integrity, completeness } = findings.judged;
  return {
    target: { kind: 'proof', path: question.path },
    integrity,
    completeness,
    assumptions: [...findings.assumptions],
    counts: { files: 1, logs: log === null ? 0 : 1, segments: 0, entries: log === null ? 0 : 1, populations: 0 },
    logs: log === null ? [] : [{ ...log, integrity, completeness }],
  };
}

type Tree = Pick<CheckedLog, 'origin' | 'size' | 'root'>;

function findLog({ path, proof, entry, keys, heads }: ProofFileQuestion, findings: Findings): Tree | null {
  try {
    const bytes = entry ?? parseProof(proof).extra;
    if (bytes === undefined) {
      const place = {
        file: path,
        sentence: 'the proof does not hold its entry; give the bytes of the entry with --entry',
      };
      findings.judge('integrity', 'cannot say', place);
      findings.judge('completeness', 'cannot say', place);
      return null;
    }
    const { seq, event } = parseEntry(bytes);
    const { index, checkpoint, signers } = verifyProof({ proof, leaf: entryLeaf(bytes), verifierKeys: keys });
    const place = { file: path, seq: index };
    if (seq !== index)
      findings.judge('integrity', 'fail', { ...place, sentence: `the entry says of itself that it is ${seq}` });
    if (checkpoint.origin.split('/').at(-2) !== event.tenant_id) {
      findings.judge('integrity', 'fail', { ...place, sentence: 'the event is of another tenant than the log' });
    }
    if (!signers.some(({ name }) => checkpoint.origin.startsWith(`${name}/audit/`))) {
      findings.judge('integrity', 'fail', {
        ...place,
        sentence: 'the log is of another deployment than the key that signed it',
      });
    }
    for (const head of heads) {
      if (
        head.origin !== checkpoint.origin ||
        head.size !== checkpoint.size ||
        Buffer.compare(head.root, checkpoint.root) === 0
      )
        continue;
      findings.judge('integrity', 'fail', {
        ...place,
        sentence: `two heads of ${head.size} entries were signed: somebody was shown another log`,
      });
    }
    return { origin: checkpoint.origin, size: checkpoint.size, root: Buffer.from(checkpoint.root).toString('hex') };
  } catch (thrown) {
    findings.judge('integrity', 'fail', { file: path, seq: indexOf(proof), sentence: reasonOf(thrown) });
    findings.judge('completeness', 'cannot say', { file: path, sentence: 'what stands there was changed' });
    return null;
  }
}

function indexOf(proof: Buffer): number | null {
  try {
    return parseProof(proof).index;
  } catch {
    return null;
  }
}
