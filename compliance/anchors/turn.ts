import type pg from 'pg';
import { log as logLine } from '#kit/log.ts';
import { encodeCosignerKey } from '#schema/cosignature.ts';
import { asTenonError, fail, type TenonError } from '#schema/errors.ts';
import type { Archive } from '../archive/archive.ts';
import { inTransaction } from '../log-store.ts';
import { recordPlatformEvent } from '../platform/event.ts';
import {
  insertAnchor,
  markAnchorArchived,
  markFailed,
  markSucceeded,
  newestAnchor,
  newestHead,
  openAnchors,
  platformConsistency,
  readSource,
  type AnchorKind,
  type PlatformHead,
  type SourceState,
} from './anchor-store.ts';
import { askTimestamp, askWitness, type AskedWitness, type TimestampAuthority } from './sources.ts';

/** What anchoring the platform log of one cell needs. */
export interface AnchorTurnOptions {
  /** Pool of `tenon_worker` over the audit database. */
  readonly audit: pg.Pool;
  readonly archive: Archive;
  readonly region: string;
  /** Name of the cell, for log lines. */
  readonly cell: string;
  readonly clock: () => Date;
  /** How long an anchor is kept at least. */
  readonly retentionMs: number;
  /** Null: nobody stamps the log. */
  readonly authority: TimestampAuthority | null;
  /** Time between two stamps. */
  readonly stampIntervalMs: number;
  readonly witnesses: readonly AskedWitness[];
  /** How long a source may fail before operators are told; a quarter of an hour without it. */
  readonly alarmAfterMs?: number;
  readonly log?: typeof logLine;
}

const ALARM_AFTER_MS = 15 * 60_000;
const FIRST_RETRY_MS = 5_000;
const LAST_RETRY_MS = 5 * 60_000;
/** The log gets a checkpoint a minute: it is enough to look now and then. */
const LOOK_EVERY_MS = 2_000;

/**
 * Returns the function that has the newest checkpoint of the cell's platform log stamped and cosigned, and the answers
 * kept: verified first, then stored, then archived beside the checkpoint as `tsr/<size>.tsr` and `cosig/<size>.note`. A
 * source that fails is asked again ever more slowly, becomes an entry of the platform log when it has failed for a while,
 * and delays nothing else. Each call does what is due and returns false: there is never more to do at once.
 */
export function createAnchorTurn(options: AnchorTurnOptions): () => Promise<boolean> {
  let lookedMs = -Infinity;
  return async () => {
    // Monotonic, for wall clocks jump.
    if (performance.now() - lookedMs < LOOK_EVERY_MS) return false;
    lookedMs = performance.now();
    await anchorNewest(options);
    return false;
  };
}

/** Does once what is due. */
export async function anchorNewest(options: AnchorTurnOptions): Promise<void> {
  const head = await newestHead(options.audit);
  if (head !== null) await Promise.all([stampIfDue(options, head), cosignIfDue(options, head)]);
  await archiveOpen(options);
}

async function stampIfDue(options: AnchorTurnOptions, head: PlatformHead): Promise<void> {
  const { audit, authority, clock, stampIntervalMs } = options;
  if (authority === null) return;
  const before = await newestAnchor(audit, 'tsr');
  if (before !== null && clock().getTime() - before.madeAt.getTime() < stampIntervalMs) return;
  await asking(options, authority.url, async () => {
    const { answer, stamp } = await askTimestamp(authority, Buffer.from(head.note), clock);
    await keep(options, { head, kind: 'tsr', bytes: answer, attestedAt: stamp.time });
    return null;
  });
}

async function cosignIfDue(options: AnchorTurnOptions, head: PlatformHead): Promise<void> {
  if (options.witnesses.length === 0) return;
  const before = await newestAnchor(options.audit, 'cosig');
  if (before?.epoch === head.epoch && before.size === head.size) return;
  const replies = await Promise.all(options.witnesses.map((witness) => cosignedBy(options, { witness, head })));
  const given = replies.filter((reply) => reply !== null);
  if (given.length === 0) return;
  const bytes = Buffer.from(head.note + given.map(({ line }) => line).join(''));
  const attestedAt = new Date(Math.max(...given.map(({ time }) => time.getTime())));
  await keep(options, { head, kind: 'cosig', bytes, attestedAt });
}

interface GivenLine {
  readonly line: string;
  readonly time: Date;
}

async function cosignedBy(
  options: AnchorTurnOptions,
  { witness, head }: { witness: AskedWitness; head: PlatformHead },
): Promise<GivenLine | null> {
  let given: GivenLine | null = null;
  await asking(options, encodeCosignerKey(witness.verifier), async (state) => {
    const known = state.knownEpoch === head.epoch ? Math.min(state.knownSize, head.size) : 0;
    let reply = await submit(options, { witness, head, oldSize: known });
    // It knows best what it has seen: once it is believed, a second time it is at fault.
    if (reply.kind === 'outdated' && reply.size <= head.size)
      reply = await submit(options, { witness, head, oldSize: reply.size });
    // Then the platform's database was set back, or somebody else signs.
    if (reply.kind === 'outdated')
      fail('CONFLICT', `the witness has seen ${reply.size} entries of this log, which has ${head.size}`);
    given = reply;
    return { epoch: head.epoch, size: head.size };
  });
  return given;
}

