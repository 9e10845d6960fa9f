import { asTenonError, type ErrorCode, type TenonError } from '#schema/errors.ts';
import { raiseAlarm } from './alarm.ts';
import { sealBatch, type Outcome, type SealingScope } from './sealing/batch.ts';
import { incarnationOf } from './sealing/incarnation.ts';
import type { SealingOptions } from './sealing/options.ts';
import { createPredecessors } from './sealing/predecessor.ts';
import { isBehind, recoverLog } from './sealing/recovery.ts';
import { MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES } from './segment.ts';
import { unsealedLogs, type UnsealedLog } from './segment-store.ts';

/** What sealing the logs of one cell needs. */
export interface SealerOptions extends SealingOptions {
  /** How long an entry waits at most for others to share its segment; where there are many it does not. */
  readonly sealIntervalMs: number;
}

/** What one turn did. */
export interface SealingTurn {
  /** Segments that are sealed now and were not before. */
  readonly sealed: number;
  /** Logs that have unsealed entries, whether their time has come or not. */
  readonly unsealed: number;
  readonly failures: readonly { readonly tenantId: string; readonly error: TenonError }[];
}

/** Logs that share their statements: as many, and with as many bytes, as memory holds without notice. */
const BATCH_LOGS = 100;
const BATCH_BYTES = 4 * MAX_SEGMENT_BYTES;
/** Waiting makes segments larger and their share of two objects smaller; from here on it hardly does. */
const WORTH_BYTES = 64 * 1024;
const PARALLEL_BATCHES = 2;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 60_000;

/** What operators and auditors read while a log cannot be sealed. */
const ALARMS: Partial<Record<ErrorCode, string>> = {
  SERVICE_UNAVAILABLE: 'The archive does not take the segment; it is tried again until it does.',
  NOT_FOUND: 'The archive no longer holds what was sealed before.',
  CONFLICT: 'The log does not continue what was signed before; nothing more is signed.',
};
const OTHER_ALARM = 'The segment cannot be sealed.';

interface Waiting {
  readonly sealedSize: number;
  /** Monotonic, for wall clocks jump. */
  readonly sinceMs: number;
  readonly failures: number;
  readonly retryAtMs: number;
}

/**
 * Returns the function that seals, each time it is called, one segment of every log whose time has come: as soon as a
 * segment is worth its two objects, else when its oldest entry has waited for the interval; on the first call everything,
 * for nobody knows how long it has waited. A log of which the archive holds more than the database is brought back from there
 * first. A log that fails keeps its entries, shows an alarm, is tried again ever more slowly, and holds up no other.
 * Nothing is sealed twice by two sealers at once, since the states of segments part them.
 */
export function createSealer(options: SealerOptions): () => Promise<SealingTurn> {
  const scope = { ...options, predecessors: createPredecessors() };
  let waiting: Map<string, Waiting> | null = null;
  let incarnation = '';
  return async () => {
    const before = incarnation;
    incarnation = await incarnationOf(options.audit);
    // What this process sealed last is no more what the database holds once it was set back.
    if (incarnation !== before) scope.predecessors.forgetAll();
    const logs = await unsealedLogs(options.audit);
    const nowMs = performance.now();
    const known = waiting;
    const current = new Map(logs.map((log) => [log.tenantId, stillWaiting(log, known, nowMs)]));
    waiting = current;
    const due = logs.filter((log) =>
      isDue(log, current.get(log.tenantId), { nowMs, sealIntervalMs: options.sealIntervalMs }),
    );
    const outcomes = await sealAll(scope, due);
    const failures: { tenantId: string; error: TenonError }[] = [];
    for (const log of due) {
      const error = outcomes.get(log.tenantId);
      if (error === undefined || typeof error === 'string') continue;
      failures.push({ tenantId: log.tenantId, error });
      const sentence = ALARMS[error.code] ?? OTHER_ALARM;
      await raiseAlarm(options.audit, { tenantId: log.tenantId, sentence, now: options.clock() });
      current.set(log.tenantId, afterFailure(current.get(log.tenantId), log));
    }
    const sealed = [...outcomes.values()].filter((outcome) => outcome === 'sealed').length;
    return { sealed, unsealed: logs.length, failures };
  };
}

