import type pg from 'pg';
import type { log as logLine } from '#kit/log.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import type { Platform } from '#kit/request-context.ts';
import { idOf, type Id } from '#schema/ids.ts';
import type { NoteSigner, NoteVerifier } from '#schema/signed-note.ts';
import type { Archive } from '../archive/archive.ts';
import { recordPlatformEvent } from '../platform/event.ts';
import { erasePerson, hasReappeared, type Eraser, type Stopped } from './erase.ts';
import { eraseLogLetGo, eraseTenant, hasTenantReappeared } from './erase-tenant.ts';
import { openLedger, toldOf, type ErasureLedger, type KeptErasure } from './erasure-ledger.ts';
import { envelopeBytes, signErasure, type ErasedRows, type ErasurePredicate } from './erasure-statement.ts';
import {
  completeErasures,
  deleteTokens,
  isKnownErasure,
  noteErased,
  knowStatement,
  noteHeld,
  noteStatement,
  openErasures,
  stillFound,
  type ErasureRow,
} from './erasure-store.ts';
import { insertErasure } from './index-tokens.ts';
import { closeGap, tokenGaps } from './token-gaps.ts';

/** What completing erasures needs; the platform is opened as `tenon_worker`. */
export interface ErasureTurnOptions extends Eraser {
  readonly cells: readonly { readonly name: string; readonly region: string; readonly archive: Archive }[];
  /** Takes a tenant of whom nothing is left to the end of her life; done again it does no harm. */
  readonly finishTenant: (platform: Platform, tenant: Id<'tnt'>) => Promise<void>;
  /** Signs the statements; its name is the deployment's. */
  readonly signer: NoteSigner;
  /** Keys whose statements in the archive count: the signer's and those before it. */
  readonly verifierKeys: readonly NoteVerifier[];
  /** How long the archive keeps a statement. */
  readonly retentionMs: number;
  /** How long backups of the databases are kept; null where nobody has said. */
  readonly backupMs: number | null;
  readonly log: typeof logLine;
  /** How long the erasure of one tenant goes on before others have their turn; 3 s without it. */
  readonly sliceMs?: number;
  /** By name of the cell; updated in place. */
  readonly counters?: Readonly<Record<string, ErasureCounters>>;
}

/** What a worker has done about erasures of a cell since it started. */
export interface ErasureCounters {
  completed: number;
  /** Done again because a restored backup had undone them. */
  reapplied: number;
  failures: number;
}

/** Returns counters at zero. */
export function newErasureCounters(): ErasureCounters {
  return { completed: 0, reapplied: 0, failures: 0 };
}

const SLICE_MS = 3_000;
/** Erasures completed in one turn of a cell. */
const AT_ONCE = 200;
/** Blocks of 256 entries that are made findable again in one turn. */
const GAPS_AT_ONCE = 50;
const PAGE_SIZE = 200;
/** How long something that a restored backup brought back may stand. */
const REAPPLIED_EVERY_MS = 60 * 60 * 1000;
/** How long after the release of a hold what it has stopped may stand. */
const HELD_TRIED_EVERY_MS = 60 * 1000;
/** "eras" in ASCII: nothing else in the audit database locks this number. */
const LOCK_CLASS = 0x65726173;

/**
 * Returns the function that, each time it is called, completes the erasures that the logs tell of, and tells whether there
 * was one. At its first call and every hour it reads all erasures back, from the database and from the archive, and does
 * again what a restored backup has undone; that becomes a platform event. Every step may be repeated after a crash; of
 * several workers one at a time has a cell. What fails for one tenant is left for the next turn.
 */
export function createErasureTurn(options: ErasureTurnOptions): () => Promise<boolean> {
  const cells = options.cells.map(({ name, region, archive }): CellTurn => ({
    name,
    ledger: openLedger({ archive, region, keys: options.verifierKeys }),
    counters: options.counters?.[name] ?? newErasureCounters(),
    reapplied: null,
    heldTried: null,
  }));
  return async () => {
    let worked = false;
    for (const cell of cells) worked = (await alone(options, cell)) || worked;
    return worked;
  };
}

interface CellTurn {
  readonly name: string;
  readonly ledger: ErasureLedger;
  readonly counters: ErasureCounters;
  /** When the erasures were read back last. */
  reapplied: Date | null;
  /** When it was looked last whether holds still stand. */
  heldTried: Date | null;
}

interface TurnScope {
  readonly options: ErasureTurnOptions;
  readonly client: pg.ClientBase;
  readonly ledger: ErasureLedger;
  readonly counters: ErasureCounters;
}

