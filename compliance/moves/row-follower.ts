import { sqlState } from '#kit/database.ts';
import type { MoveEnd } from './end.ts';
import { newChangeReader, type RowChange } from './row-changes.ts';
import { columnsOf, type RowPath } from './row-copy.ts';

/** Rows that have changed, by their keys, by table. */
export type ChangedRows = ReadonlyMap<string, ReadonlySet<string>>;

/** Brings over what has changed, round by round. */
export interface Follower {
  /** Brings over all that the source had committed and flushed before the call; returns how many changes that were. */
  catchUp(): Promise<number>;
  /**
   * Brings over what the transactions have changed that a snapshot of the source shows, and nothing of others, so that the
   * copy is what the snapshot shows; false where commits were too close to each other for that: then another has to be
   * taken. What changes from then on is noted.
   */
  matchSnapshot(snapshot: string): Promise<boolean>;
  /** What has changed since the copy last matched a snapshot. */
  changedRows(): ChangedRows;
}

/** Changes read at a time. */
const FETCHED = 1_000;
/** Changes written in one transaction: as many, or more of a single transaction of the source. */
const WRITTEN_TOGETHER = 2_000;
const UNIQUE_VIOLATION = '23505';
const INTERNAL_ERROR = 'XX000';
/** How often a slot is begun before a move is told that it cannot be. */
const MOST_TRIES = 10;

/** Begins to keep the changes of the tenant's rows at the source; what was begun before is given up. */
export async function openChanges({ source }: RowPath): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    await closeChanges({ source });
    await source.inContext((tx) => tx.query('select tenon.publish_rows()'));
    try {
      // A slot may not begin in a transaction that has written.
      await source.inContext((tx) => tx.query('select tenon.open_changes()'));
      return;
    } catch (error) {
      // PostgreSQL itself stumbles where somebody changes a catalog at that moment, and leaves a slot of no use.
      if (sqlState(error) !== INTERNAL_ERROR || tries === MOST_TRIES) throw error;
    }
  }
}

/** Ends the keeping of changes; without effect where there is none. */
export async function closeChanges({ source }: Pick<RowPath, 'source'>): Promise<void> {
  await source.inContext((tx) => tx.query('select tenon.close_changes()'));
  await source.inContext((tx) => tx.query('select tenon.unpublish_rows()'));
}

/**
 * Returns what follows the source from where the copy is. Each change is brought over once: up to where they are is noted
 * in the transaction that writes them. A transaction that the copy held from the beginning is passed over.
 */
export async function newFollower(path: RowPath): Promise<Follower> {
  const columns = await columnsOf(path.target);
  let changed = new Map<string, Set<string>>();
  const round = async (until: Snapshot | null) => {
    const reader = newChangeReader((table) => columns.get(table) ?? []);
    const progress = await readProgress(path);
    const batch = newBatch(path, { ...progress, until, changed });
    const flushed = await path.source.inContext(async (tx) => {
      const [at] = await tx.query<{ lsn: string }>('select pg_current_wal_flush_lsn()::text as lsn');
      await tx.query('declare changes no scroll cursor for select data from tenon.read_changes()');
      for (let count = FETCHED; count === FETCHED;) {
        const rows = await tx.query<{ data: Buffer }>(`fetch ${FETCHED} from changes`);
        for (const { data } of rows) {
          const message = reader(data);
          if (message !== null) await batch.take(message);
        }
        count = rows.length;
      }
      return at?.lsn ?? '0/0';
    });
    await batch.write();
    if (until === null)
      await path.source.inContext((tx) => tx.query('select tenon.take_changes($1::pg_lsn)', [flushed]));
    return batch;
  };
  return {
    catchUp: async () => (await round(null)).written(),
    matchSnapshot: async (snapshot) => {
      await flush(path.source);
      const batch = await round(parseSnapshot(snapshot));
      changed = new Map();
      return !batch.isTorn();
    },
    changedRows: () => changed,
  };
}

/** Commits may have been answered before they were on the disk, and are read from the log only then. */
async function flush(source: MoveEnd): Promise<void> {
  await source.inContext((tx) =>
    tx.query(`select set_config('synchronous_commit', 'on', true), pg_logical_emit_message(true, 'tenon', '')`),
  );
}

interface Progress {
  readonly snapshot: Snapshot;
  readonly applied: bigint;
}

async function readProgress({ target }: RowPath): Promise<Progress> {
  const [row] = await target.inContext((tx) =>
    tx.query<{ snapshot: string; applied: string }>(
      `select a.snapshot::text as snapshot, (coalesce(a.applied, '0/0') - '0/0'::pg_lsn)::text as applied
         from tenon.absence() a`,
    ),
  );
  return { snapshot: parseSnapshot(row?.snapshot ?? '1:1:'), applied: BigInt(row?.applied ?? 0) };
}

interface Snapshot {
  readonly xmin: bigint;
  readonly xmax: bigint;
  readonly running: ReadonlySet<bigint>;
}

