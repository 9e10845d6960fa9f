import { basename } from 'node:path';
import type { NoteVerifier } from '#schema/signed-note.ts';
import { createFindings, reasonOf, type Report } from '../verify/report.ts';
import { verifyIsolation } from './statement.ts';

/**
 * Returns the report of `tenon verify` on a statement of isolation: its integrity is that of its signature, and it is
 * complete where every check of it was made and passed.
 */
export function verifyIsolationFile(path: string, bytes: Buffer, keys: readonly NoteVerifier[]): Report {
  const findings = createFindings();
  const file = basename(path);
  let entries = 0;
  try {
    const { statement } = verifyIsolation(bytes, keys);
    for (const { store, checks } of statement.stores) {
      entries += checks.length;
      for (const { check, role, verdict, sentence } of checks) {
        const who = role === null ? '' : ` as ${role}`;
        findings.judge('completeness', verdict, { file, sentence: `${store}${who}, ${check}: ${sentence}` });
      }
    }
    const at = statement.at.toISOString();
    findings.assume(
      `${statement.deployment} examined ${statement.stores.length} stores at ${at}, and says what it found`,
    );
  } catch (thrown) {
    findings.judge('integrity', 'fail', { file, sentence: reasonOf(thrown) });
    findings.judge('completeness', 'cannot say', { file, sentence: 'what stands there was changed' });
  }
  const { integrity, completeness } = findings.judged;
  const counts = { files: 1, logs: 0, segments: 0, entries, populations: 0 };
  const target = { kind: 'isolation' as const, path };
  return { target, integrity, completeness, assumptions: [...findings.assumptions], counts, logs: [] };
}
