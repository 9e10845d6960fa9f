import { setImmediate } from 'node:timers/promises';
import { latestDocuments } from '#kit/approved-operations.ts';
import type { Change } from '#kit/change-feed.ts';
import { log } from '#kit/log.ts';
import type { Platform } from '#kit/request-context.ts';
import type { Id } from '#schema/ids.ts';

/** What registered operations are compiled with. */
export interface CompileAheadOptions {
  readonly platform: Pick<Platform, 'databases' | 'clock'>;
  readonly feed: { subscribe(listener: (change: Change) => void): () => void };
  /** Compiles a document and remembers it; false where it does not fit the supergraph or was remembered before. */
  readonly know: (document: string) => Promise<boolean>;
}

/** The compiling of registered operations beside the requests. */
export interface CompileAhead {
  /** Looks at the operations of all tenants once more, as at the start: the supergraph is a new one. */
  again(): void;
  /** Stops looking; an operation that is being compiled is waited for. */
  close(): Promise<void>;
}

/** Leaves a third of the memory of known operations to what people send. */
const MOST_DOCUMENTS = 1_000;
const MOST_CHARS = 1_000_000;
/** Changes of more tenants than these at once are looked at as those of all. */
const MOST_TENANTS = 100;

/**
 * Compiles the operations that tenants have registered and approved, those that ran last first to be kept: at the start
 * and then as they are approved, one at a time between requests, so that a client's first request finds its program.
 */
export function compileAhead(options: CompileAheadOptions): CompileAhead {
  let wanted: Set<Id<'tnt'>> | 'all' = new Set();
  let running: Promise<void> | null = null;
  const closing = new AbortController();
  const run = async () => {
    // What happens within one turn of the loop is looked at together.
    await setImmediate();
    while ((wanted === 'all' || wanted.size > 0) && !closing.signal.aborted) {
      const tenants = wanted === 'all' ? null : [...wanted];
      wanted = new Set();
      await compileLatest(options, tenants, closing.signal);
    }
    running = null;
  };
  const want = (tenant: Id<'tnt'> | null) => {
    if (tenant === null || wanted === 'all' || wanted.size >= MOST_TENANTS) wanted = 'all';
    else wanted.add(tenant);
    running ??= run();
  };
  const unsubscribe = options.feed.subscribe(({ topic, tenant }) => {
    if (topic === 'operations') want(tenant);
  });
  want(null);
  return {
    again: () => want(null),
    async close() {
      closing.abort();
      unsubscribe();
      await running;
    },
  };
}

async function compileLatest(
  { platform: { databases, clock }, know }: CompileAheadOptions,
  tenants: readonly Id<'tnt'>[] | null,
  closing: AbortSignal,
): Promise<void> {
  try {
    const wanted = { tenants, now: clock(), most: MOST_DOCUMENTS, mostChars: MOST_CHARS };
    const documents = await latestDocuments(databases, wanted);
    let compiled = 0;
    // The one that ran last comes last, and is the last to be forgotten.
    for (const document of documents.toReversed()) {
      if (closing.aborted) return;
      if (await know(document)) compiled += 1;
      await setImmediate();
    }
    if (compiled > 0) log('info', 'registered operations were compiled', { compiled, found: documents.length });
  } catch (error) {
    log('warn', 'registered operations are not compiled before they are asked for', { reason: String(error) });
  }
}
