import type { AuditEntry } from '#schema/audit-event.ts';
import { parseCanonical } from '#schema/canonical-json.ts';
import type { FileSource } from './file-source.ts';
import { isShape, listOf, type PackFile, type PackManifest } from './pack-manifest.ts';
import { reasonOf, type Findings } from './report.ts';
import type { SegmentLines } from './segment-lines.ts';

/** What `<name>.completeness.json` claims of a population. */
interface PopulationClaim {
  readonly v: 1;
  readonly population: string;
  /** `log`: exactly the entries of the window that `select` names; `database`: rows that no log can be compared with. */
  readonly source: 'log' | 'database';
  readonly select: { readonly actions: readonly string[] | null; readonly outcomes: readonly string[] | null } | null;
  readonly first_seq: number | null;
  readonly last_seq: number | null;
  readonly count: number;
  readonly expected: number;
  readonly gaps: readonly unknown[];
  readonly head_from: unknown;
  readonly head_to: unknown;
  readonly integrity: string;
  readonly completeness: string;
  readonly statement: string;
}

/** The populations of a pack while its log is replayed. */
export interface Populations {
  readonly count: number;
  /** Compares the entries of a segment with the next lines of every population that is taken from the log. */
  replay(segment: SegmentLines): Promise<void>;
  /** Judges, behind the last entry, that no population holds more than the log gave it. */
  end(): Promise<void>;
  close(): Promise<void>;
}

const CLAIM = /^populations\/([A-Za-z0-9_][A-Za-z0-9_-]*)\.completeness\.json$/;
const MAX_CLAIM_BYTES = 1024 * 1024;
/** An entry with its row number and leaf. */
const MAX_LINE_BYTES = 512 * 1024;

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isCountOrNull = (value: unknown): boolean => value === null || isCount(value);
const isVerdict = (value: unknown): boolean => value === 'pass' || value === 'fail' || value === 'cannot say';
const isTextList = (value: unknown): boolean => value === null || listOf((item) => typeof item === 'string')(value);
const isSelect = isShape({ actions: isTextList, outcomes: isTextList });
const isHead = isShape({ size: isCount, root: (value) => typeof value === 'string' });
const isText = (value: unknown): boolean => typeof value === 'string';

const isClaim = isShape<PopulationClaim>({
  v: (value) => value === 1,
  population: isText,
  source: (value) => value === 'log' || value === 'database',
  select: (value) => value === null || isSelect(value),
  first_seq: isCountOrNull,
  last_seq: isCountOrNull,
  count: isCount,
  expected: isCount,
  gaps: Array.isArray,
  head_from: (value) => value === null || isHead(value),
  head_to: (value) => value === null || isHead(value),
  integrity: isVerdict,
  completeness: isVerdict,
  statement: isText,
});

/** Opens the populations of a pack whose files were found to be those of its manifest. */
export async function openPopulations(
  pack: { source: FileSource; manifest: PackManifest },
  findings: Findings,
): Promise<Populations> {
  const { source, manifest } = pack;
  const files = new Map(manifest.files.map((file) => [file.path, file]));
  const replays: Replay[] = [];
  let count = 0;
  for (const path of files.keys()) {
    const name = CLAIM.exec(path)?.[1];
    if (name === undefined) continue;
    count += 1;
    const claim = await readClaim({ source, path, name }, findings);
    if (claim === null) continue;
    judgeClaim({ claim, path, files }, findings);
    const rows = `populations/${name}.ndjson`;
    // Where the rows are missing, that was said already.
    if (claim.source === 'log' && (await source.size(rows)) !== null) {
      replays.push(startReplay({ source, claim, file: rows, window: manifest.window }, findings));
    }
  }
  return {
    count,
    replay: async (segment) => {
      for (const replay of replays) await replay.segment(segment);
    },
    end: async () => {
      for (const replay of replays) await replay.end();
    },
    close: async () => {
      for (const replay of replays) await replay.close();
    },
  };
}

async function readClaim(
  at: { source: FileSource; path: string; name: string },
  findings: Findings,
): Promise<PopulationClaim | null> {
  try {
    const value: unknown = parseCanonical(await at.source.read(at.path, MAX_CLAIM_BYTES));
    if (isClaim(value) && value.population === at.name && (value.source === 'log') === (value.select !== null))
      return value;
    findings.judge('completeness', 'cannot say', {
      file: at.path,
      sentence: 'it is no statement about the completeness of its population',
    });
  } catch (thrown) {
    findings.judge('completeness', 'cannot say', { file: at.path, sentence: reasonOf(thrown) });
  }
  return null;
}