async function sealAll(scope: SealingScope, logs: readonly UnsealedLog[]): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  const recovering = logs.filter(({ isRecovering }) => isRecovering).map(({ tenantId }) => tenantId);
  const queue = batchesOf(logs.filter(({ isRecovering }) => !isRecovering)).values();
  await Promise.all(
    Array.from({ length: PARALLEL_BATCHES }, async () => {
      for (const batch of queue) {
        for (const [tenantId, outcome] of await sealTogether(scope, batch)) {
          outcomes.set(tenantId, outcome);
          if (outcome === 'ahead') recovering.push(tenantId);
        }
      }
    }),
  );
  for (const tenantId of recovering) {
    outcomes.set(tenantId, await bringBack(scope, tenantId));
  }
  return outcomes;
}

/** A statement that one log's data makes fail would fail for all of its batch for good. */
async function sealTogether(scope: SealingScope, batch: readonly UnsealedLog[]): Promise<Map<string, Outcome>> {
  try {
    return await sealBatch(scope, batch);
  } catch (thrown) {
    if (batch.length === 1) return new Map(batch.map(({ tenantId }) => [tenantId, asTenonError(thrown)]));
  }
  const outcomes = new Map<string, Outcome>();
  for (const log of batch) {
    for (const [tenantId, outcome] of await sealTogether(scope, [log])) outcomes.set(tenantId, outcome);
  }
  return outcomes;
}

/** What looked like a future of the archive alone may be what another worker has sealed in the meantime. */
async function bringBack(scope: SealingScope, tenantId: string): Promise<Outcome> {
  try {
    if (!(await isBehind(scope, tenantId))) return 'overtaken';
    await recoverLog(scope, tenantId);
    return 'ahead';
  } catch (thrown) {
    return asTenonError(thrown);
  }
}

function batchesOf(logs: readonly UnsealedLog[]): UnsealedLog[][] {
  const batches: UnsealedLog[][] = [];
  let bytes = Infinity;
  for (const log of logs) {
    const size = Math.min(log.unsealedBytes, MAX_SEGMENT_BYTES);
    const last = batches.at(-1);
    if (last === undefined || last.length === BATCH_LOGS || bytes + size > BATCH_BYTES) {
      batches.push([log]);
      bytes = size;
    } else {
      last.push(log);
      bytes += size;
    }
  }
  return batches;
}

function stillWaiting(log: UnsealedLog, known: Map<string, Waiting> | null, nowMs: number): Waiting {
  const before = known?.get(log.tenantId);
  if (before?.sealedSize === log.sealedSize) return before;
  return { sealedSize: log.sealedSize, sinceMs: known === null ? -Infinity : nowMs, failures: 0, retryAtMs: -Infinity };
}

function isDue(
  log: UnsealedLog,
  waiting: Waiting | undefined,
  { nowMs, sealIntervalMs }: { nowMs: number; sealIntervalMs: number },
): boolean {
  if (waiting === undefined || nowMs < waiting.retryAtMs) return false;
  if (log.isRecovering) return true;
  if (log.size - log.sealedSize >= MAX_SEGMENT_ENTRIES || log.unsealedBytes >= WORTH_BYTES) return true;
  return nowMs - waiting.sinceMs >= sealIntervalMs;
}

function afterFailure(before: Waiting | undefined, { sealedSize }: UnsealedLog): Waiting {
  const failures = (before?.failures ?? 0) + 1;
  const delayMs = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS);
  return { sealedSize, sinceMs: -Infinity, failures, retryAtMs: performance.now() + delayMs };
}
