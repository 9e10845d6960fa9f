import type { Checkpoint } from '#schema/checkpoint.ts';
import { entryLeaf, parseEntry, type AuditEntry } from '#schema/audit-event.ts';
import { canonicalJson, parseCanonical, type JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { verifyInclusion } from '#schema/merkle.ts';
import type { NoteVerifier } from '#schema/signed-note.ts';
import { parseProof, verifyProof } from '#schema/tlog-proof.ts';
import { exportRecords, type ExportRecord } from './export-records.ts';
import { readCheckpoint } from './log-heads.ts';
import { createFindings, reasonOf, type Findings, type Report } from './report.ts';

/** What is asked of an export. */
export interface ExportQuestion {
  readonly path: string;
  readonly pieces: AsyncIterable<Buffer>;
  readonly keys: readonly NoteVerifier[];
}

/** An entry that its row has proved, or `pending` where no checkpoint covered it. */
type RowAnswer = { readonly entry: AuditEntry; readonly checkpoint: Checkpoint } | 'pending';

interface Walk {
  readonly keys: readonly NoteVerifier[];
  /** Checkpoints of the lines so far, by epoch. */
  readonly checkpoints: Map<number, Checkpoint>;
  /** The number that follows the rows so far of each log, and the size of its checkpoint; NaN behind a gap. */
  readonly runs: Map<string, { readonly next: number; readonly size: number }>;
  pending: number;
  entries: number;
}

const HASH_HEX = /^[0-9a-f]{64}$/;
const MAX_HASHES = 53;

/**
 * Checks an export (NDJSON or CSV) row by row, in memory that does not grow with it: each row's entry stands in the log
 * that its checkpoint was signed for, and its columns say what the entry says.
 */
export async function verifyExportFile({ path, pieces, keys }: ExportQuestion): Promise<Report> {
  const findings = createFindings();
  const walk: Walk = { keys, checkpoints: new Map(), runs: new Map(), pending: 0, entries: 0 };
  let row = 0;
  try {
    for await (const record of exportRecords(pieces)) {
      row += 1;
      judgeRow(walk, { record, row, file: path }, findings);
    }
  } catch (thrown) {
    findings.judge('integrity', 'fail', { file: path, row: row + 1, sentence: reasonOf(thrown) });
  }
  judgeEnd(walk, path, findings);
  return {
    target: { kind: 'export', path },
    integrity: findings.judged.integrity,
    completeness: findings.judged.completeness,
    assumptions: [...findings.assumptions],
    counts: { files: 1, logs: walk.runs.size, segments: 0, entries: walk.entries, populations: 0 },
    logs: [],
  };
}

function judgeRow(
  walk: Walk,
  { record, row, file }: { record: ExportRecord; row: number; file: string },
  findings: Findings,
): void {
  try {
    const answer = record.kind === 'csv' ? answerOfCells(walk, record.cells) : answerOfLine(walk, record.line);
    if (answer === null) return;
    if (answer === 'pending') {
      walk.pending += 1;
      return;
    }
    walk.entries += 1;
    const { origin, size } = answer.checkpoint;
    const next = walk.runs.get(origin)?.next ?? 0;
    walk.runs.set(origin, { next: answer.entry.seq === next ? next + 1 : Number.NaN, size });
  } catch (thrown) {
    findings.judge('integrity', 'fail', { file, row, sentence: reasonOf(thrown) });
  }
}

function judgeEnd({ pending, runs }: Walk, file: string, findings: Findings): void {
  if (pending > 0) {
    const sentence = `${pending} rows were not sealed when they were exported; export again for their proofs`;
    findings.judge('integrity', 'cannot say', { file, sentence });
  }
  const isWhole = runs.size > 0 && [...runs.values()].every(({ next, size }) => next === size);
  if (findings.judged.integrity.verdict === 'fail') {
    findings.judge('completeness', 'cannot say', {
      file,
      sentence: 'what stands there was changed, so nobody can tell what is missing',
    });
  } else if (!isWhole) {
    const sentence = 'an export cannot show which rows a filter left out, or somebody else';
    findings.judge('completeness', 'cannot say', { file, sentence });
  }
}

/** Null for the line of a checkpoint. */
function answerOfLine({ keys, checkpoints }: Walk, line: string): RowAnswer | null {
  const row = fieldsOf(parseCanonical(Buffer.from(line)));
  const names = Object.keys(row)
    .filter((name) => name !== 'opened')
    .join();
  const { epoch } = row;
  if (typeof epoch !== 'number') return refuse('it has no epoch');
  if (names === 'checkpoint,epoch') {
    const note = row['checkpoint'];
    checkpoints.set(epoch, readCheckpoint(typeof note === 'string' ? note : '', keys));
    return null;
  }
  if (names !== 'entry,epoch,leaf,proof,tree_size') return refuse('it has not exactly its fields');
  const bytes = Buffer.from(canonicalJson(row['entry'] ?? null));
  const entry = parseEntry(bytes);
  const leaf = entryLeaf(bytes);
  if (leaf.toString('hex') !== row['leaf']) return refuse('its leaf is not that of its entry');
  if (row['proof'] === null) return 'pending';
  const checkpoint = checkpoints.get(epoch) ?? refuse('its checkpoint is missing');
  const { origin, size, root } = checkpoint;
  if (size !== row['tree_size'] || !origin.endsWith(`/audit/${entry.event.tenant_id}/${epoch}`))
    refuse('its checkpoint is of another log or size');
  if (!verifyInclusion({ leaf, index: entry.seq, size, root, proof: hashesOf(row['proof']) }))
    refuse('the entry is not at its place of the signed tree');
  return { entry, checkpoint };
}

function answerOfCells({ keys }: Walk, cells: Readonly<Record<string, string>>): RowAnswer {
  const proof = cells['tlog_proof'];
  if (proof === undefined) return refuse('the table has no column tlog_proof');
  if (proof === '') return 'pending';
  const bytes = parseProof(proof).extra ?? refuse('the proof does not hold its entry');
  const entry = parseEntry(bytes);
  const leaf = entryLeaf(bytes);
  const { index, checkpoint } = verifyProof({ proof, leaf, verifierKeys: keys });
  if (index !== entry.seq || !checkpoint.origin.endsWith(`/audit/${entry.event.tenant_id}/${cells['epoch'] ?? ''}`))
    refuse('its checkpoint is of another log or place');
  for (const [name, value] of Object.entries(cellsOf(entry, leaf))) {
    const found = cells[name];
    const cell = typeof value === 'string' ? value : value === null ? '' : canonicalJson(value);
    // What was sealed may stand there opened, and no proof speaks of that.
    if (found !== undefined && found !== cell && found !== `'${cell}` && !cell.includes('"$enc"'))
      refuse(`its ${name} is not that of its entry`);
  }
  return { entry, checkpoint };
}

function cellsOf({ seq, outcome, event }: AuditEntry, leaf: Buffer): Readonly<Record<string, JsonValue>> {
  const { actor, resource, id, ts, action, context, session_id, request_id } = event;
  return {
    seq,
    outcome,
    id,
    ts,
    action,
    actor_type: actor.type,
    actor_id: actor.id,
    actor_ip: actor.ip,
    actor_ua: actor.ua,
    resource_type: resource.type,
    resource_id: resource.id,
    resource_name: resource.name,
    context,
    session_id,
    request_id,
    leaf: leaf.toString('hex'),
  };
}

function hashesOf(value: JsonValue | undefined): Buffer[] {
  if (!Array.isArray(value) || value.length > MAX_HASHES) return refuse('its proof is no list of hashes');
  const hashes: readonly JsonValue[] = value;
  return hashes.map((each) =>
    typeof each === 'string' && HASH_HEX.test(each)
      ? Buffer.from(each, 'hex')
      : refuse('its proof is no list of hashes'),
  );
}

function fieldsOf(value: JsonValue): Readonly<Record<string, JsonValue>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('it is no object');
  return Object.fromEntries(Object.entries(value));
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `export: ${reason}`);
}