/** One connection for all of a turn: the worker has few of them. */
async function alone(options: ErasureTurnOptions, cell: CellTurn): Promise<boolean> {
  const client = await options.platform.databases.auditPool(cell.name).connect();
  let broken = true;
  client.on('error', ignore);
  try {
    const { rows } = await client.query<{ held: boolean }>('select pg_try_advisory_lock($1, 1) as held', [LOCK_CLASS]);
    const isHeld = rows[0]?.held === true;
    const worked = isHeld && (await takeTurn({ ...cell, options, client }, cell));
    if (isHeld) await client.query('select pg_advisory_unlock($1, 1)', [LOCK_CLASS]);
    broken = false;
    return worked;
  } finally {
    client.removeListener('error', ignore);
    // A connection that is closed lets go of its lock, whatever went wrong.
    client.release(broken);
  }
}

async function takeTurn(scope: TurnScope, cell: CellTurn): Promise<boolean> {
  const now = scope.options.platform.clock();
  const isDue = cell.reapplied === null || now.getTime() - cell.reapplied.getTime() >= REAPPLIED_EVERY_MS;
  if (isDue) {
    await reapply(scope);
    cell.reapplied = now;
  }
  const held = cell.heldTried === null || now.getTime() - cell.heldTried.getTime() >= HELD_TRIED_EVERY_MS;
  if (held) cell.heldTried = now;
  let completed = 0;
  for (const row of await openErasures(scope.client, { limit: AT_ONCE, held })) {
    if (await tried(scope, row.tenant_id, () => complete(scope, row))) completed += 1;
  }
  scope.counters.completed += completed;
  return (await closeGaps(scope)) > 0 || completed > 0;
}

/** What came back from the archive is found again by its sealed values, too. */
async function closeGaps(scope: TurnScope): Promise<number> {
  const { client, options } = scope;
  let closed = 0;
  for (const gap of await tokenGaps(client, GAPS_AT_ONCE)) {
    const work = () => inTransaction(client, () => closeGap(client, options.platform, gap));
    if (await tried(scope, gap.tenant_id, work)) closed += 1;
  }
  return closed;
}

/**
 * The key is destroyed when the log tells of it. In this order, each step repeatable: the cell, the index, the time at
 * which nothing was left, of a tenant the end of her life, the statement in the archive, the statement in the database.
 * False where it is not at its end: a legal hold stops it, or its time for now.
 */
async function complete({ options, client, ledger }: TurnScope, row: ErasureRow): Promise<boolean> {
  const stores = await erase(options, row, { again: false });
  if (stores === 'held') await noteHeld(client, row, options.platform.clock());
  if (typeof stores === 'string') return false;
  const noted = await inTransaction(client, async () => {
    const all = [...stores, await clearIndex(client, row)];
    return noteErased(client, row, { at: options.platform.clock(), stores: all });
  });
  if (row.subject_id === null) await options.finishTenant(options.platform, idOf('tnt', row.tenant_id));
  const predicate = predicateOf(noted, options.backupMs);
  const statement = envelopeBytes(signErasure(predicate, options.signer));
  const now = options.platform.clock();
  const retainUntil = new Date(now.getTime() + options.retentionMs);
  await knowStatement(client, await ledger.keep(predicate, statement, retainUntil), { now, retainUntil });
  await noteStatement(client, noted, statement.toString('utf8'));
  return true;
}

/** Whoever is erased again was erased before any hold that stands now. */
async function erase(
  options: ErasureTurnOptions,
  row: ErasureRow,
  { again }: { readonly again: boolean },
): Promise<readonly ErasedRows[] | Stopped> {
  const { tenant_id: tenantId, subject_id: subject } = row;
  const { platform, retentionMs, sliceMs = SLICE_MS } = options;
  if (subject === null) return eraseTenant(platform, { tenantId, retentionMs, again, sliceMs });
  const stores = await erasePerson(options, { ...row, subject_id: subject }, { again });
  return typeof stores === 'string' ? stores : stores.map((store) => Object.assign({ kept_until: null }, store));
}

async function clearIndex(client: pg.ClientBase, row: ErasureRow): Promise<ErasedRows> {
  const rows = await deleteTokens(client, row);
  return {
    store: 'audit.index',
    method: 'deleted',
    rows,
    left: (await stillFound(client, [row])).length,
    kept_until: null,
  };
}

async function reapply(scope: TurnScope): Promise<void> {
  for await (const kept of scope.ledger.kept()) {
    const told = toldOf(kept.erasure);
    await tried(scope, told.tenantId, () => takeBack(scope, kept));
  }
  for await (const page of completeErasures(scope.client, PAGE_SIZE)) {
    for (const tenant of new Set(page.map(({ tenant_id: id }) => id))) {
      const rows = page.filter(({ tenant_id: id }) => id === tenant);
      await tried(scope, tenant, () => reapplyTenant(scope, rows));
    }
  }
}

