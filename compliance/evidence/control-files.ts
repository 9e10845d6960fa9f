import { canonicalJson, type JsonValue } from '#schema/canonical-json.ts';
import type { Collector, ControlFinding } from './collector.ts';
import { CRITERIA, type CriterionId } from './criteria.ts';
import type { PackFiles } from './pack-files.ts';
import { csvLines } from './table.ts';

/** How the test of a control ended; what it means for the control is the auditor's to say. */
export type ControlResult = 'pass' | 'exception' | 'not_tested';

/** A control as the pack shows it. */
export interface Control extends ControlFinding {
  readonly collector: Pick<Collector, 'id' | 'title'>;
  readonly result: ControlResult;
}

/** Returns the control of a finding: one exception is an exception, also where something else could not be tested. */
export function controlOf(collector: Pick<Collector, 'id' | 'title'>, finding: ControlFinding): Control {
  const tested: ControlResult = finding.untested === null ? 'pass' : 'not_tested';
  return { ...finding, collector, result: finding.exceptions.length > 0 ? 'exception' : tested };
}

/** Returns the control of a criterion whose collector gave nothing. */
export function untestedControl(
  collector: Pick<Collector, 'id' | 'title'>,
  criterion: CriterionId,
  why: string,
): Control {
  return controlOf(collector, { criterion, test: 'None.', populations: [], exceptions: [], untested: why, facts: {} });
}

/** Writes `control.json` and `exceptions.csv` of a control below `controls/<criterion>/`. */
export async function writeControl(files: PackFiles, control: Control): Promise<void> {
  const { criterion, exceptions } = control;
  const told: JsonValue = {
    v: 1,
    criterion,
    claim: CRITERIA[criterion],
    collector: control.collector.id,
    test: control.test,
    populations: control.populations,
    result: control.result,
    untested: control.untested,
    exceptions_count: exceptions.length,
    facts: control.facts,
  };
  await files.put(`controls/${criterion}/control.json`, canonicalJson(told));
  const csv = files.begin(`controls/${criterion}/exceptions.csv`);
  await csv.write(csvLines([['row', 'object', 'seq', 'sentence']]));
  for (const [index, { object, seq, sentence }] of exceptions.entries()) {
    await csv.write(csvLines([[index + 1, object, seq ?? '', sentence]]));
  }
  await csv.end(exceptions.length);
}