async function submit(
  { audit, clock }: AnchorTurnOptions,
  { witness, head, oldSize }: { witness: AskedWitness; head: PlatformHead; oldSize: number },
) {
  const proof = await platformConsistency(audit, { epoch: head.epoch, from: oldSize, to: head.size });
  return askWitness(witness, { oldSize, proof, note: head.note }, clock);
}

async function keep(
  { audit, region, clock, retentionMs }: AnchorTurnOptions,
  anchor: { readonly head: PlatformHead; readonly kind: AnchorKind; readonly bytes: Buffer; readonly attestedAt: Date },
): Promise<void> {
  const { head, kind, bytes, attestedAt } = anchor;
  const madeAt = clock();
  const key = anchorKey(region, head, kind);
  const retainUntil = new Date(madeAt.getTime() + retentionMs);
  await insertAnchor(audit, { epoch: head.epoch, size: head.size, kind, bytes, attestedAt, madeAt, key, retainUntil });
}

/** Where an anchor of a checkpoint lies in the archive. */
function anchorKey(region: string, { epoch, size }: PlatformHead, kind: AnchorKind): string {
  return `v1/${region}/platform/${epoch}/${kind}/${String(size).padStart(16, '0')}.${kind === 'tsr' ? 'tsr' : 'note'}`;
}

async function archiveOpen({ audit, archive, clock }: AnchorTurnOptions): Promise<void> {
  for (const row of await openAnchors(audit)) {
    await archive.put(row.key, row.bytes, { retainUntil: row.retainUntil }).catch((thrown: unknown) => {
      // A database that was set back asks again about a checkpoint whose anchor is kept already: that one is as good.
      if (asTenonError(thrown).code !== 'RETENTION_LOCKED') throw thrown;
    });
    await markAnchorArchived(audit, row, clock());
  }
}

/** Asks a source unless it rests after a failure; `work` returns which checkpoint the source has cosigned by that. */
async function asking(
  options: AnchorTurnOptions,
  source: string,
  work: (state: SourceState) => Promise<{ readonly epoch: number; readonly size: number } | null>,
): Promise<void> {
  const { audit, clock } = options;
  const state = await readSource(audit, source);
  if (state.retryAt !== null && clock() < state.retryAt) return;
  try {
    const known = await work(state);
    await succeeded(options, { source, state, known });
  } catch (thrown) {
    await failed(options, { source, state, error: asTenonError(thrown) });
  }
}

async function succeeded(
  { audit, clock, cell, log = logLine }: AnchorTurnOptions,
  { source, state, known }: { source: string; state: SourceState; known: { epoch: number; size: number } | null },
): Promise<void> {
  const at = clock();
  await inTransaction(audit, async (client) => {
    await markSucceeded(client, source, { now: at, known });
    if (state.alarmedAt !== null)
      await recordPlatformEvent(client, { type: 'anchor.recovered', detail: { source }, at });
  });
  if (state.alarmedAt !== null) log('info', 'an outside anchor is there again', { cell, source });
}

async function failed(
  { audit, clock, cell, alarmAfterMs = ALARM_AFTER_MS, log = logLine }: AnchorTurnOptions,
  { source, state, error }: { source: string; state: SourceState; error: TenonError },
): Promise<void> {
  const at = clock();
  const since = state.failingSince ?? at;
  const delayMs = Math.min(FIRST_RETRY_MS * 2 ** Math.min(state.failures, 20), LAST_RETRY_MS);
  // It speaks against the log and not against the source: nobody waits before she is told.
  const isGrave = error.code === 'CONFLICT';
  const isOverdue = isGrave || at.getTime() - since.getTime() >= alarmAfterMs;
  const isNew = isOverdue && state.alarmedAt === null;
  await inTransaction(audit, async (client) => {
    await markFailed(client, source, {
      now: at,
      retryAt: new Date(at.getTime() + delayMs),
      fault: error.message,
      alarmedAt: isNew ? at : state.alarmedAt,
    });
    if (!isNew) return;
    const detail = { source, since: since.toISOString(), fault: error.message.slice(0, 500) };
    await recordPlatformEvent(client, { type: isGrave ? 'anchor.contradicted' : 'anchor.failing', detail, at });
  });
  log(isOverdue ? 'error' : 'warn', `an outside anchor fails: ${error.message}`, {
    cell,
    source,
    since: since.toISOString(),
  });
}
