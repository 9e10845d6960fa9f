import { callbackify } from 'node:util';
import pg from 'pg';
import type { Archive } from '../../compliance/archive/archive.ts';
import { outboxOf } from '../../compliance/outbox-reader.ts';
import { createSealer } from '../../compliance/sealer.ts';
import { createRecoveryCheck } from '../../compliance/sealing/recovery-check.ts';
import { createReleaseTurn, sequenceAgain } from '../../compliance/sequenced-events.ts';
import { createSequencer } from '../../compliance/sequencer.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import type { TestCell } from './cell.ts';

/** At which of its operations on databases and archive a worker is cut off, and on which side of the operation's effect. */
export interface CrashPoint {
  readonly operation: number;
  readonly when: 'before' | 'after';
}

/** How a worker ended. */
export interface Crash {
  /** The operation at which it was cut off, such as `audit commit` or `archive put`. */
  readonly at: string;
}

interface Fuse {
  /** Runs the operation, or cuts the worker off at it: then nothing of it goes on, as after kill -9. */
  through<T>(name: string, operation: () => Promise<T>): Promise<T>;
  readonly blown: Promise<Crash>;
}

/**
 * Runs a worker of the cell, recovering, sequencing, sealing and letting go by turns after `write`, until it is cut off. Its connections are
 * destroyed and none of its code runs on, whatever it was about to do.
 */
export async function runUntilCrash(
  cell: TestCell,
  {
    archive,
    clock,
    point,
    write,
  }: { archive: Archive; clock: () => Date; point: CrashPoint; write: () => Promise<void> },
): Promise<Crash> {
  const sockets = new Set<pg.PoolClient>();
  const fuse = createFuse(point, () => {
    for (const client of sockets) destroy(client);
  });
  const tenants = crashingPool(cell.database, { fuse, name: 'outbox', sockets });
  const audit = crashingPool(cell.auditDatabase, { fuse, name: 'audit', sockets });
  const sequenceNext = createSequencer({ outbox: outboxOf(tenants), audit, clock, batchSize: 7 });
  const options = {
    audit,
    archive: crashingArchive(archive, fuse),
    region: 'eu',
    signer: TEST_SIGNING_KEY,
    clock,
    retentionMs: 90 * 86_400_000,
    log: () => undefined,
  };
  const check = createRecoveryCheck({ ...options, sequenceAgain: () => sequenceAgain({ tenants, audit, clock }) });
  const sealDue = createSealer({ ...options, sealIntervalMs: 0 });
  const release = createReleaseTurn({ tenants, audit, clock });
  const work = async (): Promise<Crash> => {
    for (;;) {
      await write();
      await check();
      await sequenceNext();
      await sealDue();
      await release();
    }
  };
  return Promise.race([work(), fuse.blown]);
}

function createFuse({ operation: last, when }: CrashPoint, cut: () => void): Fuse {
  let operations = 0;
  let isBlown = false;
  let blow: (crash: Crash) => void;
  const blown = new Promise<Crash>((resolve) => (blow = resolve));
  const never = new Promise<never>(() => undefined);
  const end = (name: string): Promise<never> => {
    isBlown = true;
    cut();
    blow({ at: `${when} ${name}` });
    return never;
  };
  return {
    blown,
    through: async (name, run) => {
      if (isBlown) return never;
      operations += 1;
      const isLast = operations === last;
      if (isLast && when === 'before') return end(name);
      try {
        const result = await run();
        return isLast ? end(name) : isBlown ? never : result;
      } catch (error) {
        if (isBlown) return never;
        throw error;
      }
    },
  };
}

type Callback = (error: Error, result: unknown) => void;

/** A pool of which each query is an operation; `pg` knows no such hook. */
function crashingPool(
  connectionString: string,
  { fuse, name, sockets }: { fuse: Fuse; name: string; sockets: Set<pg.PoolClient> },
): pg.Pool {
  const pool = new pg.Pool({ connectionString, max: 3 });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => {
    sockets.add(client);
    client.on('error', () => undefined);
    const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
    const crashing = (...args: unknown[]): unknown => {
      // The pool asks with a callback; who holds a client asks for a promise.
      const callback = args.at(-1);
      const asked = typeof callback === 'function' ? args.slice(0, -1) : args;
      const answer = fuse.through(nameOf(name, args[0]), () => query(...asked));
      return typeof callback === 'function' ? callbackify(() => answer)(callback as Callback) : answer;
    };
    Object.assign(client, { query: crashing });
  });
  return pool;
}

function nameOf(pool: string, statement: unknown): string {
  const text = typeof statement === 'string' ? statement : String((statement as { text?: unknown }).text);
  return `${pool} ${/\w+(?: (?:into|from)? ?\w+)?/.exec(text)?.[0] ?? ''}`;
}

function crashingArchive(archive: Archive, fuse: Fuse): Archive {
  const kindOf = (key: string) => (key.includes('/man/') ? 'manifest' : 'segment');
  return {
    ...archive,
    put: (key, bytes, options) => fuse.through(`put ${kindOf(key)}`, () => archive.put(key, bytes, options)),
    head: (key) => fuse.through(`head ${kindOf(key)}`, () => archive.head(key)),
    get: (key) => fuse.through(`get ${kindOf(key)}`, () => archive.get(key)),
    list: (prefix) => listing(archive, { prefix, fuse }),
  };
}

async function* listing(archive: Archive, { prefix, fuse }: { prefix: string; fuse: Fuse }): AsyncGenerator<string> {
  yield* await fuse.through('list', async () => {
    const keys: string[] = [];
    for await (const key of archive.list(prefix)) keys.push(key);
    return keys;
  });
}

function destroy(client: pg.PoolClient): void {
  const { connection } = client as unknown as { connection: { stream: { destroy(): void } } };
  connection.stream.destroy();
}