function parseSnapshot(text: string): Snapshot {
  const [xmin = '1', xmax = '1', running = ''] = text.split(':');
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), running: new Set(running.split(',').filter(Boolean).map(BigInt)) };
}

/** Ids in the log have 32 bits; of those with the same bits the one next to the snapshot is meant. */
function isHeld({ xmin, xmax, running }: Snapshot, id: number): boolean {
  const behind = BigInt.asIntN(32, BigInt(id) - xmax);
  const full = xmax + behind;
  return full < xmin || (full < xmax && !running.has(full));
}

interface BatchOptions extends Progress {
  /** Nothing is taken of the first transaction that it does not show, nor of what comes behind. */
  readonly until: Snapshot | null;
  readonly changed: Map<string, Set<string>>;
}

function newBatch({ target }: RowPath, { snapshot, applied, until, changed }: BatchOptions) {
  let changes: RowChange[] = [];
  let isPassedOver = false;
  let isEnded = false;
  let isTorn = false;
  let end: bigint | null = null;
  let written = 0;
  const write = async () => {
    if (changes.length === 0 && end === null) return;
    const taken = changes;
    const upto = end;
    changes = [];
    end = null;
    await writeChanges(target, taken, upto);
    written += taken.length;
  };
  const begin = (transactionId: number, commitAt: bigint) => {
    isPassedOver = commitAt < applied || isHeld(snapshot, transactionId);
    if (until === null || isPassedOver) return;
    const isShown = isHeld(until, transactionId);
    isTorn ||= isEnded && isShown;
    isEnded ||= !isShown;
    isPassedOver = isEnded;
  };
  return {
    write,
    written: () => written,
    isTorn: () => isTorn,
    take: async (message: Message) => {
      if (message.kind === 'begin') return begin(message.transactionId, message.commitAt);
      if (isPassedOver) return;
      if (message.kind === 'commit') end = message.endAt;
      else {
        changes.push(message);
        noteChanged(changed, message);
        // Written again after a breakdown, for its end is not noted: writing a row twice changes nothing.
        if (changes.length >= WRITTEN_TOGETHER * 2) {
          end = null;
          await write();
        }
      }
      if (end !== null && changes.length >= WRITTEN_TOGETHER) await write();
    },
  };
}

function noteChanged(changed: Map<string, Set<string>>, { table, key }: RowChange): void {
  const keys = changed.get(table) ?? new Set();
  changed.set(table, keys.add(key));
}

async function writeChanges(target: MoveEnd, changes: readonly RowChange[], upto: bigint | null): Promise<void> {
  const say = (statements: readonly Statement[]) =>
    target.inContext(async (tx) => {
      for (const statement of statements) await tx.query(...statement);
      if (upto !== null) await tx.query(`select tenon.note_applied('0/0'::pg_lsn + $1::numeric)`, [String(upto)]);
    });
  await say(netStatements(changes)).catch((error: unknown) => {
    // Rows that have exchanged a unique value can be written in the order in which they did so alone.
    if ((error as { code?: unknown }).code !== UNIQUE_VIOLATION) throw error;
    return say(changes.map(statementOf));
  });
}

type Message = NonNullable<ReturnType<ReturnType<typeof newChangeReader>>>;

type Statement = readonly [text: string, values: readonly unknown[]];

/**
 * What the changes come to, in few statements: of each row what became of it in the end. Tables may be written one after the
 * other, for the copy checks no keys between them.
 */
function netStatements(changes: readonly RowChange[]): Statement[] {
  const tables = new Map<string, Map<string, RowChange[]>>();
  for (const change of changes) {
    const rows = tables.get(change.table) ?? new Map<string, RowChange[]>();
    tables.set(change.table, rows);
    const before = rows.get(change.key) ?? [];
    rows.set(change.key, change.kind === 'change' ? [...before, change] : [...before.filter(isRemoval), change]);
  }
  return [...tables].flatMap(([table, rows]) => statementsOf(table, [...rows.values()].flat()));
}

/** What is removed goes first: a row may have come again under another value that is unique. */
function statementsOf(table: string, changes: readonly RowChange[]): Statement[] {
  const textsOf = (kind: RowChange['kind']) => changes.filter((each) => each.kind === kind).map(({ row }) => row);
  const removed = [...new Set(textsOf('remove'))];
  const written = textsOf('write');
  const statements = changes.filter(({ kind }) => kind === 'change').map(statementOf);
  if (written.length > 0) statements.unshift(['select tenon.copy_rows($1, $2)', [table, written]]);
  if (removed.length > 0) statements.unshift(['select tenon.uncopy_rows($1, $2)', [table, removed]]);
  return statements;
}

function isRemoval({ kind }: RowChange): boolean {
  return kind === 'remove';
}

function statementOf({ kind, table, row, columns }: RowChange): Statement {
  if (kind === 'change') return ['select tenon.copy_columns($1, $2, $3)', [table, row, columns]];
  return [`select tenon.${kind === 'write' ? 'copy_rows' : 'uncopy_rows'}($1, $2)`, [table, [row]]];
}