/** The builder's own words: what they admit, and that they agree with the tables beside them. */
function judgeClaim(
  { claim, path, files }: { claim: PopulationClaim; path: string; files: ReadonlyMap<string, PackFile> },
  findings: Findings,
): void {
  const stem = path.slice(0, -'.completeness.json'.length);
  if (claim.integrity !== 'pass')
    findings.judge('integrity', claim.integrity === 'fail' ? 'fail' : 'cannot say', {
      file: path,
      sentence: claim.statement,
    });
  if (claim.completeness !== 'pass') {
    findings.judge('completeness', claim.completeness === 'fail' ? 'fail' : 'cannot say', {
      file: path,
      sentence: claim.statement,
    });
  }
  if (claim.gaps.length > 0 || claim.count !== claim.expected) {
    findings.judge('completeness', 'fail', {
      file: path,
      sentence: `it counts ${claim.count} of ${claim.expected} expected rows`,
    });
  }
  for (const suffix of ['.csv', '.ndjson']) {
    const rows = files.get(stem + suffix)?.rows ?? null;
    if (rows === claim.count) continue;
    findings.judge('completeness', 'fail', {
      file: stem + suffix,
      sentence:
        rows === null
          ? 'the rows of the population are missing'
          : `the manifest counts ${rows} rows, its statement ${claim.count}`,
    });
  }
}

interface Replay {
  segment(segment: SegmentLines): Promise<void>;
  end(): Promise<void>;
  close(): Promise<void>;
}

function startReplay(
  {
    source,
    claim,
    file,
    window,
  }: { source: FileSource; claim: PopulationClaim; file: string; window: PackManifest['window'] },
  findings: Findings,
): Replay {
  const lines = linesOf(source.stream(file));
  const isSelected = selector(claim, window);
  let row = 0;
  let broken = false;
  let last: number | null = null;
  const next = async (): Promise<{ seq: unknown; leaf: unknown } | null> => {
    const { value, done } = await lines.next();
    if (done === true) return null;
    row += 1;
    return rowOf(value);
  };
  const differ = (seq: number, sentence: string): void => {
    broken = true;
    findings.judge('completeness', 'fail', { file, seq, row, sentence });
  };
  return {
    segment: async (segment) => {
      for (const { entry, leaf } of segment.entries()) {
        if (broken) return;
        if (!isSelected(entry)) continue;
        const found = await next();
        if (last === null && claim.first_seq !== entry.seq)
          differ(entry.seq, `its statement begins with entry ${claim.first_seq}`);
        last = entry.seq;
        if (found === null) differ(entry.seq, 'the log holds this entry, but the population has no row for it');
        else if (found.seq !== entry.seq)
          differ(entry.seq, `the log gives this entry, but the row is about entry ${String(found.seq)}`);
        else if (found.leaf !== leaf) differ(entry.seq, 'the row names another leaf than the entry has');
      }
    },
    end: async () => {
      if (broken) return;
      const found = await next();
      if (found !== null) differ(Number(found.seq), 'the population has a row that the log does not give it');
      else if (last !== claim.last_seq || row !== claim.count)
        differ(last ?? 0, 'its statement names another last entry or count than the log gives');
    },
    close: async () => void (await lines.return(undefined)),
  };
}

function selector({ select }: PopulationClaim, window: PackManifest['window']): (entry: AuditEntry) => boolean {
  const actions = select?.actions == null ? null : new Set(select.actions);
  const outcomes = select?.outcomes == null ? null : new Set(select.outcomes);
  const [fromMs, toMs] = [Date.parse(window.from), Date.parse(window.to)];
  return ({ event, outcome }) => {
    if (actions !== null && !actions.has(event.action)) return false;
    if (outcomes !== null && !outcomes.has(outcome)) return false;
    const timeMs = Date.parse(event.ts);
    return timeMs >= fromMs && timeMs < toMs;
  };
}

function rowOf(line: string): { seq: unknown; leaf: unknown } {
  try {
    const row: unknown = JSON.parse(line);
    if (typeof row === 'object' && row !== null && 'seq' in row && 'leaf' in row)
      return { seq: row.seq, leaf: row.leaf };
  } catch {
    // Told by the caller: a row that names no entry differs from the one that the log gives.
  }
  return { seq: null, leaf: null };
}

/** Yields the lines of a stream, each ended by LF; a line beyond the bound ends them. */
async function* linesOf(pieces: AsyncIterable<Buffer>): AsyncGenerator<string, undefined, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of pieces) {
    let bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a)) {
      yield bytes.toString('utf8', 0, end);
      bytes = bytes.subarray(end + 1);
    }
    if (bytes.length > MAX_LINE_BYTES) return;
    rest = bytes;
  }
  if (rest.length > 0) yield rest.toString('utf8');
}