/** An erasure that the archive knows and the database does not: the database is older. */
async function takeBack(
  { options, client, counters }: TurnScope,
  { erasure, statement, object }: KeptErasure,
): Promise<void> {
  const told = toldOf(erasure);
  const now = options.platform.clock();
  // Until when the archive keeps it, the retention finds out at once.
  await knowStatement(client, object, { now, retainUntil: now });
  if (await isKnownErasure(client, told)) return;
  const row: ErasureRow = {
    tenant_id: told.tenantId,
    event_id: told.eventId,
    epoch: told.epoch,
    seq: String(told.seq),
    leaf: told.leaf,
    subject_id: told.subjectId,
    key_id: told.keyId,
    basis: told.basis,
    request: told.request,
    requested_at: new Date(told.requestedAt),
    erased_at: null,
    stores: null,
    statement: null,
  };
  // Nothing of a tenant is erased but where an erasure of hers is known.
  if (row.subject_id === null) await insertErasure(client, told);
  await erase(options, row, { again: true });
  if (row.subject_id === null) await options.finishTenant(options.platform, idOf('tnt', row.tenant_id));
  await inTransaction(client, async () => {
    await insertErasure(client, told);
    await deleteTokens(client, row);
    await noteErased(client, row, { at: new Date(erasure.erased_at), stores: erasure.stores });
    await noteStatement(client, row, statement);
    await tell(client, row, options.platform.clock());
  });
  counters.reapplied += 1;
}

async function reapplyTenant(scope: TurnScope, rows: readonly ErasureRow[]): Promise<void> {
  const { options, client, counters } = scope;
  const end = rows.find(({ subject_id: subject }) => subject === null);
  for (const row of end === undefined ? await peopleBack(options, rows) : await tenantBack(options, end)) {
    await erase(options, row, { again: true });
    if (row.subject_id === null) await options.finishTenant(options.platform, idOf('tnt', row.tenant_id));
    await tell(client, row, options.platform.clock());
    counters.reapplied += 1;
  }
  if (end !== undefined && (await eraseLogLetGo(options.platform, end.tenant_id))) {
    const detail = { tenant: idOf('tnt', end.tenant_id), event: idOf('aud', end.event_id) };
    await recordPlatformEvent(client, { type: 'log.expired', detail, at: options.platform.clock() });
  }
  for (const row of await stillFound(client, rows)) {
    await inTransaction(client, () => deleteTokens(client, row));
    await tell(client, row, options.platform.clock());
    counters.reapplied += 1;
  }
}

async function peopleBack(options: ErasureTurnOptions, rows: readonly ErasureRow[]): Promise<ErasureRow[]> {
  const people = rows.flatMap((row) => (row.subject_id === null ? [] : [{ ...row, subject_id: row.subject_id }]));
  return hasReappeared(options, people);
}

async function tenantBack({ platform }: ErasureTurnOptions, end: ErasureRow): Promise<ErasureRow[]> {
  return (await hasTenantReappeared(platform, end.tenant_id)) ? [end] : [];
}

/** Ids alone: the platform log speaks of no person. */
async function tell(client: pg.ClientBase, row: ErasureRow, at: Date): Promise<void> {
  const detail = { tenant: idOf('tnt', row.tenant_id), event: idOf('aud', row.event_id), key_id: row.key_id };
  await recordPlatformEvent(client, { type: 'erasure.reapplied', detail, at });
}

function predicateOf(row: ErasureRow, backupMs: number | null): ErasurePredicate {
  if (row.erased_at === null || row.stores === null) fail('INTERNAL_SERVER_ERROR', 'the erasure is not noted');
  return {
    event: idOf('aud', row.event_id),
    tenant: idOf('tnt', row.tenant_id),
    person: row.subject_id === null ? null : idOf('usr', row.subject_id),
    key_id: row.key_id,
    basis: row.basis,
    request: row.request,
    key_destroyed_at: row.requested_at.toISOString(),
    erased_at: row.erased_at.toISOString(),
    stores: row.stores,
    backups_until: backupMs === null ? null : new Date(row.erased_at.getTime() + backupMs).toISOString(),
    log: { epoch: row.epoch, seq: Number(row.seq), leaf: row.leaf.toString('hex') },
  };
}

/** False where it failed, or has said so itself. */
async function tried(
  { options, counters }: TurnScope,
  tenantId: string,
  work: () => Promise<void | boolean>,
): Promise<boolean> {
  try {
    return (await work()) !== false;
  } catch (error) {
    const { code, message } = asTenonError(error);
    counters.failures += 1;
    options.log('error', `privacy not kept: ${message}`, { tenant: idOf('tnt', tenantId), code });
    return false;
  }
}

async function inTransaction<T>(client: pg.ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(ignore);
    throw error;
  }
}

function ignore(): void {}
