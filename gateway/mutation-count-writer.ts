import { systemContext } from '#kit/credential.ts';
import { inTenantOnce, type Databases } from '#kit/database.ts';
import { log } from '#kit/log.ts';
import { asTenonError } from '#schema/errors.ts';
import { mintId, type Id } from '#schema/ids.ts';
import type { MutationCounter, TenantNotes } from './mutation-count.ts';
import type { MutationJournal, OwnedNote } from './mutation-journal.ts';

/** The noting of mutations in a gateway that runs. */
export interface MutationNotes {
  readonly counter: MutationCounter;
  /** Stores what was noted; what its cell does not take waits for the next time. */
  flush(limits?: { readonly timeMs: number }): Promise<void>;
  /** Ends the flushing and stores what is left, in bounded time; the databases are still open. */
  close(): Promise<void>;
}

/** So long notes lie in a gateway and its journal alone. */
const FLUSH_MS = 10_000;
const EACH_TIME = { timeMs: 8_000 };
const AT_THE_END = { timeMs: 5_000 };
/** Statements at once in a cell: a few of its pool's connections, so that requests find the others. */
const WRITERS = 3;
const MOST_REWRITTEN = 1_000;

/** What noting is done over. */
export interface NotingOptions {
  readonly databases: Databases;
  readonly counter: MutationCounter;
  readonly journal: MutationJournal;
}

/**
 * Opens the noting; it flushes every ten seconds until it is closed, and then takes over what gateways have left in the
 * folder of the journal that are no more.
 */
export function openMutationNotes({ databases, counter, journal }: NotingOptions): MutationNotes {
  const flush: MutationNotes['flush'] = async ({ timeMs } = EACH_TIME) => {
    const endMs = performance.now() + timeMs;
    const left = journal.adopt(Date.now());
    await adopt({ databases, counter }, left.notes);
    await Promise.all(counter.cells().map((cell) => flushCell({ databases, counter }, cell, endMs)));
    const { underWay, waiting } = counter.held();
    // While a cell is away, writing all that waits for it again and again would cost more than a long file.
    if (waiting.length <= MOST_REWRITTEN || left.notes.length > 0) journal.restart(underWay, waiting);
    left.forget();
  };
  let flushing: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    flushing = flushing.then(() => flush());
  }, FLUSH_MS);
  timer.unref();
  return {
    counter,
    flush,
    close: async () => {
      clearInterval(timer);
      await flushing;
      await flush(AT_THE_END);
      journal.close();
    },
  };
}

/** What is taken over goes to its cell as what was noted here does; a tenant who is gone has no log to be held against. */
async function adopt({ databases, counter }: Flushing, notes: readonly OwnedNote[]): Promise<void> {
  for (const tenantId of new Set(notes.map(({ tenant }) => tenant))) {
    const owned = notes.filter(({ tenant }) => tenant === tenantId);
    const purpose = { name: 'completeness', requestId: mintId('req') };
    const tenant = await systemContext(databases, tenantId as Id<'tnt'>, purpose).catch((error: unknown) => {
      log('error', 'notes of a gateway that is no more were not taken over', { reason: asTenonError(error).message });
      return null;
    });
    if (tenant !== null) counter.putBack({ tenant, notes: owned });
  }
  if (notes.length > 0) log('info', 'notes of a gateway that is no more were taken over', { notes: notes.length });
}

interface Flushing {
  readonly databases: Databases;
  readonly counter: MutationCounter;
}

async function flushCell({ databases, counter }: Flushing, cell: string, endMs: number): Promise<void> {
  const queue = counter.take(cell);
  let kept = 0;
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (kept === 0 && performance.now() <= endMs && (await store(databases, next))) continue;
      kept += next.notes.length;
      counter.putBack(next);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, work));
  if (kept > 0) log('warn', 'notes of mutations were not stored', { cell, kept, waiting: counter.waiting });
}

/** Under the tenant's own context; a note that stands there already, since a commit's answer was lost, is passed over. */
const INSERT_SQL = `
insert into mutation_notes (id, request_id, action, noted_at, answered)
select id, request_id, action, noted_at, answered
  from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[])
    as n (id, request_id, action, noted_at, answered)
on conflict do nothing`;

async function store(databases: Databases, { tenant, notes }: TenantNotes): Promise<boolean> {
  const values = [
    notes.map(({ id }) => id),
    notes.map(({ requestId }) => requestId),
    notes.map(({ action }) => action),
    notes.map(({ at }) => at),
    notes.map(({ isAnswered }) => isAnswered),
  ];
  try {
    await inTenantOnce({ tenant, databases, asPlatform: true }, (tx) => tx.query(INSERT_SQL, values));
    return true;
  } catch (error) {
    const { code, message } = asTenonError(error);
    // The foreign key finds no tenant in the cell: she has left it, and her log with her.
    if (code === 'CONFLICT') return true;
    if (code !== 'SERVICE_UNAVAILABLE') log('error', 'notes of mutations were refused', { code, message });
    return false;
  }
}
